"""Why a job cannot go on unless somebody mends something: pure, from a view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from domicile.protocol.eligibility import Refusal
from domicile.protocol.round import JobPhase, ShardPhase
from scripts.fate import is_ready
from scripts.view import CommitteeView, JobView, RefusedParty, ShardView, UnmaskingView
from scripts.wording import WAITING, counted, listed


@dataclass(frozen=True, kw_only=True, slots=True)
class Hindrance:
    """`place` is the shard's, empty for the job as a whole."""

    place: str
    cause: str
    mend: str


def hindrances_of(view: JobView) -> tuple[Hindrance, ...]:
    """Nothing while those who are awaited could act, whether they do or not."""
    if view.phase is JobPhase.JOINING:
        return _of_joining(view)
    if view.phase is JobPhase.MERGING:
        return _of_committee(view, view.global_committee, "", "the global committee")
    if view.phase is not JobPhase.TRAINING:
        return ()
    found = {one.jurisdiction: _of_shard(view, one) for one in view.shards}
    stuck = tuple(one for parts in found.values() for one in parts)
    able = [one for one in view.shards if _can_report(view, one) and not found[one.jurisdiction]]
    if len(able) >= view.rules.min_shards:
        return stuck
    told = f"{len(able)} of {counted(len(view.shards), 'shard')} can report in this round, {view.rules.min_shards} must"
    return (*stuck, Hindrance(place="", cause=told, mend=_mend_of(view, stuck)))


def hindrance_line(one: Hindrance) -> str:
    """Why nothing goes on, and what would mend it."""
    where = f"{one.place}: " if one.place else ""
    return f"cannot go on: {where}{one.cause}; mend: {one.mend}"


def mend_of(view: JobView, refused: RefusedParty) -> str:
    """Who has to do what so that the gate admits somebody again."""
    return who_mends(refused, view.rules.sensitivity)


def who_mends(refused: RefusedParty, sensitivity: str) -> str:
    """The same where there is no job to look at yet."""
    place = refused.place or "its place"
    return {
        Refusal.NOT_REGISTERED: f"{refused.name} must register",
        Refusal.ATTESTATION_EXPIRED: f"the attesters of {place} must attest it anew",
        Refusal.OUTSIDE_SHARD: f"it is attested for {place}, outside; it must be attested inside, or stay out",
        Refusal.TIER_FORBIDS: f"the network's governance must loosen the tier of {place}",
        Refusal.NOT_CLEARED: f"an auditor must clear it for {sensitivity} data",
        Refusal.SUSPENDED: "an auditor must reinstate it",
        Refusal.MISSING_SAFEGUARD: "it must offer the safeguards that the job demands",
    }[refused.reason]


def _of_joining(view: JobView) -> tuple[Hindrance, ...]:
    lacking = [one for one in view.shards if not is_ready(view, one)]
    num_ready = len(view.shards) - len(lacking)
    if num_ready >= view.rules.min_shards:
        return ()
    more = [f"{view.rules.min_nodes - len(one.members)} more in {one.jurisdiction}" for one in lacking]
    return (
        Hindrance(
            place="",
            cause=f"{num_ready} of {counted(len(view.shards), 'shard')} with enough members, {view.rules.min_shards} "
            "must have them",
            mend=f"data holders must join: {', '.join(more)}",
        ),
    )


def _of_shard(view: JobView, shard: ShardView) -> tuple[Hindrance, ...]:
    if shard.phase not in WAITING:
        return ()
    if shard.phase is ShardPhase.COLLECTING and len(shard.members) < view.rules.min_updates:
        have = counted(len(shard.members), "member")
        return (
            Hindrance(
                place=shard.jurisdiction,
                cause=f"{have} left, {view.rules.min_updates} are needed, and nobody can join any more",
                mend=f"the owner can cancel the job and create another one; else {_stalls(shard)}",
            ),
        )
    exporting = shard.phase is ShardPhase.MATURE
    committee = _of_committee(view, shard.committee, shard.jurisdiction, "its committee", exporting=exporting)
    return (*_usable(view, shard), *committee)


def _usable(view: JobView, shard: ShardView) -> tuple[Hindrance, ...]:
    """Updates of those whom the gate refuses cannot be merged, whether they are committed or not. Once survivors of
    masked ones are agreed on, they were enough.
    """
    if shard.phase is ShardPhase.MATURE:
        return ()
    if shard.unmasking is not None and shard.unmasking.survivors is not None:
        return _answerable(view, shard, shard.unmasking)
    who = shard.members if shard.phase is ShardPhase.COLLECTING else shard.committed
    barred = [one for one in shard.refused if one.name in who]
    admitted = len(who) - len(barred)
    if admitted >= view.rules.min_updates:
        return ()
    what = "members" if shard.phase is ShardPhase.COLLECTING else "updates"
    return (
        Hindrance(
            place=shard.jurisdiction,
            cause=f"the gate admits {admitted} of {len(who)} {what}, {view.rules.min_updates} are needed",
            mend=_mends(view, barred) or f"no update can be added any more; {_stalls(shard)}",
        ),
    )


def _answerable(view: JobView, shard: ShardView, unmasking: UnmaskingView) -> tuple[Hindrance, ...]:
    """A set that is agreed on is merged whatever the gate says since; but whom it refuses, answers to none."""
    barred = [one for one in shard.refused if one.name in unmasking.unanswered]
    able = len(unmasking.survivors or ()) - len(barred)
    if able >= unmasking.threshold or shard.committee.votes:
        return ()
    told = f"{able} of {len(unmasking.survivors or ())} survivors answered or may, {unmasking.threshold} must"
    return (Hindrance(place=shard.jurisdiction, cause=told, mend=_mends(view, barred)),)


def _of_committee(
    view: JobView, committee: CommitteeView, place: str, whose: str, *, exporting: bool = False
) -> tuple[Hindrance, ...]:
    """Votes that are cast count, whatever the gate says of their voters since."""
    barred = {one.name for one in committee.refused}
    admitted = set(committee.members) - barred
    best = max((len(admitted | set(voters)) for voters in committee.votes), default=0)
    needed = 1 if exporting else committee.quorum
    if max(len(admitted), 0 if exporting else best) >= needed:
        return ()
    told = f"the gate admits {len(admitted)} of the {len(committee.members)} members of {whose}, {needed} must act"
    return (Hindrance(place=place, cause=told, mend=_mends(view, committee.refused)),)


def _can_report(view: JobView, shard: ShardView) -> bool:
    if shard.phase is ShardPhase.STALLED:
        return is_ready(view, shard) and view.retries < view.rules.max_retries
    return True


def _mends(view: JobView, refused: Sequence[RefusedParty]) -> str:
    return "; ".join(f"{one.name}: {mend_of(view, one)} ({one.reason.name})" for one in refused)


def _mend_of(view: JobView, stuck: Sequence[Hindrance]) -> str:
    own = f"the owner ({view.owner}) can end it by `domicile job cancel {view.job}` and create another one"
    return f"what holds {listed([one.place for one in stuck])} up; or {own}" if stuck else own


def _stalls(shard: ShardView) -> str:
    return f"{shard.jurisdiction} sits the round out when its windows are over"
