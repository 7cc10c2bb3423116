from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from domicile.leakage.one_run import epsilon_lower_bound, p_value


def _slow_p_value(m: int, r: int, v: int, epsilon: float, delta: float) -> float:
    """Theorem 5.2 of Steinke et al. 2023, literally: the greatest of all tails, one by one."""
    accuracy = math.exp(epsilon) / (math.exp(epsilon) + 1)
    tail = {i: sum(binom.pmf(k, r, accuracy) for k in range(max(0, v - i), r + 1)) for i in range(m + 1)}
    alpha = max((tail[i] - tail[0]) / i for i in range(1, m + 1))
    return min(1.0, tail[0] + 2 * m * delta * alpha)


@pytest.mark.parametrize(
    ("m", "r", "v", "epsilon", "delta"),
    [(20, 20, 15, 0.5, 1e-3), (30, 10, 10, 1.0, 1e-5), (30, 12, 3, 2.0, 0.01), (50, 50, 50, 3.0, 0.0), (8, 8, 0, 1, 0)],
)
def test_the_chance_is_that_of_the_theorem(m: int, r: int, v: int, epsilon: float, delta: float) -> None:
    assert p_value(m, r, v, epsilon=epsilon, delta=delta) == pytest.approx(_slow_p_value(m, r, v, epsilon, delta))


def test_guesses_that_are_all_right_show_as_much_as_their_number_allows() -> None:
    included = np.arange(1000) % 2 == 0
    found = epsilon_lower_bound(included.astype(float), included, delta=0.0, confidence=0.95)
    # One guess in 1000 is right with probability q; q^1000 is 0.01, a fifth of the error, at this ε.
    rate = 0.01 ** (1 / 1000)
    assert found.epsilon == pytest.approx(math.log(rate / (1 - rate)), abs=1e-3)
    assert found.epsilon == found.ceiling
    assert found.num_guesses == found.num_correct == 1000


def test_guesses_at_random_show_nothing() -> None:
    generator = np.random.default_rng(1)
    included = generator.random(500) < 0.5
    assert epsilon_lower_bound(generator.normal(size=500), included, delta=1e-5, confidence=0.95).epsilon < 0.2


def test_randomised_response_is_bounded_from_below_as_often_as_the_confidence_says() -> None:
    # The mechanism that tells each coin rightly with probability e^ε / (1 + e^ε) is exactly ε-private.
    epsilon, above, shown = 1.0, 0, []
    for seed in range(200):
        generator = np.random.default_rng(seed)
        included = generator.random(400) < 0.5
        told = included ^ (generator.random(400) > 1 / (1 + math.exp(-epsilon)))
        scores = told + generator.random(400) / 2
        found = epsilon_lower_bound(scores, included, delta=0.0, confidence=0.9).epsilon
        shown.append(found)
        above += found > epsilon
    assert above <= 20
    assert np.median(shown) > 0.6


def test_a_greater_delta_allows_more_and_so_shows_less() -> None:
    included = np.arange(200) % 2 == 0
    bounds = [
        epsilon_lower_bound(included.astype(float), included, delta=delta, confidence=0.95).epsilon
        for delta in (0.0, 1e-5, 1e-3)
    ]
    assert bounds[0] > bounds[1] > bounds[2] > 0
