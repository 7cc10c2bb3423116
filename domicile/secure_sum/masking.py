"""A member's update, masked: first the sheet, in the open, then what is sealed to the committee.

Shapes: P flat parameters.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from domicile.crypto.masks import SEED_BYTES, Masks
from domicile.secure_sum.graph import Graph, adds
from domicile.secure_sum.grid import PIECE_VALUES, Quantities, SumGrid
from domicile.secure_sum.seeds import PairSecrets
from domicile.secure_sum.sheet import deal_sheet
from domicile.types import Address

MAGIC = b"DOMASKED"
VERSION = 1
HEADER = struct.Struct(">8sHIQ32s")
"""Magic, version, number of scalars, number of values, sha-256 of the sheet."""


def masked_bytes(num_scalars: int, num_values: int) -> int:
    """Length of what is sealed; it follows from the job alone."""
    return HEADER.size + 8 * num_scalars + 4 * num_values


class MaskedUpdate:
    """One member's contribution to one round. Made once: a second one would come with other secrets."""

    def __init__(
        self,
        values_P: NDArray[np.float32],
        *,
        graph: Graph,
        pairs: PairSecrets,
        grid: SumGrid,
        quantities: Quantities,
        units: int,
        figures: Mapping[str, float],
    ) -> None:
        """Clips the update to the grid's norm and weighs it by `units`; `figures` by the names of `quantities`.

        Raises:
            UpdateError: NaN or infinite values, or a figure that the sum has no room for.
            SecureSumError: too few holders with usable key cards.
        """
        own, self_seed = pairs.own, os.urandom(SEED_BYTES)
        self._encoder = grid.encoder(values_P, units)
        self._scalars = quantities.encode(units, {**figures, **self._encoder.figures})
        self._values_P = values_P
        self._given = False
        self.sheet = deal_sheet(graph, pairs, self_seed)
        """Written in front of the sealed part, in the open."""

        added, subtracted = mask_signs(graph, own)
        self._masks = Masks(
            added=[self_seed, *(pairs.edge_seed(other) for other in added if pairs.knows(other))],
            subtracted=[pairs.edge_seed(other) for other in subtracted if pairs.knows(other)],
        )

    @property
    def num_bytes(self) -> int:
        """Length of all chunks together."""
        return masked_bytes(len(self._scalars), len(self._values_P))

    def chunks(self) -> Iterator[memoryview]:
        """What is to be sealed to the committee, once; each piece holds until the next one is asked for."""
        if self._given:
            raise ValueError("the chunks of a masked update come once; its masks are used up")
        self._given = True
        scalars, num_values = self._scalars, len(self._values_P)
        header = HEADER.pack(MAGIC, VERSION, len(scalars), num_values, hashlib.sha256(self.sheet).digest())
        yield memoryview(header)
        self._masks.apply(scalars)
        yield scalars.data.cast("B")
        buffer = np.empty(PIECE_VALUES, dtype=np.uint32)
        for start in range(0, num_values, PIECE_VALUES):
            values = self._values_P[start : start + PIECE_VALUES]
            words = buffer[: len(values)]
            self._encoder.encode(values, words)
            self._masks.apply(words)
            yield words.data.cast("B")

    def __repr__(self) -> str:
        return f"MaskedUpdate(num_bytes={self.num_bytes})"


def mask_signs(graph: Graph, own: Address) -> tuple[list[Address], list[Address]]:
    """The neighbours whose shared masks a member adds, and those whose it subtracts."""
    neighbours = graph.neighbours[own]
    return [one for one in neighbours if adds(own, one)], [one for one in neighbours if not adds(own, one)]
