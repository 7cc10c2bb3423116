"""The slow, obvious oracle: ε of the Poisson-sampled Gaussian mechanism by integration of its privacy loss.

Of a pair of output distributions P and Q, L = ln(dP/dQ) is the privacy loss. Its characteristic functions under P and
under Q are integrals over the output x of one step; k steps raise them to the k-th power; inverting them (Gil-Pelaez)
gives P(L > ε) and Q(L > ε), and with these δ(ε) = P(L > ε) - e^ε Q(L > ε). Both neighbours are looked at: the row is
there and is taken away, and the other way round. No grid of losses, no rounding of them, no bound: what is left is the
error of two trapezoidal sums, which falls exponentially.

Shapes: X outputs, U frequencies.
"""

from __future__ import annotations

import math

import numpy as np

DEVIATIONS = 14
OUTPUTS = 6_000
SPREADS = 45
CHUNK = 250
SMALLEST = 1e-15


class SampledGaussian:
    """`num_steps` steps, each drawing a row with `sample_rate`."""

    def __init__(self, sample_rate: float, noise_multiplier: float, num_steps: int) -> None:
        self._directions = [
            _Direction(sample_rate, noise_multiplier, num_steps, removed=removed) for removed in (True, False)
        ]

    def delta(self, epsilon: float) -> float:
        return max(one.delta(epsilon) for one in self._directions)

    def epsilon(self, delta: float) -> float:
        low, high = 0.0, 1.0
        while self.delta(high) > delta:
            low, high = high, 2 * high
        while high - low > 1e-7 * high:
            middle = (low + high) / 2
            low, high = (middle, high) if self.delta(middle) > delta else (low, middle)
        return high


class _Direction:
    """`removed`: P has the row and Q has not; else the other way round."""

    def __init__(self, q: float, sigma: float, num_steps: int, *, removed: bool) -> None:
        x_X, step = np.linspace(-DEVIATIONS * sigma, 1 + DEVIATIONS * sigma, OUTPUTS, retstep=True)
        ratio_X = np.logaddexp(np.log1p(-q) if q < 1 else -np.inf, math.log(q) + (2 * x_X - 1) / (2 * sigma**2))
        without_X = step * np.exp(-((x_X / sigma) ** 2) / 2) / (sigma * math.sqrt(2 * math.pi))
        with_X = without_X * np.exp(ratio_X)
        self._loss_X = ratio_X if removed else -ratio_X
        self._p_X, self._q_X = (with_X, without_X) if removed else (without_X, with_X)
        mean = num_steps * float(self._p_X @ self._loss_X)
        variance = num_steps * float(self._p_X @ self._loss_X**2) - mean**2 / num_steps
        # Far beyond the losses that have a probability, so that the sum over frequencies does not see itself again.
        reach = abs(mean) + SPREADS * math.sqrt(variance) + 20
        self._width = math.pi / reach
        self._u_U, self._p_U, self._q_U = self._transform(num_steps)

    def _transform(self, num_steps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        parts = []
        start = 0
        while True:
            # Halves: the midpoint rule, which needs no value at 0.
            u_U = self._width * (np.arange(start, start + CHUNK) + 0.5)
            wave_UX = np.exp(1j * np.outer(u_U, self._loss_X))
            parts.append((u_U, (wave_UX @ self._p_X) ** num_steps, (wave_UX @ self._q_X) ** num_steps))
            start += CHUNK
            if max(abs(parts[-1][1]).max(), abs(parts[-1][2]).max()) < SMALLEST:
                break
        u_U, p_U, q_U = (np.concatenate(part) for part in zip(*parts, strict=True))
        return u_U, p_U, q_U

    def delta(self, epsilon: float) -> float:
        return self._above(epsilon, self._p_U) - math.exp(epsilon) * self._above(epsilon, self._q_U)

    def _above(self, epsilon: float, transform_U: np.ndarray) -> float:
        turned_U = (np.exp(-1j * self._u_U * epsilon) * transform_U).imag / self._u_U
        return 0.5 + self._width / math.pi * float(turned_U.sum())
