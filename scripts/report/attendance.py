"""Participation as a grid: a row a member, a column a regional round."""

from __future__ import annotations

from dataclasses import dataclass

from domicile.participation import Absence, RegionalParticipation, ShardParticipation
from scripts.report.schema import Report
from scripts.wording import spaced

MERGED, AWAITED, NOT_EXPECTED = "✓", "…", ""
SIGNS = {
    Absence.DID_NOT_COMMIT: "–",
    Absence.REFUSED: "⊘",
    Absence.LEFT: "←",
    Absence.EXCLUDED: "✗",
    Absence.NOT_MERGED: "·",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Cell:
    """`told`: for those who cannot tell signs apart. `dropped`: merged, but the shard stalled afterwards."""

    sign: str
    told: str
    dropped: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardGrid:
    """`spans`: each global round, from 1, with its number of regional rounds; `rows`: cells of each member."""

    jurisdiction: str
    spans: tuple[tuple[int, int], ...]
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Cell, ...]], ...]


def attendance_of(report: Report) -> list[ShardGrid]:
    """One grid for each shard that opened a round and has a gap: where all took part there is nothing to look for."""
    shards: dict[str, list[tuple[int, ShardParticipation]]] = {}
    for whole in report.participation:
        for shard in whole.shards:
            if shard.rounds:
                shards.setdefault(shard.jurisdiction, []).append((whole.global_round, shard))
    return [_grid(place, parts) for place, parts in shards.items() if not all(shard.is_full for _, shard in parts)]


def _grid(place: str, parts: list[tuple[int, ShardParticipation]]) -> ShardGrid:
    rounds = [one for _, shard in parts for one in shard.rounds]
    members = dict.fromkeys(name for one in rounds for name in one.expected)
    return ShardGrid(
        jurisdiction=place,
        spans=tuple((number + 1, len(shard.rounds)) for number, shard in parts),
        columns=tuple(str(one.regional_round + 1) for one in rounds),
        rows=tuple((name, tuple(_cell(one, name) for one in rounds)) for name in members),
    )


def _cell(one: RegionalParticipation, name: str) -> Cell:
    if name in one.contributed:
        told = f"merged, then dropped: {spaced(one.stall)}" if one.stall else "merged"
        return Cell(sign=MERGED, told=told, dropped=bool(one.stall))
    for lost in one.left_out:
        if lost.node == name:
            reason = f": {spaced(lost.reason)}" if lost.reason else ""
            return Cell(sign=SIGNS[lost.cause], told=f"{spaced(lost.cause.name)}{reason}", dropped=False)
    if name in one.awaited:
        return Cell(sign=AWAITED, told="awaited", dropped=False)
    return Cell(sign=NOT_EXPECTED, told="not a member", dropped=False)
