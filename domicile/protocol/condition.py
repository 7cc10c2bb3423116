"""What acts on a job have in common: what each demands first, and the refusal where it does not hold."""

from __future__ import annotations

from collections.abc import Sequence

from domicile.protocol.eligibility import Refusal
from domicile.protocol.job import Job
from domicile.protocol.proposal import NodeExclusion
from domicile.protocol.refusals import (
    InvalidExclusion,
    NotCommitteeMember,
    NotEligible,
    NotOwner,
    UnknownShard,
    WindowClosed,
    WindowStillOpen,
    WrongJobPhase,
    WrongRound,
    WrongShardPhase,
)
from domicile.protocol.round import NO_DATASET, Committee, ExclusionReason, JobPhase, Member, ShardPhase
from domicile.types import Address, ShardIndex

OUTSIDE = Member(
    joined=False,
    has_committed=False,
    shard=ShardIndex(0),
    last_global_round=0,
    last_regional_round=0,
    dataset=NO_DATASET,
)
"""The membership of whoever never joined."""


def member_of(job: Job, account: Address) -> Member:
    """An account's membership; of a stranger, one that never joined."""
    return job.members.get(account, OUTSIDE)


def has_committed(job: Job, member: Member) -> bool:
    """Whether a member has committed in the round in progress."""
    rounds = (job.state.global_round, job.shards[member.shard].regional_round)
    return member.has_committed and (member.last_global_round, member.last_regional_round) == rounds


def require_admitted(sender: Address, refusal: Refusal) -> None:
    if refusal is not Refusal.NONE:
        raise NotEligible(account=sender, reason=refusal)


def require_phase(job: Job, phase: JobPhase) -> None:
    if job.state.phase is not phase:
        raise WrongJobPhase(job=job.id, phase=job.state.phase)


def require_owner(job: Job, sender: Address) -> None:
    if sender != job.owner:
        raise NotOwner(account=sender)


def require_shard(job: Job, index: int) -> None:
    if index >= job.state.num_shards:
        raise UnknownShard(job=job.id, shard=index)


def require_shard_phase(job: Job, index: int, phase: ShardPhase) -> None:
    if job.shards[index].phase is not phase:
        raise WrongShardPhase(job=job.id, shard=index, phase=job.shards[index].phase)


def require_rounds(job: Job, index: int, global_round: int, regional_round: int) -> None:
    present = (job.state.global_round, job.shards[index].regional_round)
    if (global_round, regional_round) != present:
        raise WrongRound(global_round=present[0], regional_round=present[1])


def require_open(deadline_s: int, now_s: int) -> None:
    if now_s >= deadline_s:
        raise WindowClosed(deadline_s=deadline_s, now_s=now_s)


def require_over(deadline_s: int, now_s: int) -> None:
    if now_s < deadline_s:
        raise WindowStillOpen(deadline_s=deadline_s, now_s=now_s)


def require_seat(committee: Committee, sender: Address) -> None:
    if sender not in committee.members:
        raise NotCommitteeMember(account=sender)


def require_exclusions(job: Job, index: int, excluded: Sequence[NodeExclusion]) -> None:
    """Each of them committed in the round in progress of a shard, in strictly ascending order of address, and has a
    reason.
    """
    previous = -1
    for one in excluded:
        member = member_of(job, one.node)
        known = int(one.node, 16) > previous and member.shard == index and has_committed(job, member)
        if not known or one.reason is ExclusionReason.NONE:
            raise InvalidExclusion(node=one.node)
        previous = int(one.node, 16)
