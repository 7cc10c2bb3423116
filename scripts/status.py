"""``domicile job status``: a job at one moment in plain text, and as data."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from enum import Enum
from typing import Any

from domicile.text import printable
from scripts.view import JobView, ShardView
from scripts.wording import WAITING, counted, figure_line, moment, remaining, round_name, spaced


def snapshot_lines(view: JobView) -> list[str]:
    """What a person asks first: phase and round, who is awaited and until when, and the figures so far."""
    head = f"job {view.job} {view.name}: {view.phase.name.lower()}, global round {view.global_round + 1} of "
    lines = [f"{head}{view.num_global_rounds}, block {view.block}, {moment(view.now_s)} on the chain's clock"]
    if view.deadline_s:
        lines.append(f"  deadline {_deadline(view, view.deadline_s)}")
    for shard in view.shards:
        lines += _shard_lines(view, shard)
    lines += [figure_line(figure) for figure in view.figures]
    lines += [f"{name} refused by the contract: {reason}" for name, reason in view.refusals]
    if view.waits_for:
        lines.append(f"waits for {view.waits_for}")
    return [printable(line) for line in lines]


def _shard_lines(view: JobView, shard: ShardView) -> list[str]:
    told = f"{shard.jurisdiction}, {round_name(view, shard)}: {shard.phase.name.lower()}"
    if shard.stall.value:
        told += f" ({spaced(shard.stall.name)})"
    if shard.phase in WAITING and shard.deadline_s:
        told += f", deadline {_deadline(view, shard.deadline_s)}"
    lines = [f"{told}, {counted(len(shard.exports), 'export')}"]
    for label, names in (("committed", shard.committed), ("not yet", shard.awaited)):
        lines.append(f"  {label}: {', '.join(names) or 'nobody'}")
    if shard.losses:
        newest = shard.losses[-1]
        at = f"{newest.global_round + 1}.{newest.regional_round + 1}"
        lines.append(f"  validation loss at the start of round {at}: {newest.loss:.4f}")
    return lines


def _deadline(view: JobView, deadline_s: int) -> str:
    return f"{moment(deadline_s)} ({remaining(view, deadline_s)})"


def as_json(view: JobView) -> str:
    """A view as one line of JSON."""
    return json.dumps(plain(asdict(view)))


def is_same(one: JobView, other: JobView | None) -> bool:
    """Whether nothing but time has passed between two views."""
    return other is not None and replace(other, now_s=one.now_s, block=one.block, gas_used=one.gas_used) == one


def plain(value: Any) -> Any:
    """Data with enums by their names and bytes as hexadecimal."""
    if isinstance(value, dict):
        return {key: plain(part) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    if isinstance(value, bytes):
        return "0x" + value.hex()
    return value.name.lower() if isinstance(value, Enum) else value
