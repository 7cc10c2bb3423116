"""The act that an event begins, done to the twin.

Who called `start`, `cancel` and `advance` is in no event: the first two are taken to be the owner's, which the contract
demands. Nor is who said what was spent: the member or the dataset's owner, to whom the same holds.
"""

from __future__ import annotations

from dataclasses import dataclass

from domicile.chain import events as ev
from domicile.protocol import acts, reservation, unmasking
from domicile.protocol.budget import Budget, PrivacyLedger, budget_of
from domicile.protocol.condition import member_of
from domicile.protocol.eligibility import Refusal
from domicile.protocol.job import Job
from domicile.protocol.registry import Registry
from domicile.protocol.round import JobPhase, ShardPhase, StallReason
from domicile.types import Address

TRACELESS = (ev.JobPhaseChanged, ev.ShardPhaseChanged)
"""Events that begin only those acts that leave no other trace: start, cancel and advance."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Moment:
    """What the contract asked beside the job, as it was right before an event."""

    registry: Registry
    ledger: PrivacyLedger
    now_s: int


def after(job: Job, event: ev.JobEvent, moment: Moment) -> Job | None:  # noqa: PLR0911 - a case an event
    """The job after the act that an event begins; `None` for an event that begins none.

    Raises:
        ContractRefusal: the contract would have refused the act.
    """
    registry, now_s = moment.registry, moment.now_s

    def gate(account: Address, shard: int) -> Refusal:
        if shard >= len(job.shards):
            return Refusal.NONE
        return registry.refusal(account, job.requirement(shard), now_s)

    match event:
        case ev.MemberJoined():
            return acts.join(
                job,
                event.node,
                event.shard,
                now_s=now_s,
                refusal=gate(event.node, event.shard),
                dataset=event.dataset,
                ledger=moment.ledger,
            )
        case ev.MemberLeft():
            return acts.leave(job, event.node, now_s=now_s)
        case ev.UpdateCommitted():
            refusal = gate(event.node, member_of(job, event.node).shard)
            rounds = (event.global_round, event.regional_round)
            return acts.commit(job, event.node, *rounds, event.digest, now_s=now_s, refusal=refusal)
        case ev.SurvivorsVote():
            refusal = gate(event.voter, event.shard)
            return unmasking.vote_survivors(job, event.voter, event.shard, event.proposal, now_s=now_s, refusal=refusal)
        case ev.Unmasked():
            refusal = gate(event.node, member_of(job, event.node).shard)
            rounds = (event.global_round, event.regional_round)
            return unmasking.unmask(job, event.node, *rounds, event.digest, now_s=now_s, refusal=refusal)
        case ev.RegionalVote():
            refusal = gate(event.voter, event.shard)
            return acts.vote_regional(job, event.voter, event.shard, event.proposal, now_s=now_s, refusal=refusal)
        case ev.ModelExported():
            refusal = gate(event.exporter, event.shard)
            where = (event.shard, event.global_round)
            return acts.report_export(job, event.exporter, *where, event.payload, now_s=now_s, refusal=refusal)
        case ev.GlobalVote():
            refusal = registry.refusal(event.voter, job.global_requirement(), now_s)
            return acts.vote_global(job, event.voter, event.proposal, now_s=now_s, refusal=refusal)
        case ev.BudgetReturned():
            return _after_return(job, event, moment.ledger)
        case ev.JobPhaseChanged() | ev.ShardPhaseChanged():
            return _after_change(job, event, now_s)
        case _:
            return None


def _after_return(job: Job, event: ev.BudgetReturned, ledger: PrivacyLedger) -> Job:
    spent = budget_of(job.parameters) - Budget(epsilon_micros=event.epsilon_micros, delta_attos=event.delta_attos)
    return reservation.return_budget(job, event.node, event.node, spent, ledger)


def _after_change(job: Job, event: ev.JobPhaseChanged | ev.ShardPhaseChanged, now_s: int) -> Job:
    """Before the end of the join window only the owner's `start` opens a round, from then on anyone's `advance`."""
    if isinstance(event, ev.ShardPhaseChanged):
        if (event.phase, event.stall) == (ShardPhase.STALLED, StallReason.ROUND_OVER):
            return acts.advance(job, now_s=now_s)
        return acts.advance_shard(job, event.shard, now_s=now_s)
    if event.phase is JobPhase.CANCELLED:
        return acts.cancel(job, job.owner)
    if job.state.phase is JobPhase.JOINING and now_s < job.state.deadline_s:
        return acts.start(job, job.owner, now_s=now_s)
    return acts.advance(job, now_s=now_s)
