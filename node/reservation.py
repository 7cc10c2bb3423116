"""A node's reservation of privacy budget: ended by saying what was spent, so that the rest is free again."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable

from domicile.chain.contracts import Budgets
from domicile.errors import ConfigurationError
from domicile.history import JobHistory
from domicile.log import log_event
from domicile.party import Party
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
    # Opacus takes seconds to import, which a job without privacy need not wait for.
    from domicile.privacy.accountant import Mechanism, composed_epsilon_of

    steps: Counter[Mechanism] = Counter()
    for one in updates:
        if one.sample_rate is None or one.noise_multiplier is None:
            raise SpendingUnknown(f"the noise of round {one.global_round}.{one.regional_round} is in no journal")
        steps[Mechanism(sample_rate=one.sample_rate, noise_multiplier=one.noise_multiplier)] += one.num_steps
    reserved = budget_of(parameters)
    epsilon = composed_epsilon_of(steps, reserved.delta)
    spent = Budget.covering(epsilon, reserved.delta) if epsilon else NOTHING
    return spent.between(least_spent(member, parameters), reserved)


def _require_known(journal: NodeJournal, job: JobId) -> None:
    if not journal.knows_membership(job) or journal.recovered_in(job) is not None:
        raise SpendingUnknown("the journal that knew what was trained is lost")
