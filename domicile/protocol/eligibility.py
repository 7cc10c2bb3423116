"""Who may work on what, and why not: the twin of NodeRegistry's gate."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from domicile.protocol.jurisdiction import Jurisdictions, Tier


class Sensitivity(IntEnum):
    """How sensitive data or a job is."""

    PUBLIC = 0
    PERSONAL = 1
    SPECIAL = 2
    RESTRICTED = 3


class Safeguard(IntFlag):
    """What a job may demand and a node may offer; bits of a ``uint24`` on chain."""

    NONE = 0
    DIFFERENTIAL_PRIVACY = 1
    SECURE_AGGREGATION = 2
    TEE = 4

    @classmethod
    def of(cls, names: Iterable[str]) -> Safeguard:
        """From names in lower case."""
        return cls(sum(cls[name.upper()] for name in set(names)))

    @property
    def names(self) -> list[str]:
        """In lower case, in order of the bits."""
        return [one.name.lower() for one in Safeguard if one & self and one.name is not None]


class Refusal(IntEnum):
    """Why an account may not work on something; the first that applies, in this order."""

    NONE = 0
    NOT_REGISTERED = 1
    ATTESTATION_EXPIRED = 2
    OUTSIDE_SHARD = 3
    TIER_FORBIDS = 4
    NOT_CLEARED = 5
    SUSPENDED = 6
    MISSING_SAFEGUARD = 7


@dataclass(frozen=True, kw_only=True, slots=True)
class Requirement:
    """What a piece of work demands; `allowed` and `denied` are masks over jurisdiction indices."""

    allowed: int
    denied: int
    max_tier: Tier
    sensitivity: Sensitivity
    safeguards: Safeguard


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """All that the gate reads of a participant. Bounds are half-open: valid at t when ``from <= t < until``."""

    jurisdiction: int
    quorum: int
    clearance: Sensitivity
    suspended: bool
    safeguards: Safeguard
    attested_from_s: int
    attested_until_s: int
    cleared_until_s: int
    nonce: int
    attesters: int


def refusal(
    standing: Standing, requirement: Requirement, places: Jurisdictions, attesters: int, *, registered: bool, now_s: int
) -> Refusal:
    """The gate's answer: the first reason against a participant, in the order of the enum.

    `attesters` is the mask of those who are attesters now: a removed one's signatures no longer count.
    """
    inside, tier_allows = places.gate(
        standing.jurisdiction, requirement.allowed, requirement.denied, requirement.max_tier
    )
    cleared = requirement.sensitivity is Sensitivity.PUBLIC or (
        now_s < standing.cleared_until_s and standing.clearance >= requirement.sensitivity
    )
    reasons = (
        (Refusal.NOT_REGISTERED, registered),
        (Refusal.ATTESTATION_EXPIRED, is_attested(standing, attesters, now_s)),
        (Refusal.OUTSIDE_SHARD, inside),
        (Refusal.TIER_FORBIDS, tier_allows),
        (Refusal.NOT_CLEARED, cleared),
        (Refusal.SUSPENDED, not standing.suspended),
        (Refusal.MISSING_SAFEGUARD, requirement.safeguards & standing.safeguards == requirement.safeguards),
    )
    return next((reason for reason, holds in reasons if not holds), Refusal.NONE)


def is_attested(standing: Standing, attesters: int, now_s: int) -> bool:
    """Whether an attestation is in force: inside its bounds, and enough of its signers are still attesters."""
    signers = (standing.attesters & attesters).bit_count()
    inside = standing.attested_from_s <= now_s < standing.attested_until_s
    return standing.quorum > 0 and inside and signers >= standing.quorum
