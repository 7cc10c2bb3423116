"""Shamir's secret sharing over GF(2^8), byte by byte (Shamir, Communications of the ACM 22, 1979).

The field is that of AES (FIPS 197, section 4.2): polynomials modulo x^8 + x^4 + x^3 + x + 1. Holder number a, from 1,
holds the values at a; the secret is the value at 0. Fewer than `threshold` shares say nothing about a secret: they are
uniform and independent of it.

Shapes: S secrets, H holders, B bytes a secret.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

HOLDERS_MAX = 255
"""Non-zero elements of the field."""

_POLYNOMIAL = 0x11B


def _multiplication_table() -> NDArray[np.uint8]:
    table = np.zeros((256, 256), dtype=np.uint8)
    for left in range(256):
        for right in range(256):
            product, power = 0, left
            for bit in range(8):
                if right >> bit & 1:
                    product ^= power
                power = power << 1 ^ (_POLYNOMIAL if power & 0x80 else 0)
            table[left, right] = product
    return table


_PRODUCT = _multiplication_table()
_GENERATOR = 3
_ORDER = 255


def _powers() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Powers of a generator of the field's multiplicative group, and the logarithm of every element but 0."""
    power, logarithm = np.ones(_ORDER, dtype=np.uint8), np.zeros(256, dtype=np.int64)
    for exponent in range(1, _ORDER):
        power[exponent] = _PRODUCT[power[exponent - 1], _GENERATOR]
        logarithm[power[exponent]] = exponent
    return power, logarithm


_POWER, _LOGARITHM = _powers()


def deal(secrets_SB: NDArray[np.uint8], num_holders: int, threshold: int) -> NDArray[np.uint8]:
    """Shares of shape (H, S, B); row a belongs to holder number a + 1.

    Raises:
        ValueError: no polynomial has so many holders or such a threshold.
    """
    if not 1 <= threshold <= num_holders <= HOLDERS_MAX:
        raise ValueError(f"a threshold of {threshold} among {num_holders} holders; 1 to {HOLDERS_MAX} can hold")
    coefficients = np.frombuffer(os.urandom((threshold - 1) * secrets_SB.size), dtype=np.uint8)
    coefficients = coefficients.reshape((threshold - 1, secrets_SB.size))
    shares_HSB = np.empty((num_holders, *secrets_SB.shape), dtype=np.uint8)
    for holder in range(num_holders):
        # Horner's rule; `translate` looks products up several times faster than an index array does.
        times_x, value = _PRODUCT[holder + 1].tobytes(), bytes(secrets_SB.size)
        for coefficient in coefficients:
            value = (np.frombuffer(value, dtype=np.uint8) ^ coefficient).tobytes().translate(times_x)
        shares_HSB[holder] = np.frombuffer(value, dtype=np.uint8).reshape(secrets_SB.shape) ^ secrets_SB
    return shares_HSB


def recover(shares: NDArray[np.uint8], numbers: Sequence[int]) -> NDArray[np.uint8]:
    """The secrets, shape (S, B), from one row a holder, shape (T, S, B), by Lagrange's formula at 0.

    `numbers` MUST be as many as the threshold; what more shares or wrong ones lead to is no secret, and only its hash
    tells.

    Raises:
        ValueError: a number comes twice, or is no holder's.
    """
    if len(set(numbers)) != len(numbers) or not all(0 < number <= HOLDERS_MAX for number in numbers):
        raise ValueError(f"holders are numbered 1 to {HOLDERS_MAX}, each once")
    secrets_SB = np.zeros(shares.shape[1:], dtype=np.uint8)
    all_numbers = np.array(numbers)
    for own, share_SB in zip(numbers, shares, strict=True):
        others = all_numbers[all_numbers != own]
        # The product of x / (x - own) over the others; in this field minus is plus, and both are the exclusive or.
        exponent = int((_LOGARITHM[others] - _LOGARITHM[others ^ own]).sum()) % _ORDER
        secrets_SB ^= _PRODUCT[_POWER[exponent]][share_SB]
    return secrets_SB
