"""Ether from a development chain's first account."""

from __future__ import annotations

from collections.abc import Sequence

from domicile.chain.account import Signer
from domicile.chain.client import Chain
from domicile.chain.devnet import DEVELOPMENT_CHAIN_ID, DEVELOPMENT_MNEMONIC
from domicile.chain.sender import Sender
from domicile.errors import ConfigurationError
from domicile.types import Address
from scripts.money import WEI, balance_wei

FEES_WEI = WEI // 10
"""Left to the first account, which pays for what it sends."""


def fill_up(chain: Chain, accounts: Sequence[Address], ether: float) -> dict[Address, float]:
    """Gives each account what it lacks; returns what was sent, in ether.

    Raises:
        ConfigurationError: it is no development chain of ours, or its first account has not enough.
    """
    found = chain.chain_id()
    if found != DEVELOPMENT_CHAIN_ID:
        raise ConfigurationError(
            f"the endpoint is chain {found}, a development chain is {DEVELOPMENT_CHAIN_ID}; ask whoever has ether there"
        )
    wanted_wei = int(ether * WEI)
    lacking = {one: wanted_wei - balance_wei(chain, one) for one in accounts}
    lacking = {one: amount_wei for one, amount_wei in lacking.items() if amount_wei > 0}
    giver = Sender(chain, Signer.from_mnemonic(DEVELOPMENT_MNEMONIC))
    if lacking and balance_wei(chain, giver.address) < sum(lacking.values()) + FEES_WEI:
        raise ConfigurationError(
            f"the first account, {giver.address}, has not enough: all was given away, or it is no chain of `domicile "
            "devnet`; name another --rpc, or start the chain anew without its state"
        )
    for handle in [giver.transfer(one, amount_wei) for one, amount_wei in lacking.items()]:
        giver.wait(handle)
    return {one: amount_wei / WEI for one, amount_wei in lacking.items()}
