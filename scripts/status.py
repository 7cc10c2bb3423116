"""``domicile job status``: a job at one moment in plain text, and as data."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from enum import Enum
from typing import Any

from domicile.protocol.round import FINAL_PHASES, JobPhase, ShardPhase
from domicile.text import printable
from scripts.fate import after_stalled, why_over
from scripts.hindrance import hindrance_line, hindrances_of, mend_of
from scripts.participating import participation_lines
from scripts.view import JobView, ShardView
from scripts.waiting import Wait, waits_of
from scripts.wording import (
    WAITING,
    aggregation_told,
    counted,
    dataset_line,
    figure_line,
    listed,
    moment,
    remaining,
    round_name,
    spaced,
    unmasking_lines,
    unmeasured_lines,
)


def snapshot_lines(view: JobView) -> list[str]:
    """What a person asks first: phase and round, what is awaited of whom and until when, and the figures so far."""
    head = f"job {view.job} {view.name}: {view.phase.name.lower()}, global round {view.global_round + 1} of "
    lines = [f"{head}{view.rules.num_global_rounds}, block {view.block}, {moment(view.now_s)} on the chain's clock"]
    over = why_over(view)
    if over:
        lines.append(f"  {view.phase.name.lower()} since {moment(view.since_s)}: {over}")
    lines += [f"  {aggregation_told(view.aggregation)}"] if view.aggregation else []
    lines += [f"  privacy, {point}: {told}" for point, told in view.claim.lines()] if view.claim else []
    if view.phase is JobPhase.TRAINING:
        lines.append(f"  the round ends at {_deadline(view, view.deadline_s)}; whatever has not reported then stalls")
    for shard in view.shards:
        lines += _shard_lines(view, shard)
    if view.participation:
        lines += participation_lines(view.participation)
    lines += [dataset_line(one) for one in view.datasets]
    lines += [figure_line(figure) for figure in view.figures]
    lines += unmeasured_lines(view)
    lines += [f"{name} refused by the contract: {reason}" for name, reason in view.refusals]
    for wait in waits_of(view):
        lines += _wait_lines(view, wait)
    lines += [hindrance_line(one) for one in hindrances_of(view)]
    return [printable(line) for line in lines]


def _shard_lines(view: JobView, shard: ShardView) -> list[str]:
    told = f"{shard.jurisdiction}, {round_name(view, shard)}: {shard.phase.name.lower()}"
    if shard.stall.value:
        told += f" ({spaced(shard.stall.name)})"
    if shard.phase in WAITING and shard.deadline_s:
        told += f", deadline {_deadline(view, shard.deadline_s)}"
    lines = [f"{told}, {counted(len(shard.exports), 'export')}"]
    if shard.phase in WAITING:
        lines += [f"  committed: {listed(shard.committed)}", f"  not yet: {listed(shard.awaited)}"]
        lines += [f"  {told}" for told in unmasking_lines(shard)]
    else:
        lines.append(f"  members: {listed(shard.members)}")
    if shard.phase is ShardPhase.STALLED and view.phase not in FINAL_PHASES:
        lines.append(f"  sits the round out since {moment(shard.since_s)}; {after_stalled(view, shard)}")
    if shard.losses:
        newest = shard.losses[-1]
        at = f"{newest.global_round + 1}.{newest.regional_round + 1}"
        lines.append(f"  validation loss at the start of round {at}: {newest.loss:.4f}")
    return lines


def _wait_lines(view: JobView, wait: Wait) -> list[str]:
    where = f"{wait.place}: " if wait.place else ""
    lines = [
        f"waits for {where}{wait.told}",
        f"  since {moment(wait.since_s)} ({view.now_s - wait.since_s} s), until {_deadline(view, wait.until_s)}",
        f"  can end it: {_enders(view, wait)}",
    ]
    lines += [
        f"  {one.name} is refused by the gate: {one.reason.name}; mend: {mend_of(view, one)}" for one in wait.refused
    ]
    return lines


def _enders(view: JobView, wait: Wait) -> str:
    if view.now_s < wait.until_s:
        return f"{'; '.join(wait.enders)}; anyone from the deadline on, and then {wait.at_deadline}"
    return f"{', or '.join(wait.enders)}; then {wait.at_deadline}"


def _deadline(view: JobView, deadline_s: int) -> str:
    return f"{moment(deadline_s)} ({remaining(view, deadline_s)})"


def view_data(view: JobView) -> dict[str, Any]:
    """A view with what follows from it, as plain data."""
    waits = [
        asdict(wait) | {"refused": [asdict(one) | {"mend": mend_of(view, one)} for one in wait.refused]}
        for wait in waits_of(view)
    ]
    stuck = [asdict(one) for one in hindrances_of(view)]
    data: dict[str, Any] = plain(
        asdict(view) | {"waits_for": waits, "cannot_go_on": stuck, "over_because": why_over(view)}
    )
    return data


def as_json(view: JobView) -> str:
    """A view as one line of JSON."""
    return json.dumps(view_data(view))


def is_same(one: JobView, other: JobView | None) -> bool:
    """Whether nothing but time has passed between two views."""
    return other is not None and replace(other, now_s=one.now_s, block=one.block, gas_used=one.gas_used) == one


def plain(value: Any) -> Any:
    """Data with enums by their names and bytes as hexadecimal; ``from_`` stands for a word that Python has taken."""
    if isinstance(value, dict):
        return {key.rstrip("_"): plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return value.name.lower() if isinstance(value, Enum) else value
