"""Who may work on what, and why not: the twin of NodeRegistry's gate."""

from __future__ import annotations

from enum import IntEnum, IntFlag


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
