from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from domicile.leakage.roc import area_of, area_with_interval, roc_of, true_positives_at

GENERATOR = np.random.default_rng(5)
MEMBER = GENERATOR.random((6, 40)) < 0.5
SCORES = np.round(GENERATOR.normal(size=MEMBER.shape) + MEMBER, 1)
"""Rounded, so that there are ties."""


def test_where_all_are_members_there_is_nothing_to_tell() -> None:
    with pytest.raises(ValueError, match="members and outsiders"):
        area_of(SCORES, np.ones_like(MEMBER))


def test_the_curve_counts_every_threshold() -> None:
    roc = roc_of(SCORES, MEMBER)
    thresholds = sorted(set(SCORES.ravel()), reverse=True)
    assert roc.true_positive_rates == (0.0, *(float((SCORES[MEMBER] >= t).mean()) for t in thresholds))
    assert roc.false_positive_rates == (0.0, *(float((SCORES[~MEMBER] >= t).mean()) for t in thresholds))


def test_the_area_is_that_of_another_implementation() -> None:
    assert area_of(SCORES, MEMBER) == pytest.approx(roc_auc_score(MEMBER.ravel(), SCORES.ravel()))


def test_at_a_rate_of_false_alarms_no_threshold_above_it_counts() -> None:
    member = np.array([[True, True, True, False, False]])
    scores = np.array([[5.0, 3.0, 1.0, 4.0, 0.0]])
    roc = roc_of(scores, member)
    assert true_positives_at(roc, 0.01) == pytest.approx(1 / 3)
    assert true_positives_at(roc, 0.5) == 1.0


def test_the_interval_of_the_area_holds_the_truth_about_as_often_as_it_says() -> None:
    # A member scores above an outsider with probability Φ(1 / √2) = 0.7602.
    held = 0
    for seed in range(100):
        generator = np.random.default_rng(seed)
        member = np.repeat([[True, False]], 60, axis=1).reshape(1, -1)
        scores = generator.normal(size=member.shape) + member
        interval = area_with_interval(scores, member, confidence=0.9, seed=seed)
        assert interval.low <= interval.value <= interval.high
        held += interval.low <= 0.7602 <= interval.high
    # 90 are expected, with a deviation of 3.
    assert 80 <= held <= 99
