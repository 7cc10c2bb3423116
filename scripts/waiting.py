"""What a job waits for, since when, until when, and who can end the waiting: pure, from a view."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum, auto

from domicile.protocol.round import FINAL_PHASES, JobPhase, ShardPhase
from scripts.fate import after_joining, after_merging, after_shard
from scripts.view import CommitteeView, JobView, RefusedParty, ShardView
from scripts.wording import WAITING, counted, listed, remaining


class Awaited(StrEnum):
    MEMBERS = auto()
    UPDATES = auto()
    SURVIVORS = auto()
    ANSWERS = auto()
    VOTES = auto()
    EXPORT = auto()
    GLOBAL_VOTES = auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class Wait:
    """One thing that a job waits for; `place` is the shard's, empty for the job as a whole.

    `from_`: whose act ends it, where they are known. `refused`: those of them whom the gate refuses now. `enders`: who
    can end it now and how: from the deadline on, the contract refuses what was awaited, and anyone may advance it.
    `at_deadline`: what happens then.
    """

    place: str
    awaited: Awaited
    told: str
    from_: tuple[str, ...]
    refused: tuple[RefusedParty, ...]
    since_s: int
    until_s: int
    enders: tuple[str, ...]
    at_deadline: str


def waits_of(view: JobView) -> tuple[Wait, ...]:
    """Everything that a job waits for now; nothing when it is over."""
    if view.phase in FINAL_PHASES:
        return ()
    if view.phase is JobPhase.JOINING:
        return (_members(view),)
    if view.phase is JobPhase.MERGING:
        return (_global_votes(view),)
    return tuple(_of_shard(view, shard) for shard in view.shards if shard.phase in WAITING)


def wait_line(view: JobView, wait: Wait) -> str:
    """What is awaited, since when and until when, in short."""
    where = f"{wait.place}: " if wait.place else ""
    return f"{where}{wait.told}; for {view.now_s - wait.since_s} s, {remaining(view, wait.until_s)}"


def _enders(view: JobView, until_s: int, *before: str) -> tuple[str, ...]:
    """Who can end a waiting now; `before`: who can until its deadline."""
    if view.now_s < until_s:
        return before
    return ("any node's or committee member's daemon", f"anyone by `domicile job advance {view.job}`")


def _owner(view: JobView, also: str = "") -> str:
    return f"the owner ({view.owner}) by {also}`domicile job cancel {view.job}`"


def _members(view: JobView) -> Wait:
    needed = view.rules.min_nodes
    lacking = [one for one in view.shards if len(one.members) < needed]
    parts = [f"{one.jurisdiction} has {len(one.members)} of at least {needed}" for one in view.shards]
    missing = [f"{needed - len(one.members)} in {one.jurisdiction}" for one in lacking]
    startable = len(view.shards) - len(lacking) >= view.rules.min_shards
    return Wait(
        place="",
        awaited=Awaited.MEMBERS,
        told=f"members to join: {', '.join(parts)}" + (f"; missing: {', '.join(missing)}" if missing else ""),
        from_=(),
        refused=tuple(refused for one in view.shards for refused in one.refused),
        since_s=view.since_s,
        until_s=view.deadline_s,
        enders=_enders(
            view, view.deadline_s, "data holders by joining", _owner(view, "starting it or by " if startable else "")
        ),
        at_deadline=after_joining(view),
    )


def _global_votes(view: JobView) -> Wait:
    committee = view.global_committee
    return Wait(
        place="",
        awaited=Awaited.GLOBAL_VOTES,
        told=_votes_told("global committee", committee),
        from_=_not_voted(committee),
        refused=_refused_of(committee.refused, _not_voted(committee)),
        since_s=view.since_s,
        until_s=view.deadline_s,
        enders=_enders(view, view.deadline_s, f"{listed(_not_voted(committee))} by voting", _owner(view)),
        at_deadline=after_merging(view),
    )


def _of_shard(view: JobView, shard: ShardView) -> Wait:
    committee = shard.committee
    if shard.phase is ShardPhase.COLLECTING:
        awaited, from_, act = Awaited.UPDATES, shard.awaited, "committing"
        told = (
            f"updates of {listed(from_)}; {len(shard.committed)} of {len(shard.members)} committed, "
            f"at least {view.rules.min_nodes} are needed"
        )
    elif shard.phase is ShardPhase.AGGREGATING:
        awaited, from_, act, told = _in_aggregation(shard)
    else:
        awaited, from_, act = Awaited.EXPORT, committee.members, "exporting"
        told = f"the export of its model by any of its committee: {listed(from_)}; it is {from_[0]}'s turn"
    refused = shard.refused if awaited in (Awaited.UPDATES, Awaited.ANSWERS) else committee.refused
    return Wait(
        place=shard.jurisdiction,
        awaited=awaited,
        told=told,
        from_=from_,
        refused=_refused_of(refused, from_),
        since_s=shard.since_s,
        until_s=shard.deadline_s,
        enders=_enders(view, shard.deadline_s, f"{listed(from_)} by {act}", _owner(view)),
        at_deadline=after_shard(view, shard),
    )


def _in_aggregation(shard: ShardView) -> tuple[Awaited, tuple[str, ...], str, str]:
    """What is awaited, from whom, by which act, and how it is told."""
    committee, unmasking = shard.committee, shard.unmasking
    if unmasking is None or (unmasking.survivors is not None and (committee.votes or not unmasking.unanswered)):
        return Awaited.VOTES, _not_voted(committee), "voting", _votes_told("its committee", committee)
    if unmasking.survivors is None:
        told = f"survivors to be agreed on; {_votes_told('its committee', committee)}"
        return Awaited.SURVIVORS, _not_voted(committee), "voting", told
    told = (
        f"answers of survivors: {listed(unmasking.unanswered)} not yet, {len(unmasking.answered)} of "
        f"{len(unmasking.survivors)} there, {unmasking.threshold} of each one's "
        f"{counted(unmasking.num_holders, 'holder')} are needed; then its committee votes"
    )
    return Awaited.ANSWERS, unmasking.unanswered, "answering", told


def _votes_told(whose: str, committee: CommitteeView) -> str:
    best = max(map(len, committee.votes), default=0)
    rivals = f" for one of {counted(len(committee.votes), 'proposal')}" if len(committee.votes) > 1 else ""
    missing = (
        f"{listed(_not_voted(committee))} not yet" if len(committee.voted) < len(committee.members) else "all voted"
    )
    turn = "" if committee.votes else f", it is {committee.members[0]}'s turn to propose"
    return f"votes of {whose}: {missing}, {best} of {counted(committee.quorum, 'needed vote')} there{rivals}{turn}"


def _not_voted(committee: CommitteeView) -> tuple[str, ...]:
    """Where all have voted for rival proposals, each may still vote for another's."""
    return tuple(name for name in committee.members if name not in committee.voted) or committee.members


def _refused_of(refused: tuple[RefusedParty, ...], names: tuple[str, ...]) -> tuple[RefusedParty, ...]:
    return tuple(one for one in refused if one.name in names)
