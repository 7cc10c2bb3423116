"""Budgets of datasets: sums against a slow count of every reservation, and what a member must have spent at least."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domicile.protocol import budget
from domicile.protocol.budget import NOTHING, Budget, PrivacyLedger, least_spent, require_spending
from domicile.protocol.complaint import ContractRefusal
from domicile.protocol.eligibility import Safeguard, Sensitivity
from domicile.protocol.jurisdiction import Tier
from domicile.protocol.refusals import BudgetExceeded, InvalidSpending, NothingReserved
from domicile.protocol.round import NO_DATASET, JobParameters, Member
from domicile.types import Address, DatasetId, Digest, JobId, ShardIndex

OWNER, HOLDER = Address("0x" + "11" * 20), Address("0x" + "22" * 20)
SET = DatasetId(1)
NEVER_S = 10**9
BUDGETS = st.builds(Budget, epsilon_micros=st.integers(0, 20), delta_attos=st.integers(0, 20))
PARAMETERS = JobParameters(
    spec=Digest(b"\1" * 32),
    join_window_s=1,
    collect_window_s=1,
    global_rounds=5,
    min_regional_rounds=1,
    max_regional_rounds=3,
    patience=1,
    min_delta_micros=0,
    max_retries=2,
    min_nodes=2,
    min_contributors=3,
    min_shards=1,
    sensitivity=Sensitivity.PUBLIC,
    max_tier=Tier.OPEN,
    safeguards=Safeguard.NONE,
    epsilon_micros=1_000_003,
    delta_attos=7,
    denied=(),
)


def granted(amount: Budget) -> PrivacyLedger:
    ledger = budget.register(PrivacyLedger(), OWNER, Digest(b"\1" * 32), HOLDER)
    return budget.grant(ledger, OWNER, SET, amount, NEVER_S)


@dataclass
class Count:
    """The oracle: every amount that is reserved, and every amount that was spent, one by one."""

    lasting: dict[JobId, Budget] = field(default_factory=dict)
    spent: list[Budget] = field(default_factory=list)

    def total(self) -> tuple[int, int]:
        amounts = [*self.lasting.values(), *self.spent]
        return sum(one.epsilon_micros for one in amounts), sum(one.delta_attos for one in amounts)


MOVES = st.lists(st.tuples(st.sampled_from(["join", "end", "grant"]), st.integers(1, 6), BUDGETS), max_size=40)


@given(BUDGETS, MOVES)
def test_nothing_is_reserved_above_the_grant_of_its_moment_whatever_the_order(
    first: Budget, moves: list[tuple[str, int, Budget]]
) -> None:
    ledger, count, grant = granted(first), Count(), first
    for act, number, amount in moves:
        job, before = JobId(number), count.total()
        try:
            if act == "grant":
                ledger, grant = budget.grant(ledger, OWNER, SET, amount, NEVER_S), amount
            elif act == "join" and job not in count.lasting:
                ledger = budget.reserve(ledger, job, SET, HOLDER, amount, 0)
                count.lasting[job] = amount
                epsilon, delta = count.total()
                # Of a figure that a job does not ask for, more may be reserved than a later, smaller grant allows.
                assert not amount.epsilon_micros or epsilon <= grant.epsilon_micros
                assert not amount.delta_attos or delta <= grant.delta_attos
            elif act == "end":
                ledger = budget.give_back(ledger, job, HOLDER, amount)
                count.spent.append(count.lasting.pop(job) - amount)
        except ContractRefusal:
            assert count.total() == before
        held = ledger.datasets[SET].reserved
        assert (held.epsilon_micros, held.delta_attos) == count.total()
        assert {key[0] for key in ledger.reservations} == set(count.lasting)


@given(BUDGETS, BUDGETS)
def test_a_job_is_refused_exactly_where_one_figure_is_above_what_is_left(grant: Budget, asked: Budget) -> None:
    fits = asked.epsilon_micros <= grant.epsilon_micros and asked.delta_attos <= grant.delta_attos
    if fits:
        assert budget.reserve(granted(grant), JobId(1), SET, HOLDER, asked, 0).datasets[SET].remaining == grant - asked
    else:
        with pytest.raises(BudgetExceeded) as refused:
            budget.reserve(granted(grant), JobId(1), SET, HOLDER, asked, 0)
        left = (refused.value.remaining_epsilon_micros, refused.value.remaining_delta_attos)
        assert left == (grant.epsilon_micros, grant.delta_attos)


def test_a_reservation_ends_once_and_returns_no_more_than_itself() -> None:
    two = Budget(epsilon_micros=2, delta_attos=2)
    ledger = budget.reserve(granted(two), JobId(1), SET, HOLDER, two, 0)
    with pytest.raises(NothingReserved):
        budget.give_back(ledger, JobId(1), HOLDER, replace(two, delta_attos=3))
    ledger = budget.give_back(ledger, JobId(1), HOLDER, NOTHING)
    with pytest.raises(NothingReserved):
        budget.give_back(ledger, JobId(1), HOLDER, NOTHING)
    assert ledger.datasets[SET].remaining == NOTHING


@pytest.mark.parametrize(
    ("epsilon", "delta", "covering", "within"),
    [
        (8.0, 1e-5, (8_000_000, 10**13), (8_000_000, 10**13)),
        (0.1, 0.03, (100_000, 3 * 10**16), (100_000, 3 * 10**16)),
        (0.0000011, 1.5e-18, (2, 2), (1, 1)),
        (2.5118885, 0.0, (2_511_889, 0), (2_511_888, 0)),
    ],
)
def test_what_is_spent_is_rounded_up_and_what_is_granted_down(
    epsilon: float, delta: float, covering: tuple[int, int], within: tuple[int, int]
) -> None:
    spent, grant = Budget.covering(epsilon, delta), Budget.within(epsilon, delta)
    assert (spent.epsilon_micros, spent.delta_attos) == covering
    assert (grant.epsilon_micros, grant.delta_attos) == within


def member(last: tuple[int, int] | None) -> Member:
    global_round, regional_round = last or (0, 0)
    return Member(
        joined=False,
        has_committed=last is not None,
        shard=ShardIndex(0),
        last_global_round=global_round,
        last_regional_round=regional_round,
        dataset=NO_DATASET,
    )


@given(st.none() | st.tuples(st.integers(0, 4), st.integers(0, 40)))
def test_at_least_the_share_of_the_rounds_up_to_the_last_commit_counts_as_spent(last: tuple[int, int] | None) -> None:
    # A shard that opened again counts its regional rounds on, beyond the three of a global round.
    ran = 0 if last is None else min(45, 3 * last[0] + last[1] + 1)
    share = Fraction(ran, 45)
    least = least_spent(member(last), PARAMETERS)
    assert share * 1_000_003 <= least.epsilon_micros < share * 1_000_003 + 1
    assert share * 7 <= least.delta_attos < share * 7 + 1
    require_spending(least, member(last), PARAMETERS)
    if last is not None:
        with pytest.raises(InvalidSpending):
            require_spending(replace(least, epsilon_micros=least.epsilon_micros - 1), member(last), PARAMETERS)
    with pytest.raises(InvalidSpending):
        require_spending(Budget(epsilon_micros=1_000_004, delta_attos=7), member(last), PARAMETERS)
