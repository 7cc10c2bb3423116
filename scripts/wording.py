"""How screens word what they show."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from domicile.protocol.round import FINAL_PHASES, ShardPhase
from scripts.view import AggregationView, DatasetView, GlobalFigure, JobView, RuleView, ShardView, UnmaskingView

WAITING = frozenset({ShardPhase.COLLECTING, ShardPhase.AGGREGATING, ShardPhase.MATURE})
"""Phases of a shard in which somebody is to act by the shard's deadline."""


LAST_S = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())


def counted(number: int, noun: str) -> str:
    """``1 shard``, ``2 shards``."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def listed(names: Sequence[str]) -> str:
    """``a, b``, or that it is nobody."""
    return ", ".join(names) or "nobody"


def moment(time_s: int) -> str:
    """A time on the chain's clock. What is for ever is the largest number of 40 bits, which no calendar knows."""
    return datetime.fromtimestamp(min(time_s, LAST_S), UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def spaced(name: str) -> str:
    """An enum's name as words."""
    return name.lower().replace("_", " ")


def round_name(view: JobView, shard: ShardView) -> str:
    """Global and regional round; people count from 1."""
    return f"round {view.global_round + 1}.{shard.regional_round + 1}"


def unmasking_told(unmasking: UnmaskingView, num_committed: int) -> str:
    """How many updates are in a masked sum, and how many of those nodes helped to take the masks off."""
    if unmasking.survivors is None:
        return f"unmasking: no survivors of {counted(num_committed, 'update')} agreed on"
    num_survivors = len(unmasking.survivors)
    return (
        f"unmasking: {num_survivors} of {counted(num_committed, 'update')} survive, {len(unmasking.answered)} of "
        f"{counted(num_survivors, 'survivor')} answered, {unmasking.threshold} of each one's "
        f"{counted(unmasking.num_holders, 'holder')} must"
    )


def unmasking_lines(shard: ShardView) -> list[str]:
    """The same of a shard that is aggregating masked updates; nothing of any other."""
    if shard.unmasking is None:
        return []
    return [unmasking_told(shard.unmasking, len(shard.committed))]


def aggregation_told(one: AggregationView) -> str:
    """How updates become a model."""
    if one.updates is None:
        mean = "of which the committee learns the mean alone" if one.kind == "secure" else "by their mean"
        return f"aggregation: {one.kind}, updates are {'masked, ' if one.kind == 'secure' else 'merged '}{mean}"
    regions = "their mean" if one.regions is None else _rule_told(one.regions, "region")
    return f"aggregation: {one.kind}, updates are merged by {_rule_told(one.updates, 'node')}, regions by {regions}"


def _rule_told(one: RuleView, noun: str) -> str:
    return f"{spaced(one.rule)} against {one.num_hostile} hostile {noun if one.num_hostile == 1 else noun + 's'}"


def dataset_line(one: DatasetView) -> str:
    """What a member's dataset grants, and what became of it in this job."""
    spent = "nobody said what was spent" if one.spent is None else f"spent {one.spent}"
    return (
        f"dataset {one.dataset} of {one.node}: granted {one.granted}; reserved {one.reserved}, {spent}; "
        f"{one.remaining} remain"
    )


def epsilon_by_dataset(view: JobView) -> str:
    """What is reserved of each dataset, left of its grant and, where it is known, cost by finished rounds; empty
    where every member said what it spent.
    """
    running = [one for one in view.datasets if one.spent is None]
    if not running:
        return ""
    costs = {one.node: f"{one.epsilon:.3f}/" for one in view.costs}
    cost = "cost of finished rounds by the accountant / " if costs else ""
    alike: dict[str, list[str]] = {}
    for one in running:
        figures = f"{costs.get(one.node, '')}{one.reserved.epsilon:g}/{one.remaining.epsilon:g}"
        alike.setdefault(figures, []).append(one.node)
    told = "; ".join(f"{figures} of {', '.join(names)}" for figures, names in alike.items())
    return f"ε by dataset ({cost}reserved / left of the grant), δ = {running[0].reserved.delta:g}: {told}"


def figure_line(figure: GlobalFigure) -> str:
    """What a global model is worth."""
    accuracy = "" if figure.accuracy is None else f", accuracy {figure.accuracy:.3f}"
    return f"global model of round {figure.global_round + 1} on all held-out rows: loss {figure.loss:.4f}{accuracy}"


def unmeasured_lines(view: JobView) -> list[str]:
    """That the last model of a finished job has no figure on record, where it has none."""
    newest = view.newest_model
    if view.phase not in FINAL_PHASES or newest is None or any(one.global_round == newest for one in view.figures):
        return []
    told = f"global model of round {newest + 1}: how it does on the held-out rows is not on record"
    return [f"{told}; each node measures the last model for itself"]


def remaining(view: JobView, deadline_s: int) -> str:
    """``23 s left``, or that there is none."""
    left_s = deadline_s - view.now_s
    return f"{left_s} s left" if left_s > 0 else "the deadline is over"
