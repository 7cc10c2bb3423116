"""Rules that look at one parameter at a time, whatever the others are.

Shapes: N contributions, P flat parameters, T parameters of a tile. Memory: a tile and its sums. Sorting is by a network
of minima and maxima, which are exact; sums are in float64, in ascending order of the values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache

import torch

from domicile.learning.robust.tiles import TILE, Tiles

Combine = Callable[[Sequence[torch.Tensor], torch.Tensor], None]
"""Makes one row ``(T,)`` in float64 of N rows, sorted in each column."""


@cache
def comparators(num_rows: int) -> tuple[tuple[int, int], ...]:
    """Merge exchange, Batcher's sorting network for any number of rows (Knuth, TAOCP vol. 3, 5.2.2, Algorithm M)."""
    found: list[tuple[int, int]] = []
    top = 1 << max(num_rows - 1, 1).bit_length() - 1
    half = top
    while half:
        step, phase, distance = top, 0, half
        while True:
            found += [(i, i + distance) for i in range(num_rows - distance) if i & half == phase]
            if step == half:
                break
            distance, step, phase = step - half, step >> 1, half
        half >>= 1
    return tuple(found)


def sorted_rows(tile_NT: torch.Tensor) -> list[torch.Tensor]:
    """The rows in ascending order in each column; writes over the tile."""
    rows = list(tile_NT)
    spare_T = torch.empty_like(rows[0])
    for low, high in comparators(len(rows)):
        first, second = rows[low], rows[high]
        torch.minimum(first, second, out=spare_T)
        torch.maximum(first, second, out=second)
        rows[low], spare_T = spare_T, first
    return rows


def mean_of(rows: Sequence[torch.Tensor], out_T: torch.Tensor) -> None:
    """Mean of rows, in float64."""
    out_T.copy_(rows[0])
    for row in rows[1:]:
        out_T.add_(row)
    out_T.div_(len(rows))


def median_of(rows: Sequence[torch.Tensor], out_T: torch.Tensor) -> None:
    """The middle row, or the mean of both."""
    middle = len(rows) // 2
    mean_of(rows[middle : middle + 1] if len(rows) % 2 else rows[middle - 1 : middle + 1], out_T)


def trimmed_of(num_trimmed: int) -> Combine:
    """Mean without the so many least and the so many greatest."""

    def combine(rows: Sequence[torch.Tensor], out_T: torch.Tensor) -> None:
        mean_of(rows[num_trimmed : len(rows) - num_trimmed], out_T)

    return combine


def nearest_to_median_of(num_kept: int) -> Combine:
    """Mean of the so many values nearest to the median (El Mhamdi et al. 2018, Section 4, step 2).

    Sorted, these lie side by side: from both ends, the one farther away is dropped until they are left. Of two that are
    as far, the greater is dropped.
    """

    def combine(rows: Sequence[torch.Tensor], out_T: torch.Tensor) -> None:
        sorted_NT = torch.stack([row.double() for row in rows])
        median_of(rows, out_T)
        distance_NT = sorted_NT.sub(out_T).abs_()
        first_T = torch.zeros(1, out_T.numel(), dtype=torch.int64)
        for last in range(len(rows) - 1, num_kept - 1, -1):
            low = distance_NT.gather(0, first_T)
            high = distance_NT.gather(0, first_T + last)
            first_T += (low > high).long()
        out_T.zero_()
        for offset in range(num_kept):
            out_T.add_(sorted_NT.gather(0, first_T + offset)[0])
        out_T.div_(num_kept)

    return combine


def merge_coordinates(tiles: Tiles, combine: Combine, out_P: torch.Tensor) -> None:
    """Sorts and combines every parameter by itself."""
    for place, row_T in combined(tiles, combine):
        out_P[place] = row_T


def combined(tiles: Tiles, combine: Combine) -> Iterator[tuple[slice, torch.Tensor]]:
    """What comes of each tile, in float64; the row is used again."""
    row_T = torch.empty(TILE, dtype=torch.float64)
    for place, tile_NT in tiles:
        combine(sorted_rows(tile_NT), row_T)
        yield place, row_T[: place.stop - place.start]
