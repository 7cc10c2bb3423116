"""What accounts may do to a job, and why not: the twin of TrainingJobs' functions.

Each takes a job and gives the job after the act, or raises the refusal that the contract gives. `refusal` is the gate's
answer for the sender at this moment.
"""

from __future__ import annotations

from dataclasses import replace

from domicile.protocol import commitment, notice, reservation
from domicile.protocol import job as rules
from domicile.protocol.budget import PrivacyLedger
from domicile.protocol.condition import (
    OUTSIDE,
    has_committed,
    member_of,
    require_admitted,
    require_exclusions,
    require_open,
    require_over,
    require_owner,
    require_phase,
    require_rounds,
    require_seat,
    require_shard,
    require_shard_phase,
)
from domicile.protocol.eligibility import Refusal
from domicile.protocol.job import Job
from domicile.protocol.proposal import GlobalProposal, RegionalProposal
from domicile.protocol.refusals import (
    AlreadyCommitted,
    AlreadyMember,
    AlreadyVoted,
    InvalidShardExclusion,
    LossNotPublishable,
    NothingToAdvance,
    NotMember,
    ShardFull,
    TooFewContributors,
    TooFewShards,
    UnknownShard,
    WrongCommitments,
    WrongJobPhase,
    WrongReports,
    WrongRound,
    WrongShardPhase,
    ZeroDigest,
)
from domicile.protocol.round import (
    FINAL_PHASES,
    NO_DATASET,
    NO_LOSS,
    ExclusionReason,
    JobPhase,
    ShardPhase,
    StallReason,
)
from domicile.types import Address, DatasetId, Digest, ShardIndex

MAX_MEMBERS = 256
NO_LEDGER = PrivacyLedger()
"""Enough for jobs without a budget."""

_STALLS = {
    ShardPhase.COLLECTING: StallReason.TOO_FEW_UPDATES,
    ShardPhase.AGGREGATING: StallReason.NO_QUORUM,
    ShardPhase.MATURE: StallReason.NOT_EXPORTED,
}


def join(
    job: Job,
    sender: Address,
    shard: int,
    *,
    now_s: int,
    refusal: Refusal,
    dataset: DatasetId = NO_DATASET,
    ledger: PrivacyLedger = NO_LEDGER,
) -> Job:
    """Becomes a member of a shard, and reserves the job's budget of a dataset where it has one."""
    require_phase(job, JobPhase.JOINING)
    require_open(job.state.deadline_s, now_s)
    if shard >= job.state.num_shards:
        raise UnknownShard(job=job.id, shard=shard)
    if member_of(job, sender).joined:
        raise AlreadyMember(account=sender)
    state = job.shards[shard]
    if state.num_members == MAX_MEMBERS:
        raise ShardFull(shard=shard)
    require_admitted(sender, refusal)
    reservation.require_reservable(job, sender, dataset, ledger, now_s)
    job = job.with_shard(shard, replace(state, num_members=state.num_members + 1))
    seat = replace(OUTSIDE, joined=True, shard=ShardIndex(shard), dataset=dataset)
    job = replace(job, members={**job.members, sender: seat})
    return job.telling(notice.MemberJoined(shard=ShardIndex(shard), node=sender, dataset=dataset))


def leave(job: Job, sender: Address, *, now_s: int) -> Job:
    """Gives membership up; not between committing and the end of the collecting phase. Before the start, the whole
    reservation returns.
    """
    if job.state.phase not in {JobPhase.JOINING, JobPhase.TRAINING}:
        raise WrongJobPhase(job=job.id, phase=job.state.phase)
    member = member_of(job, sender)
    if not member.joined:
        raise NotMember(account=sender)
    shard = job.shards[member.shard]
    collecting = shard.phase is ShardPhase.COLLECTING
    if collecting and has_committed(job, member):
        raise AlreadyCommitted(account=sender)
    job = job.with_shard(member.shard, replace(shard, num_members=shard.num_members - 1))
    job = replace(job, members={**job.members, sender: replace(member, joined=False)})
    job = job.telling(notice.MemberLeft(shard=member.shard, node=sender))
    if job.state.phase is JobPhase.JOINING:
        return reservation.release(job, sender)
    return rules.close_if_complete(job, member.shard, now_s) if collecting else job


def start(job: Job, sender: Address, *, now_s: int) -> Job:
    """Opens the first global round before the join window ends."""
    require_phase(job, JobPhase.JOINING)
    require_owner(job, sender)
    require_open(job.state.deadline_s, now_s)
    ready = job.num_ready(ShardPhase.IDLE)
    if ready < job.parameters.min_shards:
        raise TooFewShards(required=job.parameters.min_shards, given=ready)
    return rules.open_global_round(job, 0, now_s)


def cancel(job: Job, sender: Address) -> Job:
    """Ends a job that is not final."""
    require_owner(job, sender)
    if job.state.phase in FINAL_PHASES:
        raise WrongJobPhase(job=job.id, phase=job.state.phase)
    return rules.cancel(job)


def commit(
    job: Job, sender: Address, global_round: int, regional_round: int, digest: Digest, *, now_s: int, refusal: Refusal
) -> Job:
    """Commits the digest of a sealed update."""
    require_phase(job, JobPhase.TRAINING)
    member = member_of(job, sender)
    if not member.joined:
        raise NotMember(account=sender)
    index = member.shard
    shard = job.shards[index]
    require_shard_phase(job, index, ShardPhase.COLLECTING)
    require_rounds(job, index, global_round, regional_round)
    require_open(shard.deadline_s, now_s)
    if has_committed(job, member):
        raise AlreadyCommitted(account=sender)
    if not any(digest):
        raise ZeroDigest()
    require_admitted(sender, refusal)
    seat = replace(member, has_committed=True, last_global_round=global_round, last_regional_round=regional_round)
    job = replace(job, members={**job.members, sender: seat})
    job = job.with_commitments(index, commitment.extend_commitments(job.commitments[index], sender, digest))
    job = job.with_shard(index, replace(shard, num_committed=shard.num_committed + 1))
    committed = notice.UpdateCommitted(
        shard=index, node=sender, global_round=global_round, regional_round=regional_round, digest=digest
    )
    job = job.telling(committed)
    return rules.close_if_complete(job, index, now_s)


def vote_regional(
    job: Job, sender: Address, index: int, proposal: RegionalProposal, *, now_s: int, refusal: Refusal
) -> Job:
    """Votes for a regional model; with the quorum it is accepted."""
    require_phase(job, JobPhase.TRAINING)
    require_shard(job, index)
    require_shard_phase(job, index, ShardPhase.AGGREGATING)
    require_rounds(job, index, proposal.global_round, proposal.regional_round)
    require_open(job.shards[index].deadline_s, now_s)
    require_seat(job.committees[index], sender)
    require_admitted(sender, refusal)
    contributors = _check_regional(job, index, proposal)
    proposal_id = commitment.regional_proposal_id(job.id, ShardIndex(index), proposal)
    job, accepted = _count(job, sender, proposal_id, job.committees[index].quorum)
    vote = notice.RegionalVote(shard=ShardIndex(index), voter=sender, proposal_id=proposal_id, proposal=proposal)
    job = job.telling(vote)
    return rules.accept_regional(job, index, proposal, contributors, now_s) if accepted else job


def report_export(
    job: Job, sender: Address, index: int, global_round: int, payload: Digest, *, now_s: int, refusal: Refusal
) -> Job:
    """Enters the export of a mature regional model into the ledger."""
    require_phase(job, JobPhase.TRAINING)
    require_shard(job, index)
    require_shard_phase(job, index, ShardPhase.MATURE)
    require_rounds(job, index, global_round, job.shards[index].regional_round)
    require_open(job.shards[index].deadline_s, now_s)
    require_seat(job.committees[index], sender)
    if not any(payload):
        raise ZeroDigest()
    require_admitted(sender, refusal)
    return rules.report(job, index, sender, payload, now_s)


def vote_global(job: Job, sender: Address, proposal: GlobalProposal, *, now_s: int, refusal: Refusal) -> Job:
    """Votes for a global model; with the quorum it is accepted."""
    require_phase(job, JobPhase.MERGING)
    if proposal.global_round != job.state.global_round:
        raise WrongRound(global_round=job.state.global_round, regional_round=0)
    require_open(job.state.deadline_s, now_s)
    require_seat(job.global_committee, sender)
    require_admitted(sender, refusal)
    merged = _check_global(job, proposal)
    proposal_id = commitment.global_proposal_id(job.id, proposal)
    job, accepted = _count(job, sender, proposal_id, job.global_committee.quorum)
    job = job.telling(notice.GlobalVote(voter=sender, proposal_id=proposal_id, proposal=proposal))
    return rules.accept_global(job, proposal, merged, now_s) if accepted else job


def advance(job: Job, *, now_s: int) -> Job:
    """Ends a phase of the job whose deadline has passed."""
    phase = job.state.phase
    if phase in FINAL_PHASES:
        raise NothingToAdvance(job=job.id)
    require_over(job.state.deadline_s, now_s)
    if phase is JobPhase.JOINING:
        return rules.open_global_round(job, 0, now_s)
    if phase is JobPhase.MERGING:
        return rules.retry_merge(job, now_s)
    for index, shard in enumerate(job.shards):
        if shard.phase < ShardPhase.REPORTED:
            job = rules.stall(job, index, StallReason.ROUND_OVER)
    return rules.settle(job, now_s)


def advance_shard(job: Job, index: int, *, now_s: int) -> Job:
    """Ends a phase of a shard whose deadline has passed."""
    require_phase(job, JobPhase.TRAINING)
    require_shard(job, index)
    shard = job.shards[index]
    if shard.phase not in _STALLS:
        raise WrongShardPhase(job=job.id, shard=index, phase=shard.phase)
    require_over(shard.deadline_s, now_s)
    if shard.phase is ShardPhase.COLLECTING and shard.num_committed >= job.state.min_nodes:
        return rules.close_collecting(job, index, now_s)
    if shard.retries < job.parameters.max_retries:
        return rules.retry_shard(job, index, now_s)
    return rules.settle(rules.stall(job, index, _STALLS[shard.phase]), now_s)


def _check_regional(job: Job, index: int, proposal: RegionalProposal) -> int:
    """Number of contributors."""
    if not any(proposal.model) or not any(proposal.payload):
        raise ZeroDigest()
    if proposal.commitments != job.commitments[index]:
        raise WrongCommitments(expected=job.commitments[index], given=proposal.commitments)
    require_exclusions(job, index, proposal.excluded)
    contributors = job.shards[index].num_committed - len(proposal.excluded)
    if contributors < job.state.min_nodes:
        raise TooFewContributors(required=job.state.min_nodes, given=contributors)
    if (contributors >= job.parameters.min_contributors) == (proposal.loss_micros == NO_LOSS):
        raise LossNotPublishable(loss_micros=proposal.loss_micros, contributors=contributors)
    return contributors


def _check_global(job: Job, proposal: GlobalProposal) -> int:
    """Number of shards that are merged."""
    if not any(proposal.model) or not any(proposal.payload):
        raise ZeroDigest()
    if proposal.reports != job.reports:
        raise WrongReports(expected=job.reports, given=proposal.reports)
    following = 0
    for one in proposal.excluded:
        reported = one.shard < len(job.shards) and job.shards[one.shard].phase is ShardPhase.REPORTED
        if one.shard < following or not reported or one.reason is ExclusionReason.NONE:
            raise InvalidShardExclusion(shard=one.shard)
        following = one.shard + 1
    merged = job.state.num_reported - len(proposal.excluded)
    if merged < job.parameters.min_shards:
        raise TooFewShards(required=job.parameters.min_shards, given=merged)
    return merged


def _count(job: Job, sender: Address, proposal_id: bytes, quorum: int) -> tuple[Job, bool]:
    voters = job.votes.get(proposal_id, frozenset())
    if sender in voters:
        raise AlreadyVoted(account=sender, proposal_id=proposal_id)
    voters |= {sender}
    return replace(job, votes={**job.votes, proposal_id: voters}), len(voters) >= quorum
