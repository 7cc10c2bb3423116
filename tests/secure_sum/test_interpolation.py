"""Which sets of shares are tried for a secret, and in which order."""

from __future__ import annotations

from itertools import combinations

import numpy as np

from domicile.crypto.shares import deal
from domicile.secure_sum.interpolation import TRIES_MAX, common, first_fit

SECRET = bytes(range(32))


def dealt(num_holders: int, threshold: int) -> dict[int, bytes]:
    shares = deal(np.frombuffer(SECRET, dtype=np.uint8).reshape(1, -1), num_holders, threshold)
    return {number: share.tobytes() for number, share in enumerate(shares, start=1)}


def spoil(shares: dict[int, bytes], *numbers: int) -> dict[int, bytes]:
    return {number: bytes(32) if number in numbers else share for number, share in shares.items()}


def test_every_set_is_tried_where_they_are_few() -> None:
    for bad in combinations(range(1, 8), 3):
        assert first_fit(spoil(dealt(7, 4), *bad), 4, SECRET.__eq__) == SECRET
    assert first_fit(spoil(dealt(7, 4), 1, 2, 3, 4), 4, SECRET.__eq__) is None


def test_who_has_read_more_answers_tries_first_what_others_have_tried() -> None:
    shares = dealt(7, 4)
    order = [5, 2, 7, 1, 3, 6, 4]

    def tried(num_read: int) -> list[bytes]:
        seen: list[bytes] = []

        def fits(secret: bytes) -> bool:
            seen.append(secret)
            return False

        first_fit(spoil({number: shares[number] for number in order[:num_read]}, 2, 3), 4, fits)
        return seen

    for fewer, more in combinations(range(4, 8), 2):
        assert tried(more)[: len(tried(fewer))] == tried(fewer)
    assert len(tried(7)) == 35


def test_tries_are_bounded() -> None:
    tries: list[bytes] = []

    def fits(secret: bytes) -> bool:
        tries.append(secret)
        return False

    assert first_fit(dealt(32, 17), 17, fits) is None
    assert len(tries) == TRIES_MAX


def test_what_most_secrets_lead_to_comes_out_at_once() -> None:
    shares = dealt(5, 3)
    later = {number: share for number, share in shares.items() if number > 2}
    assert common({0: shares, 4: later}, 3) == {0: SECRET, 4: SECRET}
