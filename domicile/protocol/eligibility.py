"""Who may work on what, and why not: the twin of NodeRegistry's gate."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum, IntFlag

from domicile.protocol.jurisdiction import Tier


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
