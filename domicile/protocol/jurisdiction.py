"""Jurisdictions, closure masks and tiers: the twin of JurisdictionRegistry."""

from __future__ import annotations

from enum import IntEnum


class Tier(IntEnum):
    """How a jurisdiction stands for this network; the strictest on the path to the root counts."""

    UNLISTED = 0
    OPEN = 1
    CONDITIONAL = 2
    HIGH_RISK = 3
    PROHIBITED = 4
