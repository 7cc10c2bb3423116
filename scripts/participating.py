"""Participation in words: one line where everybody took part, and the gaps in detail where not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from domicile.participation import (
    Absence,
    GlobalParticipation,
    LeftOut,
    Outcome,
    RegionalParticipation,
    ShardParticipation,
)
from scripts.wording import counted, listed, spaced

_WORDS = {
    Absence.DID_NOT_COMMIT: "did not commit",
    Absence.REFUSED: "did not commit, refused by the gate",
    Absence.LEFT: "left the job",
    Absence.EXCLUDED: "left out by the committee",
    Absence.NOT_MERGED: "committed in vain",
}


def participation_lines(rounds: Sequence[GlobalParticipation]) -> list[str]:
    """What a person asks of a result: did everybody take part, and if not, who was missing where and why."""
    if not rounds:
        return ["participation: no round was opened"]
    gaps = [f"  {where}: {told}" for where, told in gaps_of(rounds)]
    return [f"participation: {summary_of(rounds)}" + (":" if gaps else ""), *gaps]


def summary_of(rounds: Sequence[GlobalParticipation]) -> str:
    """Counts of updates: those that were dropped again are not merged, those still awaited are not expected yet."""
    regional = [one for whole in rounds for shard in whole.shards for one in shard.rounds]
    merged = sum(len(one.contributed) for one in regional if not one.stall)
    awaited = sum(len(one.awaited) for one in regional)
    expected = sum(len(one.expected) for one in regional) - awaited
    where = f"{counted(len(regional), 'regional round')} of {counted(len(rounds), 'global round')}"
    open_told = f", {awaited} awaited" if awaited else ""
    gaps = len(gaps_of(rounds))
    full = "nobody was left out" if not gaps else f"{counted(gaps, 'gap')}"
    return f"{merged} of {counted(expected, 'expected update')} merged in {where}{open_told}; {full}"


def gaps_of(rounds: Sequence[GlobalParticipation]) -> list[tuple[str, str]]:
    """Where not everybody took part, in what words; people count rounds from 1."""
    return [gap for whole in rounds for shard in whole.shards for gap in _gaps_of_shard(whole.global_round, shard)]


def _gaps_of_shard(global_round: int, shard: ShardParticipation) -> Iterator[tuple[str, str]]:
    number = global_round + 1
    for one in shard.rounds:
        told = "; ".join(_told_of_round(one))
        if told:
            yield f"{shard.jurisdiction} round {number}.{one.regional_round + 1}", told
    if shard.outcome in {Outcome.STALLED, Outcome.EXCLUDED, Outcome.ENDED}:
        yield f"{shard.jurisdiction} round {number}", _told_of_shard(shard)


def _told_of_shard(shard: ShardParticipation) -> str:
    members = f"its {counted(len(shard.members), 'member')}: {listed(sorted(shard.members))}"
    if shard.outcome is Outcome.EXCLUDED:
        return f"its export was left out by the global committee ({spaced(shard.reason)}), with {members}"
    if shard.outcome is Outcome.STALLED:
        return f"not in the global model, since the shard stalled ({spaced(shard.reason)}), with {members}"
    return f"in no global model ({spaced(shard.reason)})"


def _told_of_round(one: RegionalParticipation) -> Iterator[str]:
    if one.left_out:
        yield f"{len(one.contributed)} of {len(one.expected) - len(one.awaited)} merged"
    groups: dict[tuple[Absence, str], list[LeftOut]] = {}
    for lost in one.left_out:
        groups.setdefault((lost.cause, lost.reason), []).append(lost)
    for (cause, reason), those in groups.items():
        told = f" ({spaced(reason)})" if reason else ""
        yield f"{listed(sorted(lost.node for lost in those))} {_WORDS[cause]}{told}"
    if one.stall and one.outcome is Outcome.MERGED:
        yield f"merged, then dropped when the shard stalled ({spaced(one.stall)})"
