"""The discrete Gaussian by the letter of Canonne, Kamath, Steinke 2020, algorithms 1 to 3: in fractions, one value at a
time, from a generator of small integers. Slow, and beyond doubt.
"""

from __future__ import annotations

import math
from fractions import Fraction
from random import Random


def bernoulli(chance: Fraction, random: Random) -> bool:
    return random.randrange(chance.denominator) < chance.numerator


def bernoulli_exp(gamma: Fraction, random: Random) -> bool:
    """Algorithm 1: True with probability exp(-gamma)."""
    while gamma > 1:
        if not bernoulli_exp(Fraction(1), random):
            return False
        gamma -= 1
    k = 1
    while bernoulli(gamma / k, random):
        k += 1
    return k % 2 == 1


def discrete_laplace(scale: int, random: Random) -> int:
    """Algorithm 2, with s = 1."""
    while True:
        rest = random.randrange(scale)
        if not bernoulli_exp(Fraction(rest, scale), random):
            continue
        level = 0
        while bernoulli_exp(Fraction(1), random):
            level += 1
        size = rest + scale * level
        negative = bernoulli(Fraction(1, 2), random)
        if not (negative and size == 0):
            return -size if negative else size


def discrete_gaussian(variance: Fraction, random: Random) -> int:
    """Algorithm 3."""
    scale = math.isqrt(math.floor(variance)) + 1
    while True:
        size = discrete_laplace(scale, random)
        if bernoulli_exp((abs(size) - variance / scale) ** 2 / (2 * variance), random):
            return size


def probabilities(variance: float, bound: int) -> list[float]:
    """Of -bound to bound; what lies beyond is left out of the sum."""
    weights = [math.exp(-(x**2) / (2 * variance)) for x in range(-bound, bound + 1)]
    total = math.fsum(weights)
    return [weight / total for weight in weights]
