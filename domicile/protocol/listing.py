"""Listing jurisdictions and changing their tiers: the twin of JurisdictionRegistry's functions."""

from __future__ import annotations

from collections.abc import Iterable
from functools import reduce
from operator import or_

from domicile.protocol.jurisdiction import Jurisdictions, Tier
from domicile.protocol.refusals import (
    InvalidTier,
    JurisdictionAlreadyListed,
    JurisdictionsFull,
    NotGuardian,
    NotTighter,
    UnknownJurisdiction,
)
from domicile.types import Address, JurisdictionCode

MAX_INDEX = 255


def index_of(places: Jurisdictions, code: JurisdictionCode) -> int:
    """Index of a listed place.

    Raises:
        UnknownJurisdiction: it is not listed.
    """
    if not code or code not in places.codes:
        raise UnknownJurisdiction(code=code)
    return places.codes.index(code)


def mask_of(places: Jurisdictions, codes: Iterable[JurisdictionCode]) -> int:
    """Own bits of listed places.

    Raises:
        UnknownJurisdiction: one is not listed.
    """
    return reduce(or_, (1 << index_of(places, code) for code in codes), 0)


def list_place(
    places: Jurisdictions, code: JurisdictionCode, parent: JurisdictionCode | None, tier: Tier
) -> Jurisdictions:
    """Lists a place below `parent`."""
    if code in places.codes:
        raise JurisdictionAlreadyListed(code=code)
    if tier is Tier.UNLISTED:
        raise InvalidTier(tier=tier)
    if len(places.codes) > MAX_INDEX:
        raise JurisdictionsFull()
    if parent:
        index_of(places, parent)
    return places.list(code, parent, tier)


def change_tier(
    places: Jurisdictions, guardians: frozenset[Address], code: JurisdictionCode, tier: Tier
) -> Jurisdictions:
    """Gives a place another own tier; only a guardian makes it stricter.

    Raises:
        NotGuardian: it becomes stricter, and there is no guardian who could have done it.
    """
    current = places.tiers[index_of(places, code)]
    if tier is Tier.UNLISTED:
        raise InvalidTier(tier=tier)
    if tier is current:
        raise NotTighter(code=code, current=current, requested=tier)
    if tier > current and not guardians:
        raise NotGuardian(account=Address(""))
    return places.with_tier(code, tier)
