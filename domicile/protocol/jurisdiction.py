"""Jurisdictions, closure masks and tiers: the twin of JurisdictionRegistry."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum


class Tier(IntEnum):
    """How a jurisdiction stands for this network; the strictest on the path to the root counts."""

    UNLISTED = 0
    OPEN = 1
    CONDITIONAL = 2
    HIGH_RISK = 3
    PROHIBITED = 4


@dataclass(frozen=True, slots=True)
class Jurisdictions:
    """Places by index; index 0 stands for *none* and is prohibited for ever.

    `closures[i]` has the bit of i and those of its ancestors; `tiers[i]` is the own tier.
    """

    codes: tuple[str, ...] = ("",)
    closures: tuple[int, ...] = (1,)
    tiers: tuple[Tier, ...] = (Tier.PROHIBITED,)

    def list(self, code: str, parent: str | None, tier: Tier) -> Jurisdictions:
        """Lists a place below `parent`; its closure never changes."""
        if code in self.codes:
            raise ValueError(f"{code} is listed already")
        above = self.closures[self.codes.index(parent)] if parent else 0
        closure = above | 1 << len(self.codes)
        return Jurisdictions((*self.codes, code), (*self.closures, closure), (*self.tiers, tier))

    def with_tier(self, code: str, tier: Tier) -> Jurisdictions:
        """Gives a place another own tier."""
        index = self.codes.index(code)
        return Jurisdictions(self.codes, self.closures, (*self.tiers[:index], tier, *self.tiers[index + 1 :]))

    def strictest(self, index: int) -> Tier:
        """Strictest tier on the path from a place to its root."""
        return max(tier for place, tier in enumerate(self.tiers) if self.closures[index] >> place & 1)

    def gate(self, index: int, allowed: int, denied: int, max_tier: Tier) -> tuple[bool, bool]:
        """Whether a place is inside `allowed` and outside `denied`, and whether its tier is at most `max_tier`."""
        closure = self.closures[index]
        inside = bool(closure & allowed) and not closure & denied
        return inside, max_tier is not Tier.UNLISTED and self.strictest(index) <= max_tier
