"""Exact samples of the discrete Gaussian: of weight exp(-x² / 2σ²) on the integers x (Canonne, Kamath, Steinke 2020).

Floating point decides only what it decides without doubt. A random number of 53 bits stands for all numbers that begin
with them; where it lies too near a probability for float64, further bits and decimal arithmetic decide. So samples are
exact, and nearly all of them cost what vectors cost.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction

import torch

from domicile.privacy.randomness import WORD_BITS, Randomness

VARIANCE_MAX = 1 << 52
"""Float64 holds the variance, and its quotient by a power of two, exactly."""

SLACK = 2.0**-40
"""Relative doubt about exp(-x) in float64. For x below 40, beyond which a word of 53 bits never decides, rounding of x
and of the exponential make less than 2**-45.
"""

PIECE = 1 << 16
"""Values made at a time, so that all vectors stay in the cache."""

PROPOSALS_PER_VALUE = 2.4
"""Of one value, on average at most: 63 in 100 pass the first trial, 65 in 100 of them or more the second."""

LEVELS = 45
"""Of the geometric part that float64 tells apart; rarer ones are left to exact arithmetic."""

_UNIT = 2.0**-WORD_BITS


def discrete_gaussian(count: int, variance: int, randomness: Randomness, *, slack: float = SLACK) -> torch.Tensor:
    """Independent samples, int64, shape ``(count,)``. `slack`: a greater one leaves more to exact arithmetic, and
    changes no distribution.

    Raises:
        ValueError: `variance` is not between 1 and 2**52.
    """
    if not 1 <= variance <= VARIANCE_MAX:
        raise ValueError(f"a variance is an integer from 1 to 2**52, not {variance}")
    sampler = _Sampler(variance, randomness, slack)
    out = torch.empty(count, dtype=torch.int64)
    filled = 0
    while filled < count:
        wanted = min(PIECE, count - filled)
        drawn = sampler.draw(int(PROPOSALS_PER_VALUE * wanted) + 16)[:wanted]
        out[filled : filled + len(drawn)] = drawn
        filled += len(drawn)
    return out


class _Sampler:
    """Algorithms 2 and 3 of Canonne et al.: a discrete Laplace proposal of scale `2**shift`, near σ, taken with
    probability exp(-(|y| - σ² / scale)² / 2σ²). A power of two makes the scale's arithmetic exact.
    """

    def __init__(self, variance: int, randomness: Randomness, slack: float) -> None:
        self._variance = variance
        self._shift = max(0, round(math.log2(math.sqrt(variance)) + 0.08))
        self._scale = 1 << self._shift
        self._randomness = randomness
        self._slack = slack
        levels = torch.exp(-torch.arange(LEVELS, 0, -1, dtype=torch.float64))
        self._surely, self._perhaps = levels * (1 - slack), levels * (1 + slack)

    def draw(self, proposals: int) -> torch.Tensor:
        """What is taken of so many proposals, in their order; maybe nothing."""
        words = self._randomness.words(proposals)
        rest = words & (self._scale - 1)
        taken = self._trial(rest.double() * (1 / self._scale), lambda at: Fraction(int(rest[at]), self._scale))
        rest, negative = rest[taken], (words[taken] >> (WORD_BITS - 1)).bool()
        size = rest + (self._geometric(len(rest)) << self._shift)
        taken = ~(negative & (size == 0))
        size, negative = size[taken], negative[taken]
        exponent = (size.double() - self._variance / self._scale).square_().mul_(1 / (2 * self._variance))
        taken = self._trial(exponent, lambda at: self._exponent(int(size[at])))
        return torch.where(negative, -size, size)[taken]

    def _exponent(self, size: int) -> Fraction:
        return Fraction((size * self._scale - self._variance) ** 2, 2 * self._variance * self._scale**2)

    def _trial(self, exponent: torch.Tensor, exactly: Callable[[int], Fraction]) -> torch.Tensor:
        """Bernoulli trials that succeed with probability exp(-exponent), bool."""
        words = self._randomness.words(len(exponent))
        chance = torch.exp(-exponent)
        # A chance that underflows is not 0 yet, which a word of zeros has to find out.
        perhaps = words.double().mul_(_UNIT) < chance * (1 + self._slack) + 1e-300
        surely = (words + 1).double().mul_(_UNIT) <= chance * (1 - self._slack)
        for at in torch.nonzero(perhaps & ~surely).flatten().tolist():
            surely[at] = LazyUniform(int(words[at]), self._randomness).is_below_exp(exactly(at))
        return surely

    def _geometric(self, count: int) -> torch.Tensor:
        """How many of e⁻¹, e⁻², ... lie above a uniform number: k with probability (1 - 1/e) e⁻ᵏ, int64."""
        words = self._randomness.words(count)
        perhaps = LEVELS - torch.bucketize(words.double().mul_(_UNIT), self._perhaps, right=True)
        surely = LEVELS - torch.bucketize((words + 1).double().mul_(_UNIT), self._surely)
        for at in torch.nonzero(perhaps != surely).flatten().tolist():
            uniform = LazyUniform(int(words[at]), self._randomness)
            level = 0
            while uniform.is_below_exp(Fraction(level + 1)):
                level += 1
            surely[at] = level
        return surely


class LazyUniform:
    """A uniform number between 0 and 1 of which as many bits are drawn as a question needs."""

    def __init__(self, word: int, randomness: Randomness) -> None:
        """`word`: its first bits."""
        self._word = word
        self._bits = WORD_BITS
        self._randomness = randomness

    def is_below_exp(self, exponent: Fraction) -> bool:
        """Whether it is below exp(-exponent); `exponent` MUST not be negative."""
        if not exponent:
            return True
        while True:
            low, high = exp_bounds(exponent, digits=self._bits // 3 + 5)
            if Fraction(self._word + 1, 1 << self._bits) <= low:
                return True
            if Fraction(self._word, 1 << self._bits) >= high:
                return False
            self._word = (self._word << WORD_BITS) | int(self._randomness.words(1)[0])
            self._bits += WORD_BITS


def exp_bounds(exponent: Fraction, digits: int) -> tuple[Fraction, Fraction]:
    """Between which exp(-exponent) lies, to so many digits. `decimal` rounds its exponential correctly."""
    widest = 10**9
    down = Context(prec=digits, rounding=ROUND_FLOOR, Emin=-widest, Emax=widest)
    up = Context(prec=digits, rounding=ROUND_CEILING, Emin=-widest, Emax=widest)
    top, bottom = Decimal(exponent.numerator), Decimal(exponent.denominator)
    low = down.exp(up.divide(top, bottom).copy_negate())
    high = up.exp(down.divide(top, bottom).copy_negate())
    return Fraction(low.next_minus(down)), Fraction(high.next_plus(up))
