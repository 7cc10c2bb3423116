"""How screens word what they show."""

from __future__ import annotations

from datetime import UTC, datetime

from domicile.protocol.round import ShardPhase
from scripts.view import GlobalFigure, JobView, ShardView

WAITING = frozenset({ShardPhase.COLLECTING, ShardPhase.AGGREGATING, ShardPhase.MATURE})
"""Phases of a shard in which somebody is to act by the shard's deadline."""


def counted(number: int, noun: str) -> str:
    """``1 shard``, ``2 shards``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def spaced(name: str) -> str:
    """An enum's name as words."""
    return name.lower().replace("_", " ")


def round_name(view: JobView, shard: ShardView) -> str:
    """Global and regional round; people count from 1."""
    return f"round {view.global_round + 1}.{shard.regional_round + 1}"


def figure_line(figure: GlobalFigure) -> str:
    """What a global model is worth."""
    accuracy = "" if figure.accuracy is None else f", accuracy {figure.accuracy:.3f}"
    return f"global model of round {figure.global_round + 1} on all held-out rows: loss {figure.loss:.4f}{accuracy}"


def next_deadline_s(view: JobView) -> int:
    """The first deadline that the job waits for, on the chain's clock; 0 where there is none."""
    shards = [shard.deadline_s for shard in view.shards if shard.phase in WAITING]
    return min((one for one in (view.deadline_s, *shards) if one), default=0)


def remaining(view: JobView, deadline_s: int) -> str:
    """``23 s left``, or that there is none."""
    left_s = deadline_s - view.now_s
    return f"{left_s} s left" if left_s > 0 else "the deadline is over"


def moment(time_s: int) -> str:
    """A moment of the chain's clock."""
    return datetime.fromtimestamp(time_s, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
