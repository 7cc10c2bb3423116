"""Following the privacy ledger: what was granted, and what members of all jobs reserved and gave back.

Of other jobs than the one that is replayed it takes the ledger's side alone: that their members reserved no more than
was left, and gave back no more than they reserved.
"""

from __future__ import annotations

from domicile.chain import events as ev
from domicile.errors import LineageError
from domicile.lineage.record import place_of
from domicile.protocol import budget
from domicile.protocol.budget import Budget, PrivacyLedger, budget_of
from domicile.protocol.complaint import ContractRefusal
from domicile.protocol.round import NO_DATASET
from domicile.types import JobId


class LedgerReplay:
    """`ledger` is that after all events which were followed."""

    def __init__(self) -> None:
        self.ledger = PrivacyLedger()
        self._budgets: dict[JobId, Budget] = {}

    def follow(self, event: ev.Event, now_s: int) -> None:
        """Takes in the next event of the chain; most are none of the ledger's.

        Raises:
            LineageError: the ledger would have refused this, or told something else.
        """
        if isinstance(event, ev.JobCreated):
            self._budgets[event.job] = budget_of(event.parameters)
            return
        try:
            self.ledger = self._after(event, now_s)
        except ContractRefusal as exc:
            raise LineageError(f"{place_of(event, ())}: {exc.complaint}") from exc

    def _after(self, event: ev.Event, now_s: int) -> PrivacyLedger:
        match event:
            case ev.DatasetRegistered():
                _require(event, "dataset", event.dataset, len(self.ledger.datasets) + 1)
                return budget.register(self.ledger, event.owner, event.commitment, event.holder)
            case ev.BudgetGranted():
                # Who granted is in no event: the owner, which the contract demands.
                owner = self.ledger.dataset(event.dataset).owner
                granted = Budget(epsilon_micros=event.epsilon_micros, delta_attos=event.delta_attos)
                return budget.grant(self.ledger, owner, event.dataset, granted, event.valid_until_s)
            case ev.MemberJoined() if event.dataset != NO_DATASET:
                if event.job not in self._budgets:
                    raise LineageError(f"{place_of(event, ())}: the creation of job {event.job} is missing before it")
                reserved = self._budgets[event.job]
                return budget.reserve(self.ledger, event.job, event.dataset, event.node, reserved, now_s)
            case ev.BudgetReturned():
                kept = self.ledger.reservations.get((event.job, event.node))
                if kept is not None:
                    _require(event, "dataset", event.dataset, kept.dataset)
                unspent = Budget(epsilon_micros=event.epsilon_micros, delta_attos=event.delta_attos)
                return budget.give_back(self.ledger, event.job, event.node, unspent)
            case _:
                return self.ledger


def _require(event: ev.Event, name: str, told: int, expected: int) -> None:
    if told != expected:
        raise LineageError(f"{place_of(event, ())}: {name} is {told}, after the events before it {expected}")
