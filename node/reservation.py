"""A node's reservation of privacy budget: ended by saying what was spent, so that the rest is free again."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable, Mapping

from domicile.chain.contracts import Budgets
from domicile.errors import ConfigurationError
from domicile.history import JobHistory
from domicile.log import log_event
from domicile.party import Party
from domicile.privacy.node_level.calibration import spent_by_sums
from domicile.protocol.budget import NOTHING, Budget, budget_of, least_spent
from domicile.protocol.refusals import NothingReserved
from domicile.protocol.round import FINAL_PHASES, NO_DATASET, JobParameters, JobState, Member
from domicile.types import JobId
from node.journal import NodeJournal, SealedUpdate

log = logging.getLogger(__name__)


class SpendingUnknown(ConfigurationError):
    """Nobody can say what was spent, so that all that was reserved counts as spent."""


def settle(party: Party, journal: NodeJournal, history: JobHistory, state: JobState) -> None:
    """Says once what was spent of a reservation that can spend no more.

    Where that is unknown nothing is said, and all counts as spent. Killed at any instant, it is repeated: the chain
    knows whether it was said.
    """
    if not state.has_budget:
        return
    job, parameters, own = history.created.job, history.created.parameters, party.sender.address
    member = party.jobs.member_of(job, own)
    ended = not member.joined or state.phase in FINAL_PHASES
    budgets = Budgets(party.chain, party.deployment)
    if member.dataset == NO_DATASET or not ended or budgets.has_returned(job, own):
        return
    try:
        _require_known(journal, job)
        spent = spent_by(journal.updates(job), member, parameters)
    except ConfigurationError as exc:
        log_event(log, "spending_unknown", level=logging.WARNING, job=job, dataset=member.dataset, cause=str(exc))
        return
    try:
        party.sender.act(budgets.return_budget(job, own, spent), history.clock)
    except NothingReserved:
        # The dataset's owner was faster.
        return
    log_event(log, "budget_returned", job=job, dataset=member.dataset, spent=str(spent), of=str(budget_of(parameters)))


def spent_by(updates: Iterable[SealedUpdate], member: Member, parameters: JobParameters) -> Budget:
    """What the accountant says that sealed updates cost, at all of the job's δ, and no less than the contract takes.

    A sealed update counts, committed or not: the region store may hold it.

    Raises:
        SpendingUnknown: an update's noise is not known; ConfigurationError: as the accountant has it.
    """
    reserved, steps, sums = budget_of(parameters), Counter[tuple[float, float]](), []
    for one in updates:
        if one.noise_multiplier is None:
            raise SpendingUnknown(f"the noise of round {one.global_round}.{one.regional_round} is in no journal")
        if one.sample_rate is None:
            sums.append(one.noise_multiplier)
        else:
            steps[one.sample_rate, one.noise_multiplier] += one.num_steps
    # A job's unit of privacy is one for all its rounds, so that one of both is 0.
    epsilon = spent_by_sums(sums, reserved.delta) + _spent_on_rows(steps, reserved.delta)
    spent = Budget.covering(epsilon, reserved.delta) if epsilon else NOTHING
    return spent.between(least_spent(member, parameters), reserved)


def _spent_on_rows(num_steps: Mapping[tuple[float, float], int], delta: float) -> float:
    """Of steps by their sample rate and noise multiplier."""
    if not num_steps:
        return 0.0
    # Opacus takes seconds to import, which a job without privacy of rows need not wait for.
    from domicile.privacy.accountant import Mechanism, composed_epsilon_of

    steps = {Mechanism(sample_rate=rate, noise_multiplier=noise): num for (rate, noise), num in num_steps.items()}
    return composed_epsilon_of(steps, delta)


def _require_known(journal: NodeJournal, job: JobId) -> None:
    if not journal.knows_membership(job) or journal.recovered_in(job) is not None:
        raise SpendingUnknown("the journal that knew what was trained is lost")
