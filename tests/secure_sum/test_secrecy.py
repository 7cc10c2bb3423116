"""What the committee and members below the threshold see does not depend on an honest member's update.

First by counting: in a ring so small that every value of every mask can be tried, the adversary's view has the same
distribution for all honest updates with the same sum. Then by statistics on real masked vectors.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations, product

import numpy as np
import pytest
from numpy.typing import NDArray

from domicile.crypto.masks import Masks
from domicile.secure_sum.answer import secrets_asked
from domicile.secure_sum.graph import Graph, adds, graph_of
from domicile.secure_sum.grid import Encoder
from domicile.secure_sum.masking import HEADER, mask_signs
from domicile.types import Address
from tests.secure_sum.circle import BLOCK_HASH, CONTEXT, Circle, account

Secret = tuple[Address, ...]
"""A self mask, by its owner; or the mask of an edge, by its two ends in ascending order."""

Words = NDArray[np.int64]


class TinyRing:
    """The protocol's own choice of masks, signs and opened secrets, with single elements of Z_m for whole vectors.

    One adversary: the committee, who sees each committed vector and each opened secret, and members who add their own
    secrets. `leak`: secrets opened besides, to see that the count notices. Arrays hold one entry for each assignment of
    values to the masks that the adversary does not know of itself.
    """

    def __init__(
        self,
        modulus: int,
        num_members: int,
        corrupt: Iterable[int],
        survivors: Iterable[int],
        leak: Iterable[Secret] = (),
    ) -> None:
        self.modulus = modulus
        self.graph: Graph = graph_of([account(number) for number in range(num_members)], BLOCK_HASH, CONTEXT)
        members = self.graph.members
        corrupted = {members[number] for number in corrupt}
        self.survivors = frozenset(members[number] for number in survivors)
        self.honest = [one for one in members if one not in corrupted]
        asked = {
            self._secret(dealer, secret)
            for dealer in self.survivors
            for secret in secrets_asked(self.graph, self.survivors, dealer)
        }
        self.opened = sorted(asked | set(leak))
        # Masks that the adversary has itself are constants of its view: their values change nothing but names.
        unknown: list[Secret] = [(one,) for one in self.honest]
        unknown += [ends for ends in combinations(members, 2) if not corrupted & set(ends)]
        values = np.indices((modulus,) * len(unknown)).reshape(len(unknown), -1)
        self.masks: dict[Secret, Words] = dict(zip(unknown, values, strict=True))

    def _secret(self, dealer: Address, secret: int) -> Secret:
        ends = (dealer, self.graph.neighbours[dealer][secret - 1]) if secret else (dealer,)
        return tuple(sorted(ends))

    def _mask(self, *ends: Address) -> Words | int:
        return self.masks.get(tuple(sorted(ends)), 0)

    def masked(self, member: Address, value: int) -> Words:
        added, subtracted = mask_signs(self.graph, member)
        total = value + self.masks[(member,)]
        total += sum(self._mask(member, other) for other in added)
        total -= sum(self._mask(member, other) for other in subtracted)
        return total % self.modulus

    def views(self, updates: dict[Address, int]) -> Words:
        """The view under each assignment, a number each, in ascending order: equal arrays are equal distributions."""
        parts = [self.masked(member, updates[member]) for member in self.honest]
        parts += [self.masks[secret] for secret in self.opened if secret in self.masks]
        view = np.zeros_like(parts[0])
        for part in parts:
            view = view * self.modulus + part
        return np.sort(view)

    def views_by_sum(self) -> dict[int, list[Words]]:
        """Views of all honest updates, by the sum of those that survive."""
        grouped: dict[int, list[Words]] = {}
        for values in product(range(self.modulus), repeat=len(self.honest)):
            updates = dict(zip(self.honest, values, strict=True))
            total = sum(value for one, value in updates.items() if one in self.survivors) % self.modulus
            grouped.setdefault(total, []).append(self.views(updates))
        return grouped

    def hides(self) -> bool:
        return all(np.array_equal(view, views[0]) for views in self.views_by_sum().values() for view in views)


SETS = [
    # modulus, members, corrupt, survivors
    (8, 3, (2,), (0, 1, 2)),
    (4, 3, (), (0, 1, 2)),
    (4, 3, (), (0, 1)),
    (8, 4, (2, 3), (0, 1, 2, 3)),
    (4, 4, (0, 1), (0, 2, 3)),
    (4, 4, (0,), (0, 1, 2, 3)),
    (4, 4, (0,), (0, 1, 2)),
    (2, 4, (), (0, 1, 3)),
    (2, 4, (), (0, 1, 2, 3)),
]


class TestByCounting:
    @pytest.mark.parametrize(("modulus", "num_members", "corrupt", "survivors"), SETS)
    def test_the_view_has_one_distribution_for_each_sum(
        self, modulus: int, num_members: int, corrupt: tuple[int, ...], survivors: tuple[int, ...]
    ) -> None:
        ring = TinyRing(modulus, num_members, corrupt, survivors)
        assert ring.hides()
        # And the view does tell the sum, which is all that it is for.
        sums = [views[0] for views in ring.views_by_sum().values()]
        assert len(sums) == modulus
        assert not any(np.isin(one, other).any() for one, other in combinations(sums, 2))

    def test_the_count_notices_an_edge_between_survivors_that_is_opened_too(self) -> None:
        edge = (account(0), account(1))
        assert TinyRing(4, 3, (2,), (0, 1, 2)).hides()
        assert not TinyRing(4, 3, (2,), (0, 1, 2), [edge]).hides()

    def test_the_count_notices_a_self_mask_of_somebody_who_dropped_out(self) -> None:
        assert TinyRing(2, 4, (3,), (0, 1, 3)).hides()
        assert not TinyRing(2, 4, (3,), (0, 1, 3), [(account(2),)]).hides()


NUM_VALUES = 1 << 16
CORRUPT = 2
BINS = 256
CHI_SQUARE_MAX = 400.0
"""255 degrees of freedom: a uniform vector goes beyond this in one of 10^8 runs."""


def seen_by_the_adversary(circle: Circle, victim: Address) -> NDArray[np.uint32]:
    """The victim's vector without any mask that the committee and the colluding members know.

    They know the victim's self mask, which the holders open, and the edges to themselves, which are theirs.
    """
    words = np.frombuffer(circle.sealed[victim][HEADER.size :], dtype=np.uint32).copy()
    scalars = words[:8].view(np.uint64)
    vector = words[8:]
    unmasking = circle.unmasking(circle.members, circle.members)
    self_seed = unmasking.recovered(victim)[0]
    added, subtracted = [], [self_seed]
    for colluder in circle.members[-CORRUPT:]:
        seed = circle.pairs(colluder).edge_seed(victim)
        (subtracted if adds(victim, colluder) else added).append(seed)
    known = Masks(added=added, subtracted=subtracted)
    known.apply(scalars)
    known.apply(vector)
    return vector


def chi_square(words: NDArray[np.uint32], shift: int) -> float:
    cells = np.bincount(words >> shift & 0xFF, minlength=BINS)
    expected = len(words) / BINS
    return float(((cells - expected) ** 2 / expected).sum())


def two_sample(one: NDArray[np.uint32], other: NDArray[np.uint32]) -> float:
    """Chi-square of two histograms of the upper byte."""
    left, right = (np.bincount(words >> 24, minlength=BINS) for words in (one, other))
    return float(((left - right) ** 2 / np.maximum(left + right, 1)).sum())


def correlation(words: NDArray[np.uint32], values: NDArray[np.float32]) -> float:
    """In standard deviations of the correlation of independent vectors."""
    signed = words.view(np.int32).astype(np.float64)
    return float(np.corrcoef(signed, values)[0, 1] * np.sqrt(len(words)))


class TestByStatistics:
    """Six members, threshold 4; the committee colludes with two of them."""

    def shard(self, victims_update: NDArray[np.float32]) -> Circle:
        circle = Circle(6, num_values=NUM_VALUES, weight_units=1)
        circle.units = dict.fromkeys(circle.members, 1)
        victim, balance = circle.members[:2]
        # Whatever the victim has, the honest sum stays.
        circle.updates[balance] = -victims_update
        circle.updates[victim] = victims_update
        circle.commit_all()
        return circle

    def updates(self) -> list[NDArray[np.float32]]:
        """All zeros, all as large as can be, and something in between."""
        largest = np.full(NUM_VALUES, 2.0 / np.sqrt(NUM_VALUES) * 0.999, dtype=np.float32)
        wave = largest * np.sin(np.arange(NUM_VALUES)).astype(np.float32)
        return [np.zeros(NUM_VALUES, dtype=np.float32), largest, wave]

    def test_what_is_seen_of_one_member_is_uniform_whatever_its_update(self) -> None:
        seen = []
        for update in self.updates():
            circle = self.shard(update)
            words = seen_by_the_adversary(circle, circle.members[0])
            assert all(chi_square(words, shift) < CHI_SQUARE_MAX for shift in (0, 8, 16, 24))
            if update.any():
                assert np.ptp(update) == 0 or abs(correlation(words, update)) < 6
            seen.append(words)
        assert all(two_sample(one, other) < CHI_SQUARE_MAX for one, other in combinations(seen, 2))

    def test_the_same_statistics_see_an_update_that_is_not_masked(self) -> None:
        circle = self.shard(self.updates()[2])
        encoded = np.empty(NUM_VALUES, dtype=np.uint32)
        encoder = Encoder(circle.grid, 1.0, 1, bytes(32))
        for start in range(0, NUM_VALUES, 16384):
            encoder.encode(self.updates()[2][start : start + 16384], encoded[start : start + 16384])
        assert chi_square(encoded, 24) > CHI_SQUARE_MAX
        assert correlation(encoded, self.updates()[2]) > 100

    def test_with_the_edges_to_all_others_the_update_lies_open(self) -> None:
        """The adversary's arithmetic is right: only the masks of honest pairs stand between it and the update."""
        circle = self.shard(self.updates()[2])
        victim = circle.members[0]
        words = seen_by_the_adversary(circle, victim)
        honest = circle.members[1:-CORRUPT]
        # The first scalars are masked before the vector: the streams of the remaining edges start there.
        stream = Masks(added=[], subtracted=[circle.pairs(victim).edge_seed(one) for one in honest])
        stream.apply(np.zeros(4, dtype=np.uint64))
        stream.apply(words)
        assert correlation(words, self.updates()[2]) > 100
