"""Phases of jobs and shards, and what is kept of both: the twin of ITrainingJobs' enums and structs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from domicile.protocol.eligibility import Safeguard, Sensitivity
from domicile.protocol.jurisdiction import Tier
from domicile.types import Address, DatasetId, Digest, JurisdictionCode, ShardIndex


class JobPhase(IntEnum):
    NONE = 0
    JOINING = 1
    TRAINING = 2
    MERGING = 3
    COMPLETE = 4
    CANCELLED = 5
    FAILED = 6


class ShardPhase(IntEnum):
    IDLE = 0
    COLLECTING = 1
    AGGREGATING = 2
    MATURE = 3
    REPORTED = 4
    STALLED = 5


class StallReason(IntEnum):
    """Why a shard sits a global round out."""

    NONE = 0
    TOO_FEW_MEMBERS = 1
    TOO_FEW_UPDATES = 2
    NO_QUORUM = 3
    TOO_FEW_CONTRIBUTORS = 4
    NOT_EXPORTED = 5
    ROUND_OVER = 6


class ExclusionReason(IntEnum):
    """Why a committed update (or a reported model) is left out of a merge."""

    NONE = 0
    INELIGIBLE = 1
    UNAVAILABLE = 2
    UNOPENABLE = 3
    MALFORMED = 4
    NOT_FINITE = 5
    NORM_EXCEEDED = 6


NO_LOSS = 2**64 - 1
"""Stands for *no loss published* where a round had fewer than ``min_contributors`` contributors."""

NO_DATASET = DatasetId(0)

FINAL_PHASES = frozenset({JobPhase.COMPLETE, JobPhase.CANCELLED, JobPhase.FAILED})


@dataclass(frozen=True, kw_only=True, slots=True)
class JobParameters:
    """What a job's owner fixes for ever; the meaning of each is documented in ``ITrainingJobs.sol``. A job without
    differential privacy has no budget.
    """

    spec: Digest
    join_window_s: int
    collect_window_s: int
    global_rounds: int
    min_regional_rounds: int
    max_regional_rounds: int
    patience: int
    min_delta_micros: int
    max_retries: int
    min_nodes: int
    min_contributors: int
    min_shards: int
    sensitivity: Sensitivity
    max_tier: Tier
    safeguards: Safeguard
    epsilon_micros: int = 0
    delta_attos: int = 0
    denied: tuple[JurisdictionCode, ...]

    @property
    def min_survivors(self) -> int:
        """The fewest nodes whose masked sum any of them helps to unmask."""
        return max(self.min_nodes, self.min_contributors)


@dataclass(frozen=True, kw_only=True, slots=True)
class Committee:
    """`quorum` votes of distinct members for one and the same proposal accept it."""

    members: tuple[Address, ...]
    quorum: int


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardParameters:
    jurisdiction: JurisdictionCode
    committee: Committee


@dataclass(frozen=True, kw_only=True, slots=True)
class JobState:
    """`deadline_s`: end of the present phase on the chain's clock (half-open), 0 where the phase has none."""

    phase: JobPhase
    global_round: int
    retries: int
    num_shards: int
    num_reported: int
    num_stalled: int
    deadline_s: int
    collect_window_s: int
    sensitivity: Sensitivity
    max_tier: Tier
    safeguards: Safeguard
    min_nodes: int
    has_denied: bool
    has_budget: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardState:
    """`jurisdiction` is an index; `first_round` the regional round with which the present attempt began."""

    phase: ShardPhase
    stall: StallReason
    jurisdiction: int
    quorum: int
    retries: int
    stale_rounds: int
    regional_round: int
    first_round: int
    num_members: int
    num_committed: int
    least_contributors: int
    deadline_s: int
    best_loss_micros: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Member:
    """Rounds count from 0; `has_committed` says whether the last-round fields mean anything. `dataset`: of which the
    job's budget is reserved.
    """

    joined: bool
    has_committed: bool
    shard: ShardIndex
    last_global_round: int
    last_regional_round: int
    dataset: DatasetId
