"""Phases of jobs and shards, and the rules that change them: the twin of TrainingJobs."""

from __future__ import annotations

from enum import IntEnum


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
