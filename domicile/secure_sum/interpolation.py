"""A dealer's seeds from the shares that its holders gave, even if what it dealt lies on no common polynomial.

Shapes: T shares (as many as the threshold), S secrets, B bytes a secret.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations

import numpy as np

from domicile.crypto.shares import recover

TRIES_MAX = 2000
"""Sets of holders tried for one secret, about a second. Up to thirteen holders have fewer; among more, a dealer can
deal so that none of those that are tried fits."""


def first_fit(
    shares: Mapping[int, bytes], threshold: int, fits: Callable[[bytes], bool], *, tries_max: int = TRIES_MAX
) -> bytes | None:
    """The secret that the first fitting set of shares leads to; `None` where none of those tried fits.

    `shares`: by the holder's number, in the order in which the board tells the answers. Whoever has read more answers
    tries what whoever has read fewer tried, in the same order, and then the rest: readers at different times do not
    come to different ends.
    """
    for numbers in _sets(list(shares), threshold, tries_max):
        rows = np.frombuffer(b"".join(shares[number] for number in numbers), dtype=np.uint8)
        secret = recover(rows.reshape(threshold, 1, -1), numbers).tobytes()
        if fits(secret):
            return secret
    return None


def common(shares: Mapping[int, Mapping[int, bytes]], threshold: int) -> dict[int, bytes]:
    """What the first shares of each secret lead to, which only its hash tells to be the secret; those for which the
    same holders answered come out at once.

    `shares`: by secret, as of `first_fit`.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for secret, known in shares.items():
        groups.setdefault(tuple(known)[:threshold], []).append(secret)
    seeds = {}
    for numbers, secrets in groups.items():
        rows = [b"".join(shares[secret][number] for secret in secrets) for number in numbers]
        shares_TSB = np.frombuffer(b"".join(rows), dtype=np.uint8).reshape(len(numbers), len(secrets), -1)
        for secret, seed in zip(secrets, recover(shares_TSB, numbers), strict=True):
            seeds[secret] = seed.tobytes()
    return seeds


def _sets(numbers: Sequence[int], threshold: int, tries_max: int) -> Iterator[tuple[int, ...]]:
    """Sets of `threshold` numbers: first all among the first m, for each m, then those with the next one."""
    left = tries_max
    for newest in range(threshold - 1, len(numbers)):
        for others in combinations(numbers[:newest], threshold - 1):
            if not left:
                return
            left -= 1
            yield (*others, numbers[newest])
