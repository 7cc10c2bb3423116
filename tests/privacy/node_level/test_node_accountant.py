"""ε of noised sums against the exact privacy loss of small ones."""

from __future__ import annotations

import pytest

from domicile.privacy.node_level.accountant import epsilon_of, rho_for, rho_of, variance_for
from tests.privacy.node_level.exact_sums import ShiftedSum

SUMS = [
    # variance of a share, shares, by how much each value of the sum differs
    *((1, 1, (1,)), (1, 2, (1,)), (1, 2, (3, 1)), (1, 3, (2,)), (2, 2, (1, 1, 1)), (3, 4, (2, 2))),
    *((4, 3, (2, 1)), (9, 5, (4,)), (16, 4, (1,)), (25, 2, (3, 3))),
]


def rho(variance: int, num_shares: int, shifts: tuple[int, ...]) -> float:
    return rho_of(
        sensitivity_squared=sum(shift**2 for shift in shifts),
        variance=variance,
        num_shares=num_shares,
        num_values=len(shifts),
    )


@pytest.mark.parametrize(("variance", "num_shares", "shifts"), SUMS)
@pytest.mark.parametrize("delta", [1e-3, 1e-5, 1e-8])
def test_epsilon_is_never_below_the_exact_one_and_not_far_above(
    variance: int, num_shares: int, shifts: tuple[int, ...], delta: float
) -> None:
    exact = ShiftedSum(variance, num_shares, shifts).epsilon(delta)
    told = epsilon_of(rho(variance, num_shares, shifts), delta)
    assert exact <= told <= 1.2 * exact + 0.01


@pytest.mark.parametrize(("variance", "num_shares", "shifts"), SUMS)
@pytest.mark.parametrize("order", [1.5, 2, 3, 4])
def test_no_renyi_divergence_is_above_the_concentrated_bound(
    variance: int, num_shares: int, shifts: tuple[int, ...], order: float
) -> None:
    exact = ShiftedSum(variance, num_shares, shifts).renyi(order)
    assert exact <= order * rho(variance, num_shares, shifts) * (1 + 1e-12)


def test_a_sum_of_discrete_gaussians_is_none_which_the_bound_pays_for() -> None:
    """Without its term in τ the bound would not hold."""
    untaxed = 1 / (2 * 2)
    assert untaxed * (1 + 1e-8) < ShiftedSum(1, 2, (1,)).renyi(4) / 4 < rho(1, 2, (1,))


@pytest.mark.parametrize("rounds", [2, 3])
def test_rounds_add_up(rounds: int) -> None:
    """So many rounds of one value are one round of so many values, of which each has noise of its own."""
    exact = ShiftedSum(4, 2, (2,) * rounds).epsilon(1e-5)
    assert exact <= epsilon_of(rounds * rho(4, 2, (2,)), 1e-5) <= 1.15 * exact


def test_nothing_summed_costs_nothing() -> None:
    assert epsilon_of(0.0, 1e-5) == 0.0


@pytest.mark.parametrize("epsilon", [0.01, 0.5, 1.0, 8.0, 100.0])
@pytest.mark.parametrize("delta", [1e-3, 1e-5, 1e-10])
def test_the_greatest_rho_keeps_epsilon_and_no_greater_one_does(epsilon: float, delta: float) -> None:
    found = rho_for(epsilon, delta)
    assert epsilon_of(found, delta) <= epsilon < epsilon_of(found * (1 + 1e-8), delta)


@pytest.mark.parametrize("num_values", [1, 10**7])
@pytest.mark.parametrize("num_shares", [1, 2, 30])
@pytest.mark.parametrize("sensitivity_squared", [1, 10**6, 1 << 42])
def test_the_least_variance_keeps_rho_and_less_does_not(
    sensitivity_squared: int, num_shares: int, num_values: int
) -> None:
    found = variance_for(0.01, sensitivity_squared=sensitivity_squared, num_shares=num_shares, num_values=num_values)

    def cost(variance: int) -> float:
        return rho_of(
            sensitivity_squared=sensitivity_squared, variance=variance, num_shares=num_shares, num_values=num_values
        )

    assert cost(found) <= 0.01 < cost(found - 1)
