"""What a member reserves of its dataset for a job, and what it gives back."""

from __future__ import annotations

from dataclasses import replace

from domicile.protocol import budget, notice
from domicile.protocol.budget import Budget, PrivacyLedger, budget_of
from domicile.protocol.job import Job
from domicile.protocol.refusals import (
    DatasetRequired,
    NoBudget,
    NotDatasetOwner,
    NothingReserved,
    ReservationInUse,
)
from domicile.protocol.round import FINAL_PHASES, NO_DATASET
from domicile.types import Address, DatasetId


def require_reservable(job: Job, sender: Address, dataset: DatasetId, ledger: PrivacyLedger, now_s: int) -> None:
    """Whether a member may join with a dataset: a job without a budget could spend any amount of one."""
    if not job.state.has_budget:
        if dataset != NO_DATASET:
            raise NoBudget(job=job.id)
        return
    if dataset == NO_DATASET:
        raise DatasetRequired(job=job.id)
    budget.require_budget(ledger, dataset, sender, budget_of(job.parameters), now_s)


def return_budget(job: Job, sender: Address, node: Address, spent: Budget, ledger: PrivacyLedger) -> Job:
    """Ends a reservation once the job is over or the member left."""
    if (job.id, node) not in ledger.reservations:
        raise NothingReserved(job=job.id, node=node)
    member = job.members[node]
    if sender not in (node, ledger.datasets[member.dataset].owner):
        raise NotDatasetOwner(dataset=member.dataset, account=sender)
    if member.joined and job.state.phase not in FINAL_PHASES:
        raise ReservationInUse(job=job.id, node=node, phase=job.state.phase)
    budget.require_spending(spent, member, job.parameters)
    return returning(job, node, member.dataset, budget_of(job.parameters) - spent)


def release(job: Job, node: Address) -> Job:
    """Gives all back that a member reserved, which left before the job started."""
    member = job.members[node]
    if member.dataset == NO_DATASET:
        return job
    job = replace(job, members={**job.members, node: replace(member, dataset=NO_DATASET)})
    return returning(job, node, member.dataset, budget_of(job.parameters))


def returning(job: Job, node: Address, dataset: DatasetId, unspent: Budget) -> Job:
    """The job with a return made known."""
    return job.telling(
        notice.BudgetReturned(
            dataset=dataset, node=node, epsilon_micros=unspent.epsilon_micros, delta_attos=unspent.delta_attos
        )
    )


def after(ledger: PrivacyLedger, job: Job, told: notice.Notice, now_s: int) -> PrivacyLedger:
    """The ledger after what an act on a job made known.

    Raises:
        ContractRefusal: the ledger would have refused it.
    """
    match told:
        case notice.MemberJoined() if told.dataset != NO_DATASET:
            return budget.reserve(ledger, job.id, told.dataset, told.node, budget_of(job.parameters), now_s)
        case notice.BudgetReturned():
            unspent = Budget(epsilon_micros=told.epsilon_micros, delta_attos=told.delta_attos)
            return budget.give_back(ledger, job.id, told.node, unspent)
        case _:
            return ledger
