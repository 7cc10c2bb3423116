"""The rules as their papers write them: slow, on all vectors at once, in float64.

Shapes: N contributions, P parameters.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float64]


def median(vectors_NP: Vectors, f: int) -> Vectors:
    """Yin et al. 2018, Definition 1."""
    return np.median(vectors_NP, axis=0)


def trimmed_mean(vectors_NP: Vectors, f: int) -> Vectors:
    """Yin et al. 2018, Definition 2, with βn = f."""
    result = []
    for column in vectors_NP.T:
        rest = list(column)
        for _ in range(f):
            rest.remove(max(rest))
            rest.remove(min(rest))
        result.append(np.mean(rest))
    return np.array(result)


def scores(vectors_NP: Vectors, f: int) -> list[tuple[float, float]]:
    """Blanchard et al. 2017, Section 4; the second number decides where the first is the same."""
    n = len(vectors_NP)
    found = []
    for i in range(n):
        squared = sorted(float(np.sum((vectors_NP[i] - vectors_NP[j]) ** 2)) for j in range(n) if j != i)
        found.append((sum(squared[: max(n - f - 2, 1)]), sum(squared)))
    return found


def krum(vectors_NP: Vectors, f: int) -> Vectors:
    found = scores(vectors_NP, f)
    return vectors_NP[found.index(min(found))]


def multi_krum(vectors_NP: Vectors, f: int) -> Vectors:
    found = scores(vectors_NP, f)
    best = sorted(range(len(found)), key=found.__getitem__)[: len(found) - f - 2]
    return np.mean(vectors_NP[best], axis=0)


def bulyan(vectors_NP: Vectors, f: int) -> Vectors:
    """El Mhamdi et al. 2018, Section 4."""
    received, selected = [*vectors_NP], []
    theta = len(vectors_NP) - 2 * f
    while len(selected) < theta:
        found = scores(np.array(received), f)
        selected.append(received.pop(found.index(min(found))))
    beta = theta - 2 * f
    result = []
    for column in np.array(selected).T:
        middle = np.median(column)
        nearest = sorted(column, key=lambda value: (abs(value - middle), value))[:beta]
        result.append(np.mean(nearest))
    return np.array(result)


def geometric_median(vectors_NP: Vectors, f: int) -> Vectors:
    """Weiszfeld's steps, many more than needed, from the mean (Pillutla et al. 2022, Algorithm 2, ν = 1e-6)."""
    point = np.mean(vectors_NP, axis=0)
    for _ in range(4000):
        shares = 1 / np.maximum(1e-6, np.linalg.norm(vectors_NP - point, axis=1))
        point = shares @ vectors_NP / shares.sum()
    return point


ORACLES: dict[str, Callable[[Vectors, int], Vectors]] = {
    "median": median,
    "trimmed_mean": trimmed_mean,
    "krum": krum,
    "multi_krum": multi_krum,
    "bulyan": bulyan,
    "geometric_median": geometric_median,
}
