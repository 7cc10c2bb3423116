"""A node's reservation of privacy budget, given back where nothing of it was spent."""

from __future__ import annotations

from domicile.chain.contracts import Budgets
from domicile.clock import JobClock
from domicile.party import Party
from domicile.protocol.budget import NOTHING
from domicile.protocol.refusals import NothingReserved
from domicile.protocol.round import FINAL_PHASES, NO_DATASET, JobState
from domicile.types import JobId
from node.journal import NodeJournal


def return_untouched(party: Party, journal: NodeJournal, job: JobId, state: JobState, clock: JobClock) -> bool:
    """Ends a reservation that can spend no more and of which nothing was spent; `False` where there is none.

    A sealed update counts as spent, committed or not: the region store may hold it. So does whatever a journal that was
    lost may have known.
    """
    if not state.has_budget:
        return False
    own = party.sender.address
    member = party.jobs.member_of(job, own)
    ended = not member.joined or state.phase in FINAL_PHASES
    spent = member.has_committed or bool(journal.updates(job)) or journal.recovered_in(job) is not None
    if member.dataset == NO_DATASET or not ended or spent or not journal.knows_membership(job):
        return False
    budgets = Budgets(party.chain, party.deployment)
    if budgets.has_returned(job, own):
        return False
    try:
        party.sender.act(budgets.return_budget(job, own, NOTHING), clock)
    except NothingReserved:
        # The dataset's owner was faster.
        return False
    return True
