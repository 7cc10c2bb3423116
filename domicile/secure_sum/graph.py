"""Who masks with whom, and who holds whose shares (Bell et al., CCS 2020, section 3.1)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from math import comb

from domicile.crypto.shares import HOLDERS_MAX
from domicile.errors import SecureSumError
from domicile.secure_sum.context import SumContext, address_bytes, tagged_hash
from domicile.types import Address

MEMBERS_MIN = 3
"""With two, each could subtract itself and read the other."""

COMPLETE_MAX = 32
"""Up to here everybody masks with everybody: then no choice of survivors can part the honest ones."""

CORRUPT_SHARE = Fraction(1, 3)
SILENT_SHARE = Fraction(1, 3)
GROUP_MIN = 3
EXPOSED_MAX = Fraction(1, 2**40)
FAILED_MAX = Fraction(1, 2**20)

_ORDER_LABEL = b"domicile secure sum order v2"
_GRAPH_LABEL = b"domicile secure sum graph v2"


@dataclass(frozen=True, kw_only=True, slots=True)
class Graph:
    """A k-regular graph over the members of a shard; `members` in ascending order of address."""

    members: tuple[Address, ...]
    neighbours: dict[Address, tuple[Address, ...]]
    """In ascending order of address."""

    numbers: dict[Address, dict[Address, int]]
    """Of each dealer, its holders (its neighbours and itself) in ascending order of address, numbered from 1."""

    digest: bytes

    @property
    def num_holders(self) -> int:
        """The same for each member."""
        return len(self.numbers[self.members[0]])

    @property
    def threshold(self) -> int:
        return threshold_of(self.num_holders)

    def required_survivors(self, min_survivors: int) -> int:
        """Fewest survivors that a member answers for: `min_survivors` of the job, and no more than a share of
        `SILENT_SHARE` of all members left out. A threshold of holders alone would let a committee with t - 1 members on
        its side leave out every honest member but one.
        """
        num_members = len(self.members)
        return max(min_survivors, MEMBERS_MIN, num_members - int(num_members * SILENT_SHARE))

    def lacking(self, survivors: Collection[Address]) -> tuple[Address, ...]:
        """Survivors with fewer surviving holders than the threshold: nobody could take their masks away."""
        alive = frozenset(survivors)
        return tuple(one for one in self.members if one in alive and self.num_alive(one, alive) < self.threshold)

    def num_alive(self, dealer: Address, survivors: frozenset[Address]) -> int:
        """Surviving holders of a dealer's shares."""
        return len(survivors.intersection(self.neighbours[dealer])) + (dealer in survivors)


def adds(own: Address, other: Address) -> bool:
    """Whether a member adds the mask that it shares with another one; the other then subtracts it."""
    return address_bytes(own) < address_bytes(other)


def threshold_of(num_holders: int) -> int:
    """More than half of the holders: no two sets of holders that could each recover a secret are disjoint."""
    return num_holders // 2 + 1


def graph_of(members: Iterable[Address], context: SumContext) -> Graph:
    """The graph of a shard, the same for all rounds of a job.

    `members`: whoever belonged to the shard when the job was started, whether or not they have left since.
    The context's block hash is known only after membership is closed, so that nobody chooses an address for the place
    that it gets in the graph; who made that block had a choice of hashes.

    Raises:
        SecureSumError: fewer than `MEMBERS_MIN` members, or one that comes twice.
    """
    ordered = tuple(sorted(members, key=address_bytes))
    if len(ordered) < MEMBERS_MIN or any(left == right for left, right in pairwise(ordered)):
        raise SecureSumError(
            f"a secure sum of {len(ordered)} members; it takes at least {MEMBERS_MIN}, each once: invite more nodes"
        )
    place = context.to_bytes()[:-4]  # All but the rounds.
    degree = degree_of(len(ordered))
    digest = tagged_hash(_GRAPH_LABEL, place, degree.to_bytes(2, "big"), *(address_bytes(one) for one in ordered))
    if degree == len(ordered) - 1:
        holders = dict.fromkeys(ordered, ordered)
    else:
        holders = _circulant(ordered, degree, lambda one: tagged_hash(_ORDER_LABEL, place, address_bytes(one)))
    return Graph(
        members=ordered,
        neighbours={own: tuple(one for one in held if one != own) for own, held in holders.items()},
        numbers={own: {one: number for number, one in enumerate(held, start=1)} for own, held in holders.items()},
        digest=digest,
    )


def _circulant(
    members: tuple[Address, ...], degree: int, order: Callable[[Address], bytes]
) -> dict[Address, tuple[Address, ...]]:
    """Members in a circle in random order, each with the `degree` nearest and itself (a Harary graph)."""
    circle = sorted(members, key=order)
    held = {}
    for position, own in enumerate(circle):
        near = (circle[(position + step) % len(circle)] for step in range(-degree // 2, degree // 2 + 1))
        held[own] = tuple(sorted(near, key=address_bytes))
    return held


@lru_cache
def degree_of(num_members: int) -> int:
    """Neighbours of each member: all others in a small shard, otherwise the smallest even number for which both hold.

    * With a share of `CORRUPT_SHARE` of the members corrupt, chosen before the graph was known, every honest member has
      so few corrupt holders that whoever unmasks it unmasks at least `GROUP_MIN` honest members together, but for a
      probability of at most `EXPOSED_MAX`.
    * With a share of `SILENT_SHARE` silent, every other member has a threshold of holders that are not, but for a
      probability of at most `FAILED_MAX`.

    Neighbours of one member are a uniformly random set, so both are tails of the hypergeometric distribution, computed
    exactly, times the number of members (the union bound).
    """
    if num_members <= COMPLETE_MAX:
        return num_members - 1
    corrupt, silent = int(num_members * CORRUPT_SHARE), int(num_members * SILENT_SHARE)
    for degree in range(2, min(num_members - 1, HOLDERS_MAX), 2):
        holders = degree + 1
        threshold = threshold_of(holders)
        exposed = num_members * _tail(num_members - 1, corrupt, degree, threshold - GROUP_MIN + 1)
        failed = num_members * _tail(num_members - 1, silent, degree, holders - threshold + 1)
        if exposed <= EXPOSED_MAX and failed <= FAILED_MAX:
            return degree
    return num_members - 1


def _tail(population: int, marked: int, drawn: int, at_least: int) -> Fraction:
    """Probability that so many of those drawn are marked."""
    most = min(marked, drawn)
    ways = sum(comb(marked, hit) * comb(population - marked, drawn - hit) for hit in range(at_least, most + 1))
    return Fraction(ways, comb(population, drawn))
