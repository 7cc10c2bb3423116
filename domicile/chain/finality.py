"""Whether a party acts on blocks that may be reorganised away.

Two sets of survivors for one masked round, one of them on a block that vanished, are what masks must not meet. A node
answers to one alone, and then loses the round.
"""

from __future__ import annotations

DEVELOPMENT_CHAIN_IDS = frozenset({31337, 1337})
"""Chains of one machine, whose blocks stay."""

UNCONFIRMED = (
    "blocks are read before any other confirms them, and a reorganised chain costs masked rounds; set "
    "chain.confirmations to 2 or more"
)


def reads_unconfirmed(chain_id: int, confirmations: int) -> bool:
    """Whether the head of a chain is read that can be reorganised."""
    return confirmations == 0 and chain_id not in DEVELOPMENT_CHAIN_IDS
