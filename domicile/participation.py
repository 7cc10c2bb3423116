"""Who was expected in each round, who took part, and who was left out and why: pure, from a job's history.

The chain tells what happened, and what the gate answered. Why somebody was silent whom the gate admitted, it cannot:
that is said as *did not commit*.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum, auto

from domicile.types import Address, JurisdictionCode, ShardIndex

Gate = Callable[[Address, ShardIndex, int], str]
"""Why the gate refused an account for a shard at the end of a block, in lower case; empty where it admitted it."""


class Absence(StrEnum):
    """Why an expected update is not in a regional model."""

    DID_NOT_COMMIT = auto()
    REFUSED = auto()
    """It did not commit, and when the window closed the gate refused it."""

    LEFT = auto()
    EXCLUDED = auto()
    """The committee left it out."""

    NOT_MERGED = auto()
    """It was committed, and the round made no model."""


class Outcome(StrEnum):
    """What a round came to. `MERGED`: a regional round made a model; a shard's model is in the global one."""

    OPEN = auto()
    MERGED = auto()
    EXCLUDED = auto()
    STALLED = auto()
    ENDED = auto()
    """The job ended before."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """`reason` is the gate's, the committee's or the stalled shard's, in lower case; empty where there is none."""

    node: Address
    cause: Absence
    reason: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RegionalParticipation:
    """One regional round: everyone `expected` is in one of the three others.

    `stall`: why the shard dropped what it had made up to then in the global round, this round included; else empty.
    """

    regional_round: int
    outcome: Outcome
    stall: str
    expected: tuple[Address, ...]
    contributed: tuple[Address, ...]
    left_out: tuple[LeftOut, ...]
    awaited: tuple[Address, ...]

    @property
    def is_full(self) -> bool:
        return self.outcome is Outcome.MERGED and not self.left_out and not self.stall


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardParticipation:
    """One shard in one global round; `members` when it opened. `reason`: why it stalled or was excluded."""

    shard: ShardIndex
    jurisdiction: JurisdictionCode
    outcome: Outcome
    reason: str
    members: tuple[Address, ...]
    rounds: tuple[RegionalParticipation, ...]

    @property
    def is_full(self) -> bool:
        return self.outcome is Outcome.MERGED and all(one.is_full for one in self.rounds)


@dataclass(frozen=True, kw_only=True, slots=True)
class GlobalParticipation:
    """One global round; `outcome` is `MERGED` if it made a global model."""

    global_round: int
    outcome: Outcome
    shards: tuple[ShardParticipation, ...]
