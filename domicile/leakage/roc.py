"""How well scores tell members from outsiders, with most weight on the few of which an attacker is certain.

Shapes: T models under attack, N rows; `member_TN` says whether the model was trained on the row.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import rankdata

Array = np.ndarray[Any, Any]

RESAMPLES = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Roc:
    """Rates by falling threshold, from (0, 0) to (1, 1), each from 0 to 1."""

    false_positive_rates: tuple[float, ...]
    true_positive_rates: tuple[float, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Interval:
    """A figure with the bounds between which it lies at a level of confidence."""

    value: float
    low: float
    high: float


def roc_of(scores_TN: Array, member_TN: Array) -> Roc:
    """All thresholds; rows of one score fall on the same side.

    Raises:
        ValueError: all are members, or none is.
    """
    inside, outside = _parts(scores_TN, member_TN)
    thresholds = np.unique(np.concatenate([inside, outside]))[::-1]
    hits = np.searchsorted(-np.sort(inside)[::-1], -thresholds, side="right") / len(inside)
    alarms = np.searchsorted(-np.sort(outside)[::-1], -thresholds, side="right") / len(outside)
    return Roc(
        false_positive_rates=(0.0, *(float(one) for one in alarms)),
        true_positive_rates=(0.0, *(float(one) for one in hits)),
    )


def true_positives_at(roc: Roc, false_positive_rate: float) -> float:
    """The highest rate of true positives with no higher rate of false ones (Carlini et al. 2022, section IV)."""
    pairs = zip(roc.false_positive_rates, roc.true_positive_rates, strict=True)
    return max(hit for alarm, hit in pairs if alarm <= false_positive_rate)


def area_of(scores_TN: Array, member_TN: Array) -> float:
    """Area under the curve: how often a member scores above an outsider, ties by half (Mann and Whitney 1947).

    Raises:
        ValueError: all are members, or none is.
    """
    inside, outside = _parts(scores_TN, member_TN)
    ranks = rankdata(np.concatenate([inside, outside]))[: len(inside)]
    return float((ranks.sum() - len(inside) * (len(inside) + 1) / 2) / (len(inside) * len(outside)))


def area_with_interval(scores_TN: Array, member_TN: Array, *, confidence: float, seed: int) -> Interval:
    """The area, with a percentile bootstrap over rows: several models' scores of one row stand or fall together."""
    generator = np.random.default_rng(seed)
    num_rows = scores_TN.shape[1]
    areas = []
    for _ in range(RESAMPLES):
        drawn = generator.integers(num_rows, size=num_rows)
        if member_TN[:, drawn].all() or not member_TN[:, drawn].any():
            continue
        areas.append(area_of(scores_TN[:, drawn], member_TN[:, drawn]))
    tail = (1 - confidence) / 2
    low, high = np.quantile(areas, [tail, 1 - tail])
    return Interval(value=area_of(scores_TN, member_TN), low=float(low), high=float(high))


def _parts(scores_TN: Array, member_TN: Array) -> tuple[Array, Array]:
    inside, outside = scores_TN[member_TN], scores_TN[~member_TN]
    if not len(inside) or not len(outside):
        raise ValueError("members and outsiders are needed to tell one from the other")
    return inside, outside
