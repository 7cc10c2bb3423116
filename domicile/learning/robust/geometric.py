"""Geometric median by smoothed Weiszfeld steps (Pillutla et al. 2022, Algorithm 2), streamed.

Shapes: N contributions, P flat parameters, T parameters of a tile. Each estimate is a mean of the contributions under N
weights, so that only these are kept from pass to pass: the estimate is made anew in each tile, where the next distances
are measured too. Memory: a tile, and three rows in float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from domicile.learning.robust.coordinate import median_of, sorted_rows
from domicile.learning.robust.distances import SquareSums
from domicile.learning.robust.tiles import TILE, Tiles

SMOOTHING = 1e-6
"""ν of the paper, and its value there: a distance below it counts as ν."""
TOLERANCE = 1e-5
"""Steps end when no weight changes by more than this part of itself. Not when the sum of distances stands still: one
contribution that is far enough away would hide all others in it.
"""
PASSES_MAX = 60
"""An estimate that creeps towards a contribution is near enough by then."""


def geometric_median(tiles: Tiles, out_P: torch.Tensor) -> int:
    """The point with the least sum of distances; returns the number of steps. Starts at the coordinate median, from
    which hostile contributions are far away from the first step on, however large they are.
    """
    weights = _weights(_from_median(tiles))
    num_steps = 1
    while num_steps < PASSES_MAX:
        before, weights = weights, _weights(_from_mean(tiles, weights))
        num_steps += 1
        if all(abs(now - then) <= TOLERANCE * now for now, then in zip(weights, before, strict=True)):
            break
    for place, tile_NT in tiles:
        out_P[place] = _mean(tile_NT, weights)[: place.stop - place.start]
    return num_steps


def _weights(distances: Sequence[float]) -> list[float]:
    """Shares of the next estimate: by the reciprocals of the smoothed distances."""
    reciprocals = [1 / max(SMOOTHING, distance) for distance in distances]
    total = sum(reciprocals)
    return [one / total for one in reciprocals]


def _from_median(tiles: Tiles) -> list[float]:
    sums = SquareSums(tiles.num_contributions)
    median_T = torch.empty(TILE, dtype=torch.float64)
    difference_T = torch.empty(1, TILE, dtype=torch.float64)
    for _, tile_NT in tiles:
        # Sorting writes over the rows; their distances to the median are needed in the order in which they came.
        median_of(sorted_rows(tile_NT.clone()), median_T)
        _measure(tile_NT, median_T, sums, difference_T)
    return [math.sqrt(total) for total in sums.totals()]


def _from_mean(tiles: Tiles, weights: Sequence[float]) -> list[float]:
    sums = SquareSums(tiles.num_contributions)
    difference_T = torch.empty(1, TILE, dtype=torch.float64)
    for _, tile_NT in tiles:
        _measure(tile_NT, _mean(tile_NT, weights), sums, difference_T)
    return [math.sqrt(total) for total in sums.totals()]


def _measure(tile_NT: torch.Tensor, point_T: torch.Tensor, sums: SquareSums, difference_T: torch.Tensor) -> None:
    for number, row_T in enumerate(tile_NT):
        torch.sub(row_T, point_T, out=difference_T[0])
        sums.add(number, difference_T)


def _mean(tile_NT: torch.Tensor, weights: Sequence[float]) -> torch.Tensor:
    """Two roundings a term, never a fused one, which only some processors have."""
    mean_T = torch.zeros(TILE, dtype=torch.float64)
    for row_T, weight in zip(tile_NT, weights, strict=True):
        mean_T.add_(row_T.double().mul_(weight))
    return mean_T
