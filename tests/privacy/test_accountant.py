"""ε against the exact integral of the privacy loss, for thirty settings from weak to strong."""

from __future__ import annotations

import math
import tracemalloc

import pytest
from scipy.stats import norm

from domicile.errors import ConfigurationError
from domicile.privacy import accountant
from domicile.privacy.accountant import (
    EPSILON_ERROR_MAX,
    AccountantsDisagree,
    Mechanism,
    epsilon_of,
    noise_multiplier_for,
    rdp_epsilon_of,
)
from tests.privacy.exact_gaussian import SampledGaussian

SETTINGS = [
    # sample rate, noise multiplier, steps, delta
    *((1.0, 10.0, 50, 1e-5), (1.0, 4.0, 1, 1e-6), (1.0, 30.0, 400, 1e-5), (1.0, 5.0, 10, 1e-3)),
    *((0.9, 8.0, 60, 1e-5), (0.7, 6.0, 75, 1e-4), (0.46, 3.4, 150, 1e-5), (0.46, 2.5, 150, 1e-5)),
    *((0.46, 6.0, 75, 1e-6), (0.3, 2.0, 30, 1e-5), (0.3, 4.0, 300, 1e-3), (0.25, 1.5, 20, 1e-5)),
    *((0.2, 1.0, 10, 1e-4), (0.2, 3.0, 200, 1e-5), (0.1, 0.9, 20, 1e-5), (0.1, 1.5, 100, 1e-6)),
    *((0.1, 5.0, 100, 1e-5), (0.05, 1.0, 100, 1e-5), (0.05, 2.0, 1000, 1e-5), (0.05, 20.0, 100, 1e-5)),
    *((0.03, 0.8, 60, 1e-6), (0.02, 1.1, 500, 1e-6), (0.02, 4.0, 2000, 1e-5), (0.01, 1.0, 1000, 1e-5)),
    *((0.01, 0.7, 100, 1e-5), (0.01, 2.0, 5000, 1e-7), (0.005, 1.2, 3000, 1e-6), (0.004, 0.8, 1000, 1e-5)),
    *((0.002, 0.7, 4000, 1e-6), (0.001, 0.6, 10_000, 1e-6)),
]


def test_there_are_thirty_settings_from_weak_to_strong() -> None:
    assert len(set(SETTINGS)) == 30


@pytest.mark.slow
@pytest.mark.parametrize(("sample_rate", "noise_multiplier", "num_steps", "delta"), SETTINGS)
def test_epsilon_is_never_below_the_exact_one_and_hardly_above(
    sample_rate: float, noise_multiplier: float, num_steps: int, delta: float
) -> None:
    exact = SampledGaussian(sample_rate, noise_multiplier, num_steps).epsilon(delta)
    mechanism = Mechanism(sample_rate=sample_rate, noise_multiplier=noise_multiplier)
    told = epsilon_of(mechanism, num_steps, delta)
    assert exact <= told <= exact + 1.3 * EPSILON_ERROR_MAX
    assert told <= 1.05 * exact
    assert rdp_epsilon_of(mechanism, num_steps, delta) >= exact


@pytest.mark.parametrize(("noise_multiplier", "num_steps"), [(4.0, 1), (10.0, 50)])
def test_the_exact_integral_is_the_closed_form_where_there_is_one(noise_multiplier: float, num_steps: int) -> None:
    """Every row in every step: Balle and Wang 2018, theorem 8, with k steps as one of a k-th part of the variance."""
    ratio = math.sqrt(num_steps) / noise_multiplier
    oracle = SampledGaussian(1.0, noise_multiplier, num_steps)
    for epsilon in (0.1, 0.5, 2.0):
        closed = norm.cdf(ratio / 2 - epsilon / ratio) - math.exp(epsilon) * norm.cdf(-ratio / 2 - epsilon / ratio)
        assert oracle.delta(epsilon) == pytest.approx(closed, rel=1e-6, abs=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize(("epsilon", "sample_rate", "num_steps"), [(8.0, 0.46, 150), (1.0, 0.1, 40), (0.2, 1.0, 3)])
def test_the_noise_keeps_epsilon_and_less_noise_would_not(epsilon: float, sample_rate: float, num_steps: int) -> None:
    found = noise_multiplier_for(epsilon, 1e-5, sample_rate=sample_rate, num_steps=num_steps)
    assert epsilon_of(Mechanism(sample_rate=sample_rate, noise_multiplier=found), num_steps, 1e-5) <= epsilon
    less = Mechanism(sample_rate=sample_rate, noise_multiplier=0.99 * found)
    assert epsilon_of(less, num_steps, 1e-5) > epsilon


def test_nothing_trained_costs_nothing() -> None:
    assert epsilon_of(Mechanism(sample_rate=0.1, noise_multiplier=1.0), 0, 1e-5) == 0.0


def test_noise_that_protects_nothing_is_refused_before_a_grid_outgrows_memory() -> None:
    with pytest.raises(ConfigurationError, match=r"protects nothing; raise noise_multiplier"):
        epsilon_of(Mechanism(sample_rate=0.5, noise_multiplier=0.1), 10_000, 1e-5)


def test_an_epsilon_that_no_noise_keeps_over_so_many_steps_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accountant, "NOISE_MULTIPLIER_MAX", 3.0)
    noise_multiplier_for.cache_clear()
    with pytest.raises(ConfigurationError, match=r"no noise keeps 0\.5 at delta 1e-05 over 10 steps; raise it"):
        noise_multiplier_for(0.5, 1e-5, sample_rate=1.0, num_steps=10)


@pytest.mark.parametrize(
    ("sample_rate", "noise_multiplier", "num_steps"),
    [(1e-4, 0.6, 10_000_000), (1.0, 3e4, 100_000_000), (1.0, 0.1, 1)],
)
def test_no_job_however_long_outgrows_memory(sample_rate: float, noise_multiplier: float, num_steps: int) -> None:
    mechanism = Mechanism(sample_rate=sample_rate, noise_multiplier=noise_multiplier)
    tracemalloc.start()
    told = epsilon_of(mechanism, num_steps, 1e-5)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 1 << 30
    assert told <= rdp_epsilon_of(mechanism, num_steps, 1e-5) + 1


def test_accountants_that_contradict_each_other_claim_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accountant, "_rdp_epsilon_of", lambda *_: 0.5)
    with pytest.raises(AccountantsDisagree, match=r"by PRV and at most 0\.5 by RDP; nothing is trained"):
        epsilon_of(Mechanism(sample_rate=1.0, noise_multiplier=1.0), 1, 1e-5)
