from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import norm

from domicile.leakage.likelihood import deal_halves, each_against_the_others, log_ratios
from domicile.leakage.roc import area_of


@pytest.mark.parametrize("num_shadows", [2, 7])
def test_shadow_models_that_cannot_be_halved_are_refused(num_shadows: int) -> None:
    with pytest.raises(ValueError, match="take an even number from 4 on"):
        deal_halves(num_shadows, 10, seed=1)


def test_each_row_is_in_half_of_the_shadow_models_and_each_in_about_half_of_the_rows() -> None:
    member = deal_halves(8, 1000, seed=1)
    assert (member.sum(axis=0) == 4).all()
    assert (abs(member.mean(axis=1) - 0.5) < 0.06).all()


def _confidences(num_shadows: int, gap: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rows of quite different difficulty, each `gap` deviations higher where it was trained on."""
    member = deal_halves(num_shadows, 50, seed)
    generator = np.random.default_rng(seed)
    difficulty = generator.normal(scale=10, size=50)
    return generator.normal(size=member.shape) + difficulty + gap * member, member


def test_the_ratio_is_that_of_two_normal_densities() -> None:
    shadows, member = _confidences(256, 1.0, seed=2)
    target = shadows[0]
    for row in range(5):
        inside, outside = shadows[member[:, row], row], shadows[~member[:, row], row]
        slow = norm.logpdf(target[row], inside.mean(), inside.std(ddof=1))
        slow -= norm.logpdf(target[row], outside.mean(), outside.std(ddof=1))
        assert log_ratios(target, shadows, member)[row] == pytest.approx(slow)


def test_the_attack_is_as_good_as_the_best_possible_whatever_the_rows_difficulty() -> None:
    shadows, member = _confidences(64, 1.5, seed=3)
    scores = each_against_the_others(shadows, member)
    # The best test between two normals 1.5 deviations apart has the area Φ(1.5 / √2).
    assert area_of(scores, member) == pytest.approx(norm.cdf(1.5 / np.sqrt(2)), abs=0.02)
    assert area_of(shadows, member) < 0.6


def test_where_rows_leave_no_trace_nothing_is_found() -> None:
    shadows, member = _confidences(64, 0.0, seed=4)
    assert area_of(each_against_the_others(shadows, member), member) == pytest.approx(0.5, abs=0.02)


def test_equal_shadow_models_tell_nothing() -> None:
    member = deal_halves(4, 3, seed=1)
    assert (log_ratios(np.ones(3), np.ones((4, 3)), member) == 0).all()
