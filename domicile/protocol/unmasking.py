"""What accounts may do on the unmasking board, and why not: the twin of UnmaskingBoard's functions.

Each takes a job and gives the job after the act, or raises the refusal that the contract gives. `refusal` is the gate's
answer for the sender at this moment.
"""

from __future__ import annotations

from dataclasses import replace

from domicile.protocol import commitment, notice
from domicile.protocol.board import Agreement, Answer
from domicile.protocol.condition import (
    member_of,
    require_admitted,
    require_exclusions,
    require_open,
    require_phase,
    require_rounds,
    require_seat,
    require_shard,
    require_shard_phase,
)
from domicile.protocol.eligibility import Refusal, Safeguard
from domicile.protocol.job import Job
from domicile.protocol.proposal import SurvivorsProposal
from domicile.protocol.refusals import (
    AlreadyUnmasked,
    AlreadyVoted,
    NothingMasked,
    NotMember,
    SurvivorsAlreadyAgreed,
    SurvivorsNotAgreed,
    TooFewContributors,
    WrongCommitments,
    ZeroDigest,
)
from domicile.protocol.round import JobPhase, ShardPhase
from domicile.types import Address, Digest, ShardIndex


def vote_survivors(
    job: Job, sender: Address, index: int, proposal: SurvivorsProposal, *, now_s: int, refusal: Refusal
) -> Job:
    """Votes for the survivors of a round; with the committee's quorum they are final."""
    _require_secure(job)
    require_shard(job, index)
    shard, rounds = ShardIndex(index), (proposal.global_round, proposal.regional_round)
    _require_aggregating(job, index, *rounds, now_s=now_s)
    if is_agreed(job, index, *rounds):
        raise SurvivorsAlreadyAgreed(global_round=rounds[0], regional_round=rounds[1])
    require_seat(job.committees[index], sender)
    require_admitted(sender, refusal)
    survivors = _check_survivors(job, index, proposal)
    proposal_id = commitment.survivors_proposal_id(job.id, shard, proposal)
    voters = job.board.votes.get(proposal_id, frozenset())
    if sender in voters:
        raise AlreadyVoted(account=sender, proposal_id=proposal_id)
    voters |= {sender}
    board = replace(job.board, votes={**job.board.votes, proposal_id: voters})
    told: list[notice.Notice] = [
        notice.SurvivorsVote(shard=shard, voter=sender, proposal_id=proposal_id, proposal=proposal)
    ]
    if len(voters) >= job.committees[index].quorum:
        agreed = Agreement(
            global_round=rounds[0],
            regional_round=rounds[1],
            survivors=survivors,
            record=commitment.extend_agreements(board.agreement_of(shard).record, proposal_id),
        )
        board = replace(board, agreements={**board.agreements, shard: agreed})
        told.append(
            notice.SurvivorsAgreed(
                shard=shard,
                global_round=rounds[0],
                regional_round=rounds[1],
                proposal_id=proposal_id,
                survivors=survivors,
            )
        )
    return replace(job, board=board).telling(*told)


def unmask(
    job: Job, sender: Address, global_round: int, regional_round: int, digest: Digest, *, now_s: int, refusal: Refusal
) -> Job:
    """Enters a member's answer to the survivors of its shard's round, once a round."""
    _require_secure(job)
    member = member_of(job, sender)
    if not member.joined:
        raise NotMember(account=sender)
    _require_aggregating(job, member.shard, global_round, regional_round, now_s=now_s)
    if not is_agreed(job, member.shard, global_round, regional_round):
        raise SurvivorsNotAgreed(global_round=global_round, regional_round=regional_round)
    last = job.board.answer_of(sender)
    if last.given and (last.global_round, last.regional_round) == (global_round, regional_round):
        raise AlreadyUnmasked(node=sender)
    if not any(digest):
        raise ZeroDigest()
    require_admitted(sender, refusal)
    answer = Answer(
        given=True,
        global_round=global_round,
        regional_round=regional_round,
        record=commitment.extend_answers(last.record, global_round, regional_round, digest),
    )
    job = replace(job, board=replace(job.board, answers={**job.board.answers, sender: answer}))
    return job.telling(
        notice.Unmasked(
            shard=member.shard, node=sender, global_round=global_round, regional_round=regional_round, digest=digest
        )
    )


def is_secure(job: Job) -> bool:
    """Whether the updates of a job are masked."""
    return Safeguard.SECURE_AGGREGATION in job.parameters.safeguards


def is_agreed(job: Job, index: int, global_round: int, regional_round: int) -> bool:
    """Whether a shard's committee agreed on the survivors of a round, of all rounds up to the present one the last."""
    last = job.board.agreement_of(ShardIndex(index))
    return last.survivors > 0 and (last.global_round, last.regional_round) == (global_round, regional_round)


def required_survivors(job: Job) -> int:
    """Fewest updates in a masked sum: with fewer, the round could never be merged or its model never leave."""
    return job.parameters.min_survivors


def _require_secure(job: Job) -> None:
    require_phase(job, JobPhase.TRAINING)
    if not is_secure(job):
        raise NothingMasked(job=job.id)


def _require_aggregating(job: Job, index: int, global_round: int, regional_round: int, *, now_s: int) -> None:
    require_shard_phase(job, index, ShardPhase.AGGREGATING)
    require_rounds(job, index, global_round, regional_round)
    require_open(job.shards[index].deadline_s, now_s)


def _check_survivors(job: Job, index: int, proposal: SurvivorsProposal) -> int:
    """Number of survivors."""
    if proposal.commitments != job.commitments[index]:
        raise WrongCommitments(expected=job.commitments[index], given=proposal.commitments)
    require_exclusions(job, index, proposal.excluded)
    survivors = job.shards[index].num_committed - len(proposal.excluded)
    if survivors < required_survivors(job):
        raise TooFewContributors(required=required_survivors(job), given=survivors)
    return survivors
