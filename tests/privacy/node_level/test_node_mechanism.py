"""Grid, noise and ring: what the whole numbers of a job promise."""

from __future__ import annotations

import itertools
import math

import pytest

from domicile.errors import ConfigurationError
from domicile.privacy.node_level.mechanism import NODES_MAX, SumMechanism, mechanism_for, rounded_norm_squared
from tests.privacy.node_level.exact_sums import ShiftedSum

ORDERS = [
    # epsilon, rounds, shares, parameters
    *((8.0, 20, 2, 31), (1.0, 20, 2, 31), (1.0, 100, 2, 10**7), (0.1, 1000, 3, 10**6)),
    *((8.0, 10, 100, 10**6), (100.0, 1, 3, 10), (0.01, 1, 2, 1000), (4.0, 1, 1, 1)),
]


@pytest.mark.parametrize(("epsilon", "num_sums", "num_shares", "num_parameters"), ORDERS)
def test_the_noise_keeps_epsilon_and_hardly_less_would_do(
    epsilon: float, num_sums: int, num_shares: int, num_parameters: int
) -> None:
    found = mechanism_for(epsilon, 1e-5, num_sums=num_sums, num_shares=num_shares, num_parameters=num_parameters)
    assert 0.999 * epsilon <= found.epsilon(num_sums, 1e-5) <= epsilon


@pytest.mark.parametrize(("epsilon", "num_sums", "num_shares", "num_parameters"), ORDERS)
def test_no_sum_of_a_full_shard_leaves_the_ring(
    epsilon: float, num_sums: int, num_shares: int, num_parameters: int
) -> None:
    found = mechanism_for(epsilon, 1e-5, num_sums=num_sums, num_shares=num_shares, num_parameters=num_parameters)
    assert found.bound(NODES_MAX) < 2**31
    noise = found.bound(NODES_MAX) - NODES_MAX * (found.scale + 1)
    deviations = noise / math.sqrt(NODES_MAX * found.variance)
    assert (num_parameters + 1) * math.erfc(deviations / math.sqrt(2)) <= 2**-40
    assert rounded_norm_squared(found.scale, num_parameters) <= 1.1 * found.scale**2


def test_a_finer_grid_would_leave_it() -> None:
    found = mechanism_for(1.0, 1e-5, num_sums=20, num_shares=2, num_parameters=31)
    finer = SumMechanism(
        num_parameters=31, scale=2 * found.scale, variance=4 * found.variance, num_shares=found.num_shares
    )
    assert finer.bound(NODES_MAX) >= 2**31


def test_noise_is_in_proportion_to_the_deviation_of_a_classical_gaussian() -> None:
    """σ / Δ = √(T / 2ρ), whatever the grid."""
    for num_parameters in (10, 10**5):
        found = mechanism_for(2.0, 1e-5, num_sums=30, num_shares=4, num_parameters=num_parameters)
        assert found.noise_multiplier == pytest.approx(math.sqrt(1 / (2 * found.rho)), rel=1e-9)


def test_more_noise_than_the_ring_holds_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"privacy\.epsilon: 0\.01 over 65535 rounds .*; raise it, or lower"):
        mechanism_for(0.01, 1e-5, num_sums=65535, num_shares=2, num_parameters=10**8)


@pytest.mark.parametrize("num_shares", [2, 3])
def test_whatever_an_update_is_rounded_to_the_sum_keeps_epsilon(num_shares: int) -> None:
    """All pairs of a value and a bit that a node can put into a tiny ring, against their exact privacy loss."""
    tiny = SumMechanism(num_parameters=1, scale=4, variance=16, num_shares=num_shares)
    side = math.isqrt(tiny.rounded_norm_squared)
    assert side == 4
    for value, bit in itertools.product(range(-side, side + 1), (-tiny.bit, tiny.bit)):
        exact = ShiftedSum(tiny.variance, num_shares, (value, bit)).epsilon(1e-5)
        assert exact <= tiny.epsilon(1, 1e-5)
    worst = ShiftedSum(tiny.variance, num_shares, (side, tiny.bit)).epsilon(1e-5)
    assert tiny.epsilon(1, 1e-5) <= 1.3 * worst
