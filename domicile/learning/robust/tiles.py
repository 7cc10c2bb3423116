"""All contributions, a stretch of parameters at a time.

Shapes: N contributions, P flat parameters, T parameters of a tile. Every rule walks over these tiles and keeps nothing
of the length P but its result.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from domicile.learning.robust.spill import Spill

TILE = 1 << 14
"""64 KiB a contribution: a tile of 32 stays in the second-level cache, and a loop over tiles costs nothing."""


class Tiles:
    """Some vectors of a spill, each by a factor of its own."""

    def __init__(self, spill: Spill, num_parameters: int, vectors: Sequence[int], factors: Sequence[float]) -> None:
        """`factors` are 1 but for contributions that are clipped."""
        self.num_contributions = len(vectors)
        self.num_parameters = num_parameters
        self._spill = spill
        self._vectors = vectors
        self._factors = factors
        self._tile_NT = torch.zeros(len(vectors), TILE)

    def among(self, chosen: Sequence[int]) -> Tiles:
        """Only the contributions at these positions, in this order."""
        return Tiles(
            self._spill,
            self.num_parameters,
            [self._vectors[position] for position in chosen],
            [self._factors[position] for position in chosen],
        )

    def __iter__(self) -> Iterator[tuple[slice, torch.Tensor]]:
        """Where in the model a tile lies, and its values ``(N, T)``, to be written over; the last one ends in zeros."""
        for start in range(0, self.num_parameters, TILE):
            width = min(TILE, self.num_parameters - start)
            self._tile_NT[:, width:] = 0.0
            for row, (vector, factor) in enumerate(zip(self._vectors, self._factors, strict=True)):
                values_T = self._tile_NT[row, :width]
                self._spill.read(vector, start, values_T)
                if factor != 1.0:
                    values_T.mul_(factor)
            yield slice(start, start + width), self._tile_NT
