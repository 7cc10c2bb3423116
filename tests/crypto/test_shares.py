"""Shamir's shares beside a slow oracle, and that too few of them say nothing."""

from __future__ import annotations

import os
from collections import Counter
from functools import cache
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domicile.crypto.shares import HOLDERS_MAX, deal, recover


def times(left: int, right: int) -> int:
    """FIPS 197, section 4.2: carry-less product, then long division by x^8 + x^4 + x^3 + x + 1."""
    product = 0
    for bit in range(8):
        product ^= (left << bit) * (right >> bit & 1)
    for bit in range(14, 7, -1):
        product ^= (0x11B << (bit - 8)) * (product >> bit & 1)
    return product


@cache
def inverse(value: int) -> int:
    return next(other for other in range(256) if times(value, other) == 1)


def recover_slowly(points: dict[int, int]) -> int:
    """Lagrange's formula at 0, one byte."""
    total = 0
    for own, value in points.items():
        term = value
        for other in points:
            if other != own:
                term = times(term, times(other, inverse(own ^ other)))
        total ^= term
    return total


def secrets(count: int, size: int = 32) -> np.ndarray:
    return np.frombuffer(os.urandom(count * size), dtype=np.uint8).reshape(count, size)


def test_the_field_is_that_of_aes() -> None:
    # FIPS 197, section 4.2: {57} x {83} = {c1}; section 4.2.1: {57} x {13} = {fe}.
    assert (times(0x57, 0x83), times(0x57, 0x13)) == (0xC1, 0xFE)
    for share, number, secret in ((0x42 ^ 0xC1, 0x83, 0x42), (0x42 ^ 0xFE, 0x13, 0x42)):
        # On the line secret + 57·x, the value at 1 is secret ^ 57.
        shares = np.array([[[share]], [[secret ^ 0x57]]], dtype=np.uint8)
        assert recover(shares, [number, 1]).item() == secret


@settings(max_examples=30, deadline=None)
@given(holders=st.integers(1, 12), data=st.data())
def test_any_threshold_of_shares_gives_the_secret_back(holders: int, data: st.DataObject) -> None:
    threshold = data.draw(st.integers(1, holders))
    dealt = secrets(3, 5)
    shares = deal(dealt, holders, threshold)
    chosen = data.draw(st.permutations(range(holders)))[:threshold]
    assert np.array_equal(recover(shares[chosen], [one + 1 for one in chosen]), dealt)
    slowly = [[recover_slowly({one + 1: int(shares[one, s, b]) for one in chosen}) for b in range(5)] for s in range(3)]
    assert np.array_equal(slowly, dealt)


def test_as_many_holders_as_the_field_has() -> None:
    dealt = secrets(2)
    shares = deal(dealt, HOLDERS_MAX, 128)
    assert np.array_equal(recover(shares[127:], range(128, 256)), dealt)


def test_one_share_too_few_leaves_every_secret_equally_possible() -> None:
    shares = deal(secrets(1, 1), 5, 3)
    for held in combinations(range(5), 2):
        missing = next(number for number in range(5) if number not in held)
        possible = Counter()
        for guess in range(256):
            rows = np.concatenate([shares[list(held)], np.full((1, 1, 1), guess, dtype=np.uint8)])
            possible[recover(rows, [one + 1 for one in (*held, missing)]).item()] += 1
        assert possible == Counter(range(256))


def test_shares_below_the_threshold_look_the_same_for_every_secret() -> None:
    for secret in (0, 255):
        dealt = np.full((40_000, 1), secret, dtype=np.uint8)
        shares = deal(dealt, 3, 3)
        # Two of three: 16 bits, here by their upper nibbles; 256 cells of 156 on average.
        cells = np.bincount(shares[0, :, 0] // 16 * 16 + shares[1, :, 0] // 16, minlength=256)
        chi_square = float(((cells - 40_000 / 256) ** 2 / (40_000 / 256)).sum())
        # 255 degrees of freedom: beyond 400 in one of 10^8 runs.
        assert chi_square < 400


@pytest.mark.parametrize(("holders", "threshold"), [(0, 0), (3, 4), (3, 0), (256, 2)])
def test_what_no_polynomial_can_do_is_refused(holders: int, threshold: int) -> None:
    with pytest.raises(ValueError, match="a threshold of"):
        deal(secrets(1), holders, threshold)


@pytest.mark.parametrize("numbers", [[1, 1], [0, 1], [1, 256]])
def test_numbers_that_are_no_holders_are_refused(numbers: list[int]) -> None:
    with pytest.raises(ValueError, match="numbered 1 to 255"):
        recover(np.zeros((2, 1, 1), dtype=np.uint8), numbers)
