"""The exact privacy loss of sums of discrete Gaussians, by enumeration: for small variances and few values.

Written from the definitions alone: no Rényi divergence is bounded here, and no theorem used.
"""

from __future__ import annotations

import numpy as np

from tests.privacy.node_level.rational_gaussian import probabilities


def sum_probabilities(variance: int, num_shares: int, bound: int) -> np.ndarray:
    """Of a sum of independent discrete Gaussians, from ``-num_shares * bound`` to as much above 0."""
    one = np.array(probabilities(variance, bound))
    total = one
    for _ in range(num_shares - 1):
        total = np.convolve(total, one)
    return total


class ShiftedSum:
    """Two neighbouring sums of several values: where one value each differs by `shifts`."""

    def __init__(self, variance: int, num_shares: int, shifts: tuple[int, ...]) -> None:
        noise = sum_probabilities(variance, num_shares, 12 * int(np.ceil(np.sqrt(variance))))
        self.with_node, self.without = np.ones(1), np.ones(1)
        for shift in shifts:
            zeros = np.zeros(abs(shift))
            shifted = (np.concatenate([zeros, noise]), np.concatenate([noise, zeros]))
            self.with_node = np.multiply.outer(self.with_node, shifted[0]).ravel()
            self.without = np.multiply.outer(self.without, shifted[1]).ravel()

    def delta(self, epsilon: float) -> float:
        """The greater of both directions: Σ max(0, p - e^ε q)."""
        pairs = ((self.with_node, self.without), (self.without, self.with_node))
        return max(float(np.maximum(0, p - np.exp(epsilon) * q).sum()) for p, q in pairs)

    def epsilon(self, delta: float) -> float:
        low, high = 0.0, 200.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (low, middle) if self.delta(middle) <= delta else (middle, high)
        return high

    def renyi(self, order: float) -> float:
        """D_order(with | without), leaving out where float64 has 0 for one of both."""
        p, q = self.with_node, self.without
        both = (p > 1e-280) & (q > 1e-280)
        return float(np.log(np.sum(p[both] * (p[both] / q[both]) ** (order - 1))) / (order - 1))
