"""Samples against the distribution's own weights, and against the slow sampler in fractions."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
from random import Random

import numpy as np
import pytest
import torch
from scipy.stats import chi2_contingency, chisquare, kstest

from domicile.privacy.node_level import discrete_gaussian as sampler
from domicile.privacy.node_level.discrete_gaussian import LazyUniform, discrete_gaussian, exp_bounds
from domicile.privacy.randomness import WORD_BITS, SecureRandomness, SeededRandomness
from tests.privacy.node_level import rational_gaussian

P_MIN = 1e-4
"""Seeds are fixed, so that a test that passes once passes always."""


class Words:
    """Given words, in their order."""

    def __init__(self, *words: int) -> None:
        self._words = list(words)

    def words(self, count: int) -> torch.Tensor:
        taken, self._words = self._words[:count], self._words[count:]
        return torch.tensor(taken)

    def uniform(self, count: int) -> torch.Tensor:
        raise NotImplementedError

    gaussian = uniform


def p_value_of(values: Iterable[int], variance: float, count: int) -> float:
    """Chi-square of a sample against the distribution; values that are expected fewer than ten times count as one."""
    bound = math.ceil(12 * math.sqrt(variance))
    expected = count * np.array(rational_gaussian.probabilities(variance, bound))
    seen = Counter(values)
    observed = np.array([seen[x] for x in range(-bound, bound + 1)])
    common = expected >= 10
    observed = np.append(observed[common], count - observed[common].sum())
    expected = np.append(expected[common], count - expected[common].sum())
    return float(chisquare(observed, expected, sum_check=False).pvalue)


@pytest.mark.parametrize("variance", [1, 2, 7, 64, 1000])
def test_samples_have_the_distribution(variance: int) -> None:
    values = discrete_gaussian(400_000, variance, SeededRandomness(variance)).tolist()
    assert p_value_of(values, variance, len(values)) > P_MIN


def test_the_check_tells_another_variance() -> None:
    values = discrete_gaussian(400_000, 64, SeededRandomness(1)).tolist()
    assert p_value_of(values, 66, len(values)) < P_MIN


@pytest.mark.parametrize("variance", [1, 7])
def test_where_exact_arithmetic_decides_the_distribution_is_the_same(variance: int) -> None:
    """A doubt of one tenth sends a great part of all trials there."""
    values = discrete_gaussian(40_000, variance, SeededRandomness(variance), slack=0.1).tolist()
    assert p_value_of(values, variance, len(values)) > P_MIN


def test_exact_arithmetic_agrees_with_floating_point_on_every_word() -> None:
    """A doubt of one twentieth leaves many words to it; none of them is so near that it needs further bits."""
    fast = sampler._Sampler(1000, SeededRandomness(5), sampler.SLACK)
    slow = sampler._Sampler(1000, SeededRandomness(5), 0.05)
    assert torch.equal(fast._geometric(20_000), slow._geometric(20_000))
    exponents = torch.arange(20_000, dtype=torch.float64) / 1000
    decided = [one._trial(exponents, lambda at: Fraction(at, 1000)) for one in (fast, slow)]
    assert torch.equal(*decided)


@pytest.mark.parametrize("variance", [2, 9])
def test_samples_are_those_of_the_slow_sampler(variance: int) -> None:
    random = Random(variance)  # noqa: S311 - a sample to compare with
    slow = Counter(rational_gaussian.discrete_gaussian(Fraction(variance), random) for _ in range(20_000))
    fast = Counter(discrete_gaussian(20_000, variance, SeededRandomness(variance)).tolist())
    values = [x for x in sorted(slow | fast) if slow[x] + fast[x] >= 20]
    table = [[counts[x] for x in values] for counts in (slow, fast)]
    assert chi2_contingency(table).pvalue > P_MIN


@pytest.mark.parametrize("variance", [(1 << 44) + 12_345, sampler.VARIANCE_MAX])
def test_a_large_variance_gives_the_normal_distribution(variance: int) -> None:
    """Its steps are far below what so many values resolve."""
    values = discrete_gaussian(200_000, variance, SeededRandomness(7)).double() / math.sqrt(variance)
    assert kstest(values.numpy(), "norm").pvalue > P_MIN
    assert values.abs().max() > 4


def test_large_samples_keep_their_lowest_bits_uniform() -> None:
    values = discrete_gaussian(200_000, 1 << 40, SeededRandomness(11))
    assert chisquare(torch.bincount(values & 63, minlength=64).numpy()).pvalue > P_MIN


def test_secret_samples_differ_each_time() -> None:
    first, second = (discrete_gaussian(64, 1 << 40, SecureRandomness()) for _ in range(2))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("variance", [0, -1, sampler.VARIANCE_MAX + 1])
def test_a_variance_that_float64_cannot_hold_is_refused(variance: int) -> None:
    with pytest.raises(ValueError, match=r"from 1 to 2\*\*52"):
        discrete_gaussian(1, variance, SeededRandomness(1))


def test_none_are_none() -> None:
    assert discrete_gaussian(0, 5, SecureRandomness()).shape == (0,)


def test_a_word_at_the_very_edge_draws_further_bits() -> None:
    edge = math.floor(exp_bounds(Fraction(1), 40)[0] * (1 << WORD_BITS))
    fraction = exp_bounds(Fraction(1), 40)[0] * (1 << WORD_BITS) - edge
    below, above = (int((fraction + part) * (1 << WORD_BITS)) for part in (Fraction(-1, 100), Fraction(1, 100)))
    assert LazyUniform(edge, Words(below)).is_below_exp(Fraction(1))
    assert not LazyUniform(edge, Words(above)).is_below_exp(Fraction(1))


def test_a_word_of_zeros_goes_as_deep_as_its_further_bits_lead() -> None:
    """e⁻⁴⁰ lies below 2⁻⁵³: no word of 53 bits tells it from 0."""
    deep = int(math.exp(-40) * 2 ** (2 * WORD_BITS) * 0.9)
    geometric = sampler._Sampler(1, Words(0, deep), sampler.SLACK)._geometric(1)
    assert geometric.tolist() == [40]


@pytest.mark.parametrize("exponent", [Fraction(1, 3), Fraction(1), Fraction(37), Fraction(10**6, 7)])
def test_the_bounds_of_an_exponential_hold_it_and_close_in(exponent: Fraction) -> None:
    coarse, fine = exp_bounds(exponent, 20), exp_bounds(exponent, 60)
    assert coarse[0] <= fine[0] < fine[1] <= coarse[1]
    assert (coarse[1] - coarse[0]) / coarse[1] < Fraction(1, 10**13)
    assert math.isclose(float(fine[0]), math.exp(-float(exponent)), rel_tol=1e-12)
