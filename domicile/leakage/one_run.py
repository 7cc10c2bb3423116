"""A lower bound of ε from guesses about independent coins (Steinke, Nasr and Jagielski 2023): pure.

Each of m canaries was put in by a fair coin of its own. An attacker guesses some of the coins, and is right so often
that an (ε, δ)-private training would hardly ever let it be.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.stats import binom

from domicile.leakage.roc import Array

GUESSED_PARTS = (0.05, 0.1, 0.2, 0.5, 1.0)
"""Of the canaries, those of which the attacker is surest: few are guessed well, many count. All are tried, each at its
share of the error, which keeps the confidence of the best of them.
"""

EPSILON_SEARCHED = 64.0
PRECISION = 1e-4


@dataclass(frozen=True, kw_only=True, slots=True)
class LowerBound:
    """`epsilon`: ε is below it with a probability of at most 1 - `confidence`. `ceiling`: what this many canaries could
    have shown at most, had every guess been right.
    """

    epsilon: float
    ceiling: float
    delta: float
    confidence: float
    num_canaries: int
    num_guesses: int
    num_correct: int


def epsilon_lower_bound(scores_M: Array, included_M: Array, *, delta: float, confidence: float) -> LowerBound:
    """From scores, high for canaries that seem to have been put in; half of the guesses say in, half say out."""
    error = (1 - confidence) / len(GUESSED_PARTS)
    num_canaries = len(scores_M)
    order = np.argsort(scores_M, kind="stable")
    found = []
    for part in GUESSED_PARTS:
        each = max(1, round(part * num_canaries / 2))
        correct = int(included_M[order[-each:]].sum() + (~included_M[order[:each]]).sum())
        found.append((_least_epsilon(num_canaries, 2 * each, correct, delta, error), 2 * each, correct))
    epsilon, num_guesses, num_correct = max(found)
    return LowerBound(
        epsilon=epsilon,
        ceiling=_least_epsilon(num_canaries, num_canaries, num_canaries, delta, error),
        delta=delta,
        confidence=confidence,
        num_canaries=num_canaries,
        num_guesses=num_guesses,
        num_correct=num_correct,
    )


def p_value(num_canaries: int, num_guesses: int, num_correct: int, *, epsilon: float, delta: float) -> float:
    """The most that an (ε, δ)-private training allows for the chance of so many correct guesses (theorem 5.2, as their
    appendix D computes it).
    """
    accuracy = 1 / (1 + math.exp(-epsilon))
    beta = float(binom.sf(num_correct - 1, num_guesses, accuracy))
    masses = binom.pmf(np.arange(num_correct - 1, -1, -1), num_guesses, accuracy)
    alpha = float((np.cumsum(masses) / np.arange(1, num_correct + 1)).max(initial=0.0))
    return min(1.0, beta + 2 * num_canaries * delta * alpha)


def _least_epsilon(num_canaries: int, num_guesses: int, num_correct: int, delta: float, error: float) -> float:
    """The least ε that is not refuted at this error; 0 if none is."""

    def refuted(epsilon: float) -> bool:
        return p_value(num_canaries, num_guesses, num_correct, epsilon=epsilon, delta=delta) < error

    low, high = 0.0, EPSILON_SEARCHED
    if not refuted(low):
        return 0.0
    while high - low > PRECISION:
        middle = (low + high) / 2
        low, high = (middle, high) if refuted(middle) else (low, middle)
    return low
