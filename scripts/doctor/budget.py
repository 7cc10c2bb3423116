"""Whether the privacy budget of a node's data lets it into the jobs that its daemon would join."""

from __future__ import annotations

from collections.abc import Iterator

from domicile.chain.contracts import Budgets
from domicile.protocol.budget import PrivacyLedger, budget_of, require_budget
from domicile.protocol.complaint import ContractRefusal
from domicile.protocol.refusals import BudgetExceeded
from domicile.protocol.round import NO_DATASET, JobParameters
from domicile.types import DatasetId, JobId
from node.config import NodeConfig
from scripts.doctor.case import Case
from scripts.doctor.finding import Finding, ok, problem, warning


def budget(case: Case) -> Iterator[Finding]:
    """What the ledger would answer now, before the node asks it."""
    if not isinstance(case.config, NodeConfig):
        raise TypeError("only a node has data")
    named = case.config.data.reserved_of
    yield from _own(case, named)
    if named == NO_DATASET:
        yield from _without(case)
        return
    budgets = Budgets(case.chain, case.deployment)
    if named > budgets.num_datasets():
        yield problem(f"data.dataset: {named} is registered by nobody; name what `domicile dataset register` told")
        return
    dataset = budgets.dataset_at(named)
    if dataset.holder != case.address:
        yield problem(f"data.dataset: {named} is held by {dataset.holder}, not by this account; name a dataset of it")
        return
    yield ok(f"dataset {named}: granted {dataset.granted}, {dataset.remaining} remain")
    ledger = PrivacyLedger(datasets={named: dataset})
    yield from (_answer(case, ledger, named, job, parameters) for job, parameters in case.joinable_jobs)


def _own(case: Case, named: DatasetId) -> Iterator[Finding]:
    for own in case.own_jobs:
        reserved = own.history.datasets.get(case.address, NO_DATASET)
        if own.state.has_budget and reserved != named:
            yield warning(
                f"job {own.job} reserved of dataset {reserved}, and data.dataset names "
                f"{'none' if named == NO_DATASET else named}; what is trained there counts against the former: name it"
            )


def _without(case: Case) -> Iterator[Finding]:
    asking = [job for job, parameters in case.joinable_jobs if parameters.epsilon_micros]
    for job in asking:
        yield problem(
            f"data.dataset: missing, and job {job} asks for a privacy budget; have the data's owner register and grant "
            "it (`domicile dataset`), and write its number"
        )
    if not asking:
        yield ok("no dataset is named, and no job that is open to this node asks for one")


def _answer(case: Case, ledger: PrivacyLedger, named: DatasetId, job: JobId, parameters: JobParameters) -> Finding:
    if not parameters.epsilon_micros:
        return warning(f"job {job} has no privacy budget, so that it could spend any amount; this node joins it never")
    asked = budget_of(parameters)
    try:
        require_budget(ledger, named, case.address, asked, case.chain.timestamp())
    except BudgetExceeded as exc:
        left = ledger.datasets[named].remaining
        return problem(f"job {job} asks for {asked} of dataset {named}, of which {left} are left; {exc.mend}")
    except ContractRefusal as exc:
        return problem(f"job {job}: {exc}")
    return ok(f"job {job} asks for {asked} of dataset {named}, which is left")
