"""What is known of a job while it runs: input of the live view, of ``job status`` and of the plain lines."""

from __future__ import annotations

from dataclasses import dataclass

from domicile.protocol.round import JobPhase, ShardPhase, StallReason


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardView:
    """One shard; ``losses`` are the published validation losses of its regional rounds, oldest first."""

    jurisdiction: str
    phase: ShardPhase
    stall: StallReason
    regional_round: int
    retries: int
    deadline_s: int
    members: tuple[str, ...]
    committed: tuple[str, ...]
    losses: tuple[float, ...]
    num_exports: int


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
