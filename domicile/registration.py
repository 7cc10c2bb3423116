"""Becoming known: the key card in the border store, its digest on chain."""

from __future__ import annotations

import logging

from domicile import __version__
from domicile.crypto.keys import HpkeKey, KeyCard
from domicile.log import log_event
from domicile.party import Party
from domicile.protocol.eligibility import Safeguard
from domicile.types import Address

log = logging.getLogger(__name__)

OFFERED = Safeguard.DIFFERENTIAL_PRIVACY | Safeguard.SECURE_AGGREGATION
"""What this software does for a job that demands it."""


def own_card(address: Address, hpke: HpkeKey) -> KeyCard:
    """The key card that this software writes for an account and its key file."""
    return KeyCard.of(hpke, address=address, software=f"domicile/{__version__}")


def ensure_registered(party: Party) -> None:
    """Publishes the party's key card and registers its digest, and the safeguards of this software that its operator
    offers, unless that is done already.

    Raises:
        Refused: the contract refuses; ChainFault, StoreFault: a door is shut for now.
    """
    address = party.sender.address
    digest = party.border.put_bytes(own_card(address, party.hpke).to_bytes())
    known = party.nodes.key_card_of(address)
    offered = OFFERED & party.safeguards
    if known == digest and party.nodes.standing_of(address).safeguards == offered:
        return
    if any(known):
        party.sender.act(party.nodes.update_key_card(digest, offered))
    else:
        party.sender.act(party.nodes.register(digest, offered))
    log_event(log, "registered", address=address, key_card=digest, safeguards=offered.names)
