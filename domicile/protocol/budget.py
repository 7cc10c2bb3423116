"""What datasets may spend on differential privacy, and what jobs reserve of it: the twin of PrivacyLedger.

Budgets add up over jobs (basic composition), which holds whatever the jobs do. What a part of a job's rounds spent does
not follow from the budget of all of them: of composed mechanisms the first rounds cost most. So a member says what it
spent by its own accountant, and the ledger holds it to the least that it can have been.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from fractions import Fraction
from typing import Self

from domicile.protocol.refusals import (
    BudgetExceeded,
    DatasetAlreadyRegistered,
    GrantOver,
    InvalidSpending,
    NotDatasetOwner,
    NothingReserved,
    NotHolder,
    UnknownDataset,
    ZeroCommitment,
    ZeroHolder,
)
from domicile.protocol.round import JobParameters, Member
from domicile.types import Address, DatasetId, Digest, JobId

MICROS = 10**6
ATTOS = 10**18
EPSILON_MICROS_MAX = 2**48 - 1
DELTA_ATTOS_MAX = 2**56 - 1
"""Of a grant: about 281 million, and 0.072."""

_NOBODY = Address("0x" + "0" * 40)


@dataclass(frozen=True, kw_only=True, slots=True)
class Budget:
    """(epsilon, delta) in whole numbers: millionths, and units of 1e-18."""

    epsilon_micros: int
    delta_attos: int

    @classmethod
    def covering(cls, epsilon: float, delta: float) -> Budget:
        """The least budget that holds both figures: for what is spent."""
        return cls(epsilon_micros=math.ceil(_scaled(epsilon, MICROS)), delta_attos=math.ceil(_scaled(delta, ATTOS)))

    @classmethod
    def within(cls, epsilon: float, delta: float) -> Budget:
        """The greatest budget that both figures hold: for what is granted."""
        return cls(epsilon_micros=math.floor(_scaled(epsilon, MICROS)), delta_attos=math.floor(_scaled(delta, ATTOS)))

    def __str__(self) -> str:
        """``epsilon 1.5, delta 1e-05``, exact in epsilon."""
        return f"epsilon {(Decimal(self.epsilon_micros) / MICROS).normalize():f}, delta {self.delta:g}"

    def __add__(self, other: Self) -> Budget:
        return Budget(
            epsilon_micros=self.epsilon_micros + other.epsilon_micros, delta_attos=self.delta_attos + other.delta_attos
        )

    def __sub__(self, other: Self) -> Budget:
        """Never below zero: a grant may become smaller than what was reserved of it."""
        return Budget(
            epsilon_micros=max(0, self.epsilon_micros - other.epsilon_micros),
            delta_attos=max(0, self.delta_attos - other.delta_attos),
        )

    def between(self, least: Self, most: Self) -> Budget:
        """Each figure brought within its bounds."""
        return Budget(
            epsilon_micros=min(max(self.epsilon_micros, least.epsilon_micros), most.epsilon_micros),
            delta_attos=min(max(self.delta_attos, least.delta_attos), most.delta_attos),
        )

    def holds(self, part: Self) -> bool:
        """Whether both figures of a part are at most these."""
        return part.epsilon_micros <= self.epsilon_micros and part.delta_attos <= self.delta_attos

    @property
    def epsilon(self) -> float:
        return self.epsilon_micros / MICROS

    @property
    def delta(self) -> float:
        return self.delta_attos / ATTOS


def _scaled(figure: float, scale: int) -> Fraction:
    # By the digits that people write: as a binary fraction, 0.1 is more.
    return Fraction(repr(figure)) * scale


NOTHING = Budget(epsilon_micros=0, delta_attos=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset:
    """`reserved`: what jobs have spent or may still spend. `valid_until_s`: end of the period in which they may
    reserve, 0 where nothing was ever granted.
    """

    owner: Address
    holder: Address
    granted: Budget = NOTHING
    reserved: Budget = NOTHING
    valid_until_s: int = 0

    @property
    def remaining(self) -> Budget:
        return self.granted - self.reserved


@dataclass(frozen=True, kw_only=True, slots=True)
class Reservation:
    dataset: DatasetId
    budget: Budget


@dataclass(frozen=True, kw_only=True)
class PrivacyLedger:
    """`datasets` by number, from 1; `reservations` that did not end."""

    datasets: Mapping[DatasetId, Dataset] = field(default_factory=dict)
    commitments: Mapping[Digest, DatasetId] = field(default_factory=dict)
    reservations: Mapping[tuple[JobId, Address], Reservation] = field(default_factory=dict)

    def dataset(self, number: DatasetId) -> Dataset:
        """A registered dataset.

        Raises:
            UnknownDataset: there is none of this number.
        """
        if number not in self.datasets:
            raise UnknownDataset(dataset=number)
        return self.datasets[number]

    def with_dataset(self, number: DatasetId, dataset: Dataset) -> PrivacyLedger:
        return replace(self, datasets={**self.datasets, number: dataset})


def budget_of(parameters: JobParameters) -> Budget:
    """All that a job may spend of each member's dataset."""
    return Budget(epsilon_micros=parameters.epsilon_micros, delta_attos=parameters.delta_attos)


def register(ledger: PrivacyLedger, owner: Address, commitment: Digest, holder: Address) -> PrivacyLedger:
    """Adds a dataset of which nothing is granted yet."""
    if not any(commitment):
        raise ZeroCommitment()
    if holder == _NOBODY:
        raise ZeroHolder()
    if commitment in ledger.commitments:
        raise DatasetAlreadyRegistered(dataset=ledger.commitments[commitment])
    number = DatasetId(len(ledger.datasets) + 1)
    ledger = ledger.with_dataset(number, Dataset(owner=owner, holder=holder))
    return replace(ledger, commitments={**ledger.commitments, commitment: number})


def grant(
    ledger: PrivacyLedger, sender: Address, number: DatasetId, budget: Budget, valid_until_s: int
) -> PrivacyLedger:
    """Replaces what all jobs together may spend, ever."""
    dataset = ledger.dataset(number)
    if sender != dataset.owner:
        raise NotDatasetOwner(dataset=number, account=sender)
    return ledger.with_dataset(number, replace(dataset, granted=budget, valid_until_s=valid_until_s))


def require_budget(ledger: PrivacyLedger, number: DatasetId, holder: Address, budget: Budget, now_s: int) -> None:
    """Whether a holder may reserve so much now.

    Raises:
        UnknownDataset, NotHolder, GrantOver, BudgetExceeded: it may not; the last says what is left.
    """
    dataset = ledger.dataset(number)
    if holder != dataset.holder:
        raise NotHolder(dataset=number, account=holder)
    if now_s >= dataset.valid_until_s:
        raise GrantOver(dataset=number, valid_until_s=dataset.valid_until_s)
    left = dataset.remaining
    if not left.holds(budget):
        raise BudgetExceeded(
            dataset=number, remaining_epsilon_micros=left.epsilon_micros, remaining_delta_attos=left.delta_attos
        )


def reserve(
    ledger: PrivacyLedger, job: JobId, number: DatasetId, holder: Address, budget: Budget, now_s: int
) -> PrivacyLedger:
    """Reserves all that a job may spend.

    Raises:
        ContractRefusal: as `require_budget`.
    """
    require_budget(ledger, number, holder, budget, now_s)
    dataset = ledger.dataset(number)
    ledger = ledger.with_dataset(number, replace(dataset, reserved=dataset.reserved + budget))
    kept = Reservation(dataset=number, budget=budget)
    return replace(ledger, reservations={**ledger.reservations, (job, holder): kept})


def give_back(ledger: PrivacyLedger, job: JobId, holder: Address, unspent: Budget) -> PrivacyLedger:
    """Ends a reservation and frees part of it.

    Raises:
        NothingReserved: there is none of so much.
    """
    kept = ledger.reservations.get((job, holder))
    if kept is None or not kept.budget.holds(unspent):
        raise NothingReserved(job=job, node=holder)
    dataset = ledger.dataset(kept.dataset)
    ledger = ledger.with_dataset(kept.dataset, replace(dataset, reserved=dataset.reserved - unspent))
    others = {key: one for key, one in ledger.reservations.items() if key != (job, holder)}
    return replace(ledger, reservations=others)


def require_spending(spent: Budget, member: Member, parameters: JobParameters) -> None:
    """Whether a member can have spent so much.

    Raises:
        InvalidSpending: it is more than was reserved, or less than the share of the rounds up to its last commit.
    """
    least = least_spent(member, parameters)
    if not (budget_of(parameters).holds(spent) and spent.holds(least)):
        raise InvalidSpending(least_epsilon_micros=least.epsilon_micros, least_delta_attos=least.delta_attos)


def least_spent(member: Member, parameters: JobParameters) -> Budget:
    """The share of all rounds that a job can ask for, retries included, up to a member's last commit, rounded up."""
    if not member.has_committed:
        return NOTHING
    every = parameters.global_rounds * parameters.max_regional_rounds * (1 + parameters.max_retries)
    # A shard that opened again counts its regional rounds on.
    up_to = member.last_global_round * parameters.max_regional_rounds + member.last_regional_round + 1
    ran = min(every, up_to)
    reserved = budget_of(parameters)
    return Budget(
        epsilon_micros=-(-reserved.epsilon_micros * ran // every), delta_attos=-(-reserved.delta_attos * ran // every)
    )
