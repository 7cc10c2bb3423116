"""Rules that choose whole contributions by their distances.

n: contributions; f: hostile ones. `squared` holds the squared distances of all pairs.
"""

from __future__ import annotations

from collections.abc import Sequence

from domicile.learning.robust.settings import NEIGHBOURS_SPARED

Matrix = Sequence[Sequence[float]]


def krum_order(squared: Matrix, candidates: Sequence[int], num_hostile: int) -> list[int]:
    """Candidates from the best score on: the sum of squared distances to the n - f - 2 nearest others (Blanchard et al.
    2017, Section 4). At least one neighbour counts: the last choices of Bulyan are among fewer than Krum asks for. Two
    nearest neighbours of one another have the same score then: of equals, the one nearer to all others comes first, and
    of these the one that was added first.
    """
    num_neighbours = max(len(candidates) - num_hostile - NEIGHBOURS_SPARED, 1)

    def score(one: int) -> tuple[float, float, int]:
        nearest = sorted(squared[one][other] for other in candidates if other != one)
        return sum(nearest[:num_neighbours]), sum(nearest), one

    return sorted(candidates, key=score)


def multi_krum_selection(squared: Matrix, num_hostile: int) -> list[int]:
    """The n - f - 2 best by Krum, the most for which resilience is proved (Damaskinos et al. 2019, Theorem 1)."""
    order = krum_order(squared, range(len(squared)), num_hostile)
    return sorted(order[: len(squared) - num_hostile - NEIGHBOURS_SPARED])


def bulyan_selection(squared: Matrix, num_hostile: int) -> list[int]:
    """n - 2f contributions, Krum's choice among those that are left, one after the other (El Mhamdi et al. 2018,
    Section 4, step 1).
    """
    left = list(range(len(squared)))
    chosen: list[int] = []
    while len(chosen) < len(squared) - 2 * num_hostile:
        best = krum_order(squared, left, num_hostile)[0]
        left.remove(best)
        chosen.append(best)
    return sorted(chosen)
