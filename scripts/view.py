"""What is known of a job while it runs: input of the live view, of ``job status`` and of the plain lines."""

from __future__ import annotations

from dataclasses import dataclass

from domicile.protocol.round import JobPhase, ShardPhase, StallReason


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardLoss:
    """Published validation loss of the model that a regional round started from."""

    global_round: int
    regional_round: int
    loss: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardView:
    """One shard. `losses` are oldest first; `exports` are the global rounds to which it exported a model."""

    jurisdiction: str
    phase: ShardPhase
    stall: StallReason
    regional_round: int
    retries: int
    deadline_s: int
    members: tuple[str, ...]
    committed: tuple[str, ...]
    losses: tuple[ShardLoss, ...]
    exports: tuple[int, ...]

    @property
    def awaited(self) -> tuple[str, ...]:
        """Members whose update of the round is not there yet."""
        return tuple(name for name in self.members if name not in self.committed)


@dataclass(frozen=True, kw_only=True, slots=True)
class GlobalFigure:
    """Mean over the held-out parts of the reported regions, of the model that a global round produced."""

    global_round: int
    loss: float
    accuracy: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobView:
    """One job at one block. ``deadline_s`` and ``now_s`` are on the chain's clock; 0 stands for no deadline."""

    job: int
    name: str
    phase: JobPhase
    global_round: int
    num_global_rounds: int
    retries: int
    deadline_s: int
    now_s: int
    block: int
    gas_used: int
    shards: tuple[ShardView, ...]
    figures: tuple[GlobalFigure, ...]
    refusals: tuple[tuple[str, str], ...]
    """``(node, reason)``"""

    waits_for: str
    """One sentence: what the job waits for, until when, and who can end the waiting; empty when it is final."""
