"""Updates of a whole shard, noised in shares, summed in the ring and decoded.

Shapes: N nodes, P flat parameters.
"""

from __future__ import annotations

import math

import pytest
import torch
from scipy.stats import chi2, kstest

from domicile.privacy.node_level.clipping import RANGE, ClippingRule, mean_norm
from domicile.privacy.node_level.grid import NoisedGrid
from domicile.privacy.node_level.mechanism import SumMechanism, mechanism_for
from domicile.privacy.node_level.update import NoisedUpdate, RoundingFailed, clipped_and_rounded, noised_update
from domicile.privacy.randomness import WORD_BITS, SecureRandomness, SeededRandomness

HALF = ClippingRule(initial=1.0, quantile=0.5, rate=0.2)
P_MIN = 1e-4


class RoundingUp(SeededRandomness):
    """The greatest of all words, each time that a rounding asks."""

    def uniform(self, count: int) -> torch.Tensor:
        return torch.full((count,), 1 - 2.0**-WORD_BITS, dtype=torch.float64)


class Counting(SeededRandomness):
    calls = 0

    def uniform(self, count: int) -> torch.Tensor:
        self.calls += 1
        return super().uniform(count)


def ring_sum(updates: list[NoisedUpdate]) -> torch.Tensor:
    """What a secure sum of the values tells: int32 that leave their range come back at its other end."""
    return torch.stack([one.values_P for one in updates]).sum(0, dtype=torch.int32)


def mean_of(
    deltas_NP: torch.Tensor, mechanism: SumMechanism, *, clipping_norm: float = 1.0, seed: int
) -> tuple[torch.Tensor, float]:
    """The mean, and the noised part of the nodes that were within bounds."""
    updates = [
        noised_update(delta_P / clipping_norm, mechanism, SeededRandomness(1000 * seed + node))
        for node, delta_P in enumerate(deltas_NP)
    ]
    step = clipping_norm * NoisedGrid(mechanism=mechanism).step
    within = mechanism.within(sum(one.bit for one in updates), len(updates))
    return ring_sum(updates).double() * step / len(updates), within


@pytest.mark.parametrize("num_nodes", [3, 16, 256])
@pytest.mark.parametrize("clipping_norm", [1.0, 0.037])
def test_the_decoded_mean_is_that_of_the_clipped_updates_with_the_noise_that_is_claimed(
    num_nodes: int, clipping_norm: float
) -> None:
    mechanism = mechanism_for(4.0, 1e-5, num_sums=10, num_shares=2, num_parameters=2000)
    generator = torch.Generator().manual_seed(num_nodes)
    lengths = torch.linspace(0.1, 5, num_nodes)[:, None]
    directions_NP = torch.nn.functional.normalize(torch.randn(num_nodes, 2000, generator=generator))
    deltas_NP = clipping_norm * lengths * directions_NP
    clipped_NP = clipping_norm * lengths.clamp(max=1) * directions_NP
    mean_P, _ = mean_of(deltas_NP, mechanism, clipping_norm=clipping_norm, seed=num_nodes)
    deviation = clipping_norm * mechanism.relative_deviation(num_nodes)
    residual_P = (mean_P - clipped_NP.double().mean(0)) / deviation
    assert kstest(residual_P.numpy(), "norm").pvalue > P_MIN


def test_the_survivors_that_are_counted_on_carry_all_the_noise() -> None:
    """With more than those, the sum has more of it: what each adds does not depend on how many there are."""
    mechanism = mechanism_for(4.0, 1e-5, num_sums=10, num_shares=5, num_parameters=4000)
    nothing_P = torch.zeros(4000)
    updates = [noised_update(nothing_P, mechanism, SeededRandomness(node)) for node in range(5)]
    squares = float(ring_sum(updates).double().square().sum())
    claimed = mechanism.noise_multiplier**2 * mechanism.sensitivity_squared
    assert P_MIN < chi2(4000).cdf(squares / claimed) < 1 - P_MIN


def test_rounding_is_tried_anew_until_the_norm_is_what_the_noise_covers() -> None:
    """Half a step in each coordinate: the squared norm is 5000 ± 50, and the bound two deviations above."""
    mechanism = SumMechanism(num_parameters=10_000, scale=50, variance=1, num_shares=2)
    assert mechanism.rounded_norm_squared == 5100
    randomness = Counting(4)
    for _ in range(300):
        rounded_P = clipped_and_rounded(torch.full((10_000,), 0.01), mechanism, randomness)
        assert set(rounded_P.unique().tolist()) == {0, 1}
        assert int((rounded_P**2).sum()) <= 5100
    assert 300 < randomness.calls < 330


def test_rounding_has_no_bias() -> None:
    mechanism = SumMechanism(num_parameters=4, scale=1 << 10, variance=1, num_shares=2)
    delta_P = torch.tensor([0.3, -0.3, 1e-4, -0.00037])
    mean_P = torch.zeros(4, dtype=torch.float64)
    for seed in range(4000):
        mean_P += clipped_and_rounded(delta_P, mechanism, SeededRandomness(seed)) / 4000
    assert torch.allclose(mean_P, delta_P.double() * 1024, atol=4 * 0.5 / math.sqrt(4000))


def test_a_norm_that_no_rounding_keeps_is_never_let_out() -> None:
    """Randomness that always rounds up carries an update beyond what the noise covers."""
    mechanism = SumMechanism(num_parameters=10_000, scale=50, variance=1, num_shares=2)
    with pytest.raises(RoundingFailed, match="cannot be rounded within the norm that the noise covers; train anew"):
        noised_update(torch.full((10_000,), 0.01), mechanism, RoundingUp(1))


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_values_that_are_no_numbers_are_never_let_out(value: float) -> None:
    mechanism = mechanism_for(4.0, 1e-5, num_sums=10, num_shares=2, num_parameters=2)
    with pytest.raises(RoundingFailed, match="NaN or infinite"):
        noised_update(torch.tensor([0.1, value]), mechanism, SecureRandomness())


def test_an_update_of_another_model_is_not_taken() -> None:
    mechanism = mechanism_for(4.0, 1e-5, num_sums=10, num_shares=2, num_parameters=2)
    with pytest.raises(ValueError, match="for 2 parameters"):
        noised_update(torch.zeros(3), mechanism, SecureRandomness())


def test_the_clipping_norm_finds_the_quantile_of_many_nodes() -> None:
    """64 nodes with norms from 0.1 to 10: half of them lie below 5.05."""
    mechanism = mechanism_for(8.0, 1e-5, num_sums=40, num_shares=60, num_parameters=10)
    lengths = torch.linspace(0.1, 10, 64)[:, None]
    directions_NP = torch.nn.functional.normalize(torch.randn(64, 10, generator=torch.Generator().manual_seed(1)))
    path = [2.0]
    for turn in range(40):
        _, within = mean_of(lengths * directions_NP, mechanism, clipping_norm=path[-1], seed=turn)
        path.append(HALF.next(path[-1], within))
    assert all(abs(one - 5.05) < 1 for one in path[-15:])


def test_one_round_moves_the_norm_as_the_paper_says() -> None:
    for within in (0.0, 0.3, 0.5, 1.0):
        assert HALF.next(2.0, within) == pytest.approx(2.0 * math.exp(-0.2 * (within - 0.5)), rel=1e-15)


@pytest.mark.parametrize(("within", "as_if"), [(-3.0, 0.0), (7.0, 1.0)])
def test_noise_moves_the_norm_no_further_than_all_nodes_could(within: float, as_if: float) -> None:
    assert HALF.next(2.0, within) == HALF.next(2.0, as_if)


def test_without_a_quantile_the_norm_stays() -> None:
    assert ClippingRule(initial=1.0, quantile=None, rate=0.2).next(0.37, 1.0) == 0.37


def test_the_norm_never_leaves_its_range() -> None:
    assert HALF.next(1 / RANGE, 1.0) == 1 / RANGE
    assert HALF.next(RANGE, 0.0) == RANGE


def test_secret_noise_differs_each_time() -> None:
    mechanism = mechanism_for(4.0, 1e-5, num_sums=10, num_shares=2, num_parameters=100)
    first, second = (noised_update(torch.zeros(100), mechanism, SecureRandomness()) for _ in range(2))
    assert not torch.equal(first.values_P, second.values_P)
    assert first.bit != second.bit


@pytest.mark.parametrize(
    ("told", "mean"), [([0.5, 1.5], 1.0), ([2.0], 2.0), ([None, None], None), ([], None), ([1.7e308, 1.7e308], 1.7e308)]
)
def test_shards_go_on_from_the_mean_of_their_norms(told: list[float | None], mean: float | None) -> None:
    assert mean_norm(told) == mean


@pytest.mark.parametrize(("told", "norm"), [(1e-300, 1 / RANGE), (1e300, RANGE), (0.25, 0.25)])
def test_a_norm_that_others_told_is_brought_within_range(told: float, norm: float) -> None:
    assert HALF.within_range(told) == norm
