from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from domicile.errors import ConfigurationError
from domicile.leakage.canaries import CanaryFindings, CanaryTrials, make_canaries
from domicile.privacy.accountant import Mechanism, epsilon_of, noise_multiplier_for
from tests.leakage.leaky_ground import rows_of, start_of, training_of, with_noise

DELTA = 1e-5
ROUNDS, STEPS = 3, 4
NOISE = noise_multiplier_for(2.0, DELTA, sample_rate=1.0, num_steps=ROUNDS * STEPS)
CLAIMED = epsilon_of(Mechanism(sample_rate=1.0, noise_multiplier=NOISE), ROUNDS * STEPS, DELTA)


def _trials(noise_multiplier: float | None, *, seed: int = 1) -> CanaryTrials:
    training = training_of(steps=STEPS, noise_multiplier=noise_multiplier)
    base_P, rows = start_of(training), rows_of(40, seed=3)
    return CanaryTrials(training=training, base_P=base_P, rows=rows, num_rounds=ROUNDS, seed=seed)


def _audit(trials: CanaryTrials, num_canaries: int = 200) -> CanaryFindings:
    return trials.audit(num_canaries, delta=DELTA, confidence=0.95, claimed=CLAIMED, step=lambda: None)


class TestRefusals:
    def test_rows_that_are_no_numbers(self) -> None:
        trials = replace(_trials(None), rows=(torch.zeros(5, 3, dtype=torch.int64), torch.zeros(5)))
        with pytest.raises(
            ConfigurationError, match="made of numbers, and this task's rows are none; leave --canaries 0"
        ):
            trials.num_trainings(100)

    def test_more_gradients_than_memory_holds(self) -> None:
        trials = replace(_trials(None), base_P=torch.zeros(1 << 22))
        with pytest.raises(ConfigurationError, match="too many gradients to hold"):
            trials.num_trainings(100)


def test_canaries_are_at_right_angles_and_have_targets_of_rows() -> None:
    rows = rows_of(40, seed=3)
    inputs, targets = make_canaries(rows, 6, np.random.default_rng(1))
    gram = inputs @ inputs.T
    assert torch.allclose(gram, torch.eye(6) * gram[0, 0], atol=1e-4)
    assert set(targets.tolist()) <= set(rows[1].tolist())


def test_what_the_noise_of_a_claim_leaves_is_below_the_claim_and_above_nothing() -> None:
    found = _audit(_trials(NOISE))
    assert found.holds
    assert 0.3 < found.bound.epsilon < CLAIMED < found.bound.ceiling
    assert found.num_trainings == 34  # Half of 13 parameters' directions in each.


@pytest.mark.parametrize("part", [0.0, 1 / 32])
def test_without_the_noise_that_is_claimed_the_claim_is_refuted(part: float) -> None:
    trials = _trials(NOISE)
    found = _audit(replace(trials, training=with_noise(trials.training, part * NOISE)))
    assert not found.holds
    assert found.bound.epsilon > CLAIMED


def test_a_job_without_privacy_claims_nothing_and_shows_most_of_what_can_be_shown() -> None:
    found = _trials(None).audit(100, delta=DELTA, confidence=0.95, claimed=None, step=lambda: None)
    assert found.holds
    assert 0.7 * found.bound.ceiling < found.bound.epsilon <= found.bound.ceiling


def test_the_coins_are_those_that_the_training_saw() -> None:
    found = _audit(_trials(0.0), 60)
    scores, included = np.array(found.scores_M), np.array(found.included_M)
    assert scores[included].min() > scores[~included].max()
    assert scores[included] == pytest.approx(scores[included].mean(), rel=0.5)


def test_the_same_seed_gives_the_same_findings_and_another_one_others() -> None:
    first, again, other = (_audit(_trials(NOISE, seed=seed), 30) for seed in (1, 1, 2))
    assert first == again
    assert first.scores_M != other.scores_M


@pytest.mark.audit
@pytest.mark.timeout(600)
def test_a_true_claim_is_hardly_ever_refuted() -> None:
    """At 95 %, one in twenty at most; a bound that is far from tight, none."""
    assert all(_audit(_trials(NOISE, seed=seed)).holds for seed in range(20))
