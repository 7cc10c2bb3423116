"""Squared distances between contributions, in one walk over the tiles.

Shapes: N contributions, T parameters of a tile. No Gram matrix: a matrix product adds in an order of its own on each
kind of processor, and subtracting two large squares loses the small difference that the choice hangs on.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch

from domicile.learning.ordered_sum import fold_to, ordered_sum
from domicile.learning.robust.tiles import TILE, Tiles

LANES = 64
"""Partial sums kept of each pair from tile to tile; folded into one at the end."""
TOGETHER = 8
"""Pairs handled in one go: their differences stay in the cache."""


class SquareSums:
    """Sums of squares of so many vectors that come in tiles."""

    def __init__(self, num_vectors: int) -> None:
        self._sums_NL = torch.zeros(num_vectors, LANES, dtype=torch.float64)

    def add(self, first: int, values_BT: torch.Tensor) -> None:
        """Takes a tile of the vectors from `first` on, in float64; it is used up. T MUST be a multiple of LANES."""
        values_BT.mul_(values_BT)
        self._sums_NL[first : first + len(values_BT)].add_(fold_to(values_BT, LANES))

    def totals(self) -> list[float]:
        return [ordered_sum(sums_L.clone()) for sums_L in self._sums_NL]


def squared_distances(tiles: Tiles) -> list[list[float]]:
    """Of all pairs; symmetric, zeros in the diagonal. Memory: 12 bytes a value of a tile, 512 a pair."""
    num = tiles.num_contributions
    sums = SquareSums(num * (num - 1) // 2)
    wide_NT = torch.empty(num, TILE, dtype=torch.float64)
    difference_BT = torch.empty(TOGETHER, TILE, dtype=torch.float64)
    for _, tile_NT in tiles:
        wide_NT.copy_(tile_NT)
        pair = 0
        for one, first, last in _blocks(num):
            values_BT = difference_BT[: last - first]
            torch.sub(wide_NT[first:last], wide_NT[one], out=values_BT)
            sums.add(pair, values_BT)
            pair += last - first
    return _matrix(num, sums.totals())


def _blocks(num: int) -> Iterator[tuple[int, int, int]]:
    """One contribution and a stretch of those after it: all pairs, by the first and then by the second."""
    for one in range(num):
        for first in range(one + 1, num, TOGETHER):
            yield one, first, min(first + TOGETHER, num)


def _matrix(num: int, of_pairs: list[float]) -> list[list[float]]:
    matrix = [[0.0] * num for _ in range(num)]
    values = iter(of_pairs)
    for one in range(num):
        for other in range(one + 1, num):
            matrix[one][other] = matrix[other][one] = next(values)
    return matrix
