"""Membership by likelihood ratio (LiRA, online; Carlini et al. 2022, algorithm 1): pure.

Shapes: S shadow models, N rows, R rounds. A confidence is a number that a model gives a row, about normal over models.
"""

from __future__ import annotations

import numpy as np

from domicile.leakage.roc import Array

OWN_VARIANCE_FROM = 64
"""Shadow models on each side of a row from which its own variance is steadier than all rows' together (Carlini et al.
2022, section VI-C, which finds 64 shadow models to be about the limit).
"""

VARIANCE_MIN = 1e-12
"""Of confidences: below float32's rounding, so that equal shadow models divide by no zero."""


def deal_halves(num_shadows: int, num_rows: int, seed: int) -> Array:
    """Which shadow model is trained on which row, shape ``(S, N)``: each row in exactly half of them.

    Raises:
        ValueError: an odd number of shadow models, or fewer than 4.
    """
    if num_shadows < 4 or num_shadows % 2:
        raise ValueError(f"{num_shadows} shadow models cannot be halved; take an even number from 4 on")
    generator = np.random.default_rng(seed)
    order_SN = np.argsort(generator.random((num_shadows, num_rows)), axis=0)
    member_SN: Array = order_SN < num_shadows // 2
    return member_SN


def log_ratios(target_N: Array, shadows_SN: Array, member_SN: Array) -> Array:
    """Log of how much likelier each row's confidence is if the model was trained on it than if not; shape ``(N,)``."""
    return _log_density(target_N, shadows_SN, member_SN) - _log_density(target_N, shadows_SN, ~member_SN)


def each_against_the_others(shadows_SN: Array, member_SN: Array) -> Array:
    """Each shadow model attacked by all others, of which it was none; shape ``(S, N)``."""
    return np.stack(
        [
            log_ratios(shadows_SN[one], np.delete(shadows_SN, one, axis=0), np.delete(member_SN, one, axis=0))
            for one in range(len(shadows_SN))
        ]
    )


def _log_density(target_N: Array, shadows_SN: Array, chosen_SN: Array) -> Array:
    """Of a normal with mean and variance of the chosen shadow models."""
    counts_N = chosen_SN.sum(axis=0)
    mean_N = (shadows_SN * chosen_SN).sum(axis=0) / counts_N
    squares_N = (((shadows_SN - mean_N) ** 2) * chosen_SN).sum(axis=0)
    if counts_N.min() >= OWN_VARIANCE_FROM:
        variance_N = squares_N / (counts_N - 1)
    else:
        variance_N = np.full(len(mean_N), squares_N.sum() / (counts_N - 1).sum())
    variance_N = np.maximum(variance_N, VARIANCE_MIN)
    density_N: Array = -np.log(variance_N) / 2 - (target_N - mean_N) ** 2 / (2 * variance_N)
    return density_N
