"""What a sum with discrete Gaussian noise in shares costs, over any number of rounds.

All figures are upper bounds: of concentrated differential privacy (Bun and Steinke 2016), which adds up over rounds,
and of ε, into which it is turned at the end.
"""

from __future__ import annotations

import math

import numpy as np

_ORDERS = 1 + np.geomspace(1e-4, 1e6, 20_000)
"""Rényi orders; each gives a bound, so that a coarse grid is never wrong. Neighbours differ by 0.1 %."""


def rho_of(*, sensitivity_squared: int, variance: int, num_shares: int, num_values: int) -> float:
    """ρ of one sum of `num_values` integers into which each of `num_shares` parties puts discrete Gaussian noise of
    `variance`: Kairouz, Liu, Steinke 2021, proposition 14, the last of its three bounds.

    A sum of discrete Gaussians is not quite one itself; the term with τ pays for the difference. Whatever else is added
    to the sum, by whomever, costs nothing.
    """
    tau = 10 * math.fsum(math.exp(-2 * math.pi**2 * variance * k / (k + 1)) for k in range(1, num_shares))
    shift = math.sqrt(sensitivity_squared / (num_shares * variance))
    return (shift + math.sqrt(num_values) * tau) ** 2 / 2


def epsilon_of(rho: float, delta: float) -> float:
    """An upper bound of ε at `delta`: Canonne, Kamath, Steinke 2020, corollary 13; 0 where nothing was summed."""
    if not rho:
        return 0.0
    beyond = _ORDERS - 1
    bounds = _ORDERS * rho - np.log(_ORDERS * delta) / beyond + np.log1p(-1 / _ORDERS)
    return max(0.0, float(bounds.min()))


def rho_for(epsilon: float, delta: float) -> float:
    """The greatest ρ that keeps ε, to ten digits; `epsilon` MUST be positive."""
    low, high = 0.0, 1.0
    while epsilon_of(high, delta) <= epsilon:
        low, high = high, 2 * high
    while high - low > 1e-10 * high:
        middle = (low + high) / 2
        low, high = (middle, high) if epsilon_of(middle, delta) <= epsilon else (low, middle)
    return low


def variance_for(rho: float, *, sensitivity_squared: int, num_shares: int, num_values: int) -> int:
    """The least variance of each share with which one sum costs at most ρ."""

    def keeps(variance: int) -> bool:
        cost = rho_of(
            sensitivity_squared=sensitivity_squared, variance=variance, num_shares=num_shares, num_values=num_values
        )
        return cost <= rho

    low, high = 0, 1
    while not keeps(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if keeps(middle) else (middle, high)
    return high
