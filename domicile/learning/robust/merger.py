"""A robust merge, beside the plain mean of `domicile.learning.merging.Accumulator`.

Shapes: N contributions, P flat parameters. Memory: the result, which is one model, and tiles of N times 16,384
parameters (at most 20 bytes each); the contributions lie in a file.

Contributions count alike: what is proved is that a rule holds against f of n heads, and a weight would be a number that
its owner tells.

Bits are the same for all who add the same contributions in the same order: element-wise IEEE operations, minima, maxima
and sums in a written order.
"""

from __future__ import annotations

import math
import statistics
from pathlib import Path

import torch

from domicile.learning.merging import Outlier
from domicile.learning.model import l2_norm
from domicile.learning.robust import coordinate, geometric, selection
from domicile.learning.robust.distances import squared_distances
from domicile.learning.robust.settings import RobustRule
from domicile.learning.robust.spill import Spill
from domicile.learning.robust.tiles import Tiles


class RobustMerger:
    """One rule over so many parameters."""

    def __init__(
        self,
        rule: RobustRule,
        num_parameters: int,
        folder: Path,
        *,
        max_norm: float | None = None,
        num_averaged: int = 1,
    ) -> None:
        """`folder` is where contributions are kept for as long as a merge lasts. `max_norm` bounds each L2 norm, beside
        the rule's own bound by the median. `num_averaged`: see `RobustRule.num_needed`.

        Raises:
            DiskFault: nothing can be kept there.
        """
        self._rule = rule
        self._num_parameters = num_parameters
        self._max_norm = max_norm
        self._num_averaged = num_averaged
        self._spill = Spill(folder, num_parameters)
        self._merged_P = torch.empty(num_parameters)
        self._norms: list[float] = []
        self._kept: dict[int, float] | None = None
        self._finished = False

    def reset(self) -> None:
        self._spill.clear()
        self._norms = []
        self._kept = None
        self._finished = False

    def add(self, values_P: torch.Tensor, weight: float) -> None:
        """`values_P` MUST be finite, `weight` 1.

        Raises:
            DiskFault: there is no room.
        """
        if self._kept is not None:
            raise ValueError("a settled merge takes no more contributions")
        if weight != 1.0:
            raise ValueError(f"contributions to a robust merge count alike; {weight} is no weight of theirs")
        norm = l2_norm(values_P)
        if not math.isfinite(norm):
            raise ValueError("a contribution holds values that are not finite")
        self._spill.append(values_P)
        self._norms.append(norm)

    def settle(self) -> tuple[Outlier, ...]:
        """Compares every norm with the bounds."""
        self._kept, outliers = {}, []
        for position, norm in enumerate(self._norms):
            bound = min(self._bounds())
            if norm <= bound or self._rule.above_norm == "clip":
                self._kept[position] = bound / norm if norm > bound else 1.0
            else:
                outliers.append(Outlier(position=position, detail=self._told(norm)))
        return tuple(outliers)

    def refusal(self) -> str | None:
        return self._rule.refusal(len(self._settled()), self._num_averaged)

    def mean(self) -> torch.Tensor:
        """Merges; the merger's own memory, shape ``(P,)``.

        Raises:
            ValueError: the rule does not hold for so few; ask `refusal` first.
        """
        refusal = self.refusal()
        if refusal is not None:
            raise ValueError(refusal)
        if not self._finished:
            kept = self._settled()
            self._merge(Tiles(self._spill, self._num_parameters, list(kept), list(kept.values())))
            self._finished = True
            # What others sent is kept no longer than it is needed.
            self._spill.clear()
        return self._merged_P

    def _merge(self, tiles: Tiles) -> None:
        rule, num_hostile = self._rule.rule, self._rule.num_hostile
        if rule == "geometric_median":
            geometric.geometric_median(tiles, self._merged_P)
            return
        combine: coordinate.Combine = coordinate.mean_of
        if rule == "median":
            combine = coordinate.median_of
        elif rule == "trimmed_mean":
            combine = coordinate.trimmed_of(num_hostile)
        elif rule == "bulyan":
            tiles = tiles.among(selection.bulyan_selection(squared_distances(tiles), num_hostile))
            combine = coordinate.nearest_to_median_of(tiles.num_contributions - 2 * num_hostile)
        elif rule == "multi_krum":
            tiles = tiles.among(selection.multi_krum_selection(squared_distances(tiles), num_hostile))
        else:
            squared = squared_distances(tiles)
            tiles = tiles.among(selection.krum_order(squared, range(len(squared)), num_hostile)[:1])
        coordinate.merge_coordinates(tiles, combine, self._merged_P)

    def _settled(self) -> dict[int, float]:
        """Positions that are merged, each with the factor that it is clipped by."""
        if self._kept is None:
            raise ValueError("settle() comes first")
        return self._kept

    def _bounds(self) -> list[float]:
        bounds = [math.inf if self._max_norm is None else self._max_norm]
        if self._rule.max_norm_ratio is not None:
            bounds.append(self._rule.max_norm_ratio * statistics.median(self._norms))
        return bounds

    def _told(self, norm: float) -> str:
        told = f"the norm {norm:.6g} exceeds the bound {min(self._bounds()):.6g}"
        if self._rule.max_norm_ratio is not None:
            told += f" ({self._rule.max_norm_ratio:g} times the median norm is the most)"
        return f"{told}; train anew, or have the bound raised"
