"""Real numbers as integers modulo 2^32 and 2^64, so that their sum comes out exactly.

Shapes: P flat parameters.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from domicile.crypto.masks import SEED_BYTES, mask_stream
from domicile.errors import UpdateError

PIECE_VALUES = 16384
"""As many as the mask's piece has words: 64 KiB of uint32."""

WORD_MAX = 2**31 - 1
SCALAR_MAX = 2**63 - 1


def sum_of_squares(piece: NDArray[np.float64]) -> float:
    """Not by a product of BLAS: its threads spin until all have their part, for up to a second where there are more
    parties than cores.
    """
    return float(np.einsum("i,i->", piece, piece))


class ValueEncoder(Protocol):
    """One node's update as words, piece by piece, in order."""

    @property
    def figures(self) -> Mapping[str, float]:
        """What goes into the scalars beside the update's own figures."""
        ...

    def encode(self, values: NDArray[np.float32], out: NDArray[np.uint32]) -> None:
        """At most `PIECE_VALUES` values."""
        ...


class SumGrid(Protocol):
    """What stands between updates and words, and what an honest sum of these can be."""

    @property
    def step(self) -> float:
        """What one unit of a word stands for."""
        ...

    @property
    def weight_units(self) -> int: ...

    def units_of(self, num_examples: int) -> int: ...

    def encoder(self, values_P: NDArray[np.float32], units: int) -> ValueEncoder:
        """Raises:
        UpdateError: NaN or infinite values.
        """
        ...

    def sum_limit(self, num_survivors: int) -> int:
        """Largest magnitude of a coordinate of the sum."""
        ...

    def norm_limit(self, num_survivors: int, units: int, num_values: int) -> float:
        """Largest L2 norm of the sum."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """Fixed point for the sum of clipped and weighted updates.

    A node with u of U weight units encodes each coordinate x, |x| ≤ B, as q = ⌊(u/U)·x/s + r⌋ with r uniform in (0, 1):
    the expectation of s·q is (u/U)·x, and s·q is less than s away from it. Hence |q| ≤ ⌈B/s⌉ (`limit`). The step s is
    the smallest power of two for which n·⌈B/s⌉ ≤ 2^31 - 1, so the sum of any subset of n nodes is read off its residue
    modulo 2^32 without overflow, and it is less than n·s away from the sum of the weighted updates. Since half of s is
    too small, n·(2·B/s + 1) > 2^31 - 1, so that s < 2·n·B / (2^31 - 1 - n): with equal weights, each coordinate of the
    mean is off by less than s, or n·B/2^30 in round figures; otherwise by less than s times U over the mean of u.
    """

    max_norm: float
    """B: nodes clip the L2 norm of their update to it, which bounds every coordinate."""

    num_nodes: int
    weight_units: int = 1
    """U: rows of the heaviest node where rows weigh (`max_examples`), otherwise 1."""

    def __post_init__(self) -> None:
        """Raises:
        ValueError: no grid has such numbers.
        """
        if not (0 < self.max_norm < math.inf and 0 < self.num_nodes < 2**15 and 0 < self.weight_units <= 2**40):
            raise ValueError("max_norm is positive and finite, num_nodes below 2^15, weight_units 1 to 2^40")
        if not 2.0**-100 < self.step < 2.0**100:
            raise ValueError(f"max_norm {self.max_norm:g} leaves float32; name one between 1e-20 and 1e20")

    @property
    def step(self) -> float:
        """s, a power of two, so that dividing by it is exact."""
        exponent = math.frexp(self.max_norm * self.num_nodes / WORD_MAX)[1] - 1
        while self.num_nodes * math.ceil(self.max_norm / 2.0**exponent) > WORD_MAX:
            exponent += 1
        return 2.0**exponent

    @property
    def limit(self) -> int:
        """Largest magnitude of one node's encoded coordinate."""
        return math.ceil(self.max_norm / self.step)

    def units_of(self, num_examples: int) -> int:
        """Weight units of a node with so many rows; beyond U they count as U, so that no node outweighs the grid."""
        return min(max(num_examples, 1), self.weight_units)

    def clip_factor(self, values_P: NDArray[np.float32]) -> float:
        """What an update is multiplied by, so that its L2 norm is at most B.

        Raises:
            UpdateError: NaN or infinite values.
        """
        square = 0.0
        for start in range(0, len(values_P), PIECE_VALUES):
            piece = values_P[start : start + PIECE_VALUES].astype(np.float64)
            square += sum_of_squares(piece)
        if not math.isfinite(square):
            raise UpdateError("the update holds NaN or infinite values; train anew")
        norm = math.sqrt(square)
        return self.max_norm / norm if norm > self.max_norm else 1.0

    def encoder(self, values_P: NDArray[np.float32], units: int) -> Encoder:
        """Clips and weighs an update; rounds it by secret randomness, which nothing keeps.

        Raises:
            UpdateError: NaN or infinite values.
        """
        return Encoder(self, self.clip_factor(values_P), units, os.urandom(SEED_BYTES))

    def sum_limit(self, num_survivors: int) -> int:
        """Largest magnitude of a coordinate of the encoded sum of proper nodes."""
        return num_survivors * self.limit

    def norm_limit(self, num_survivors: int, units: int, num_values: int) -> float:
        """Largest L2 norm of the encoded sum of proper nodes: clipped updates, and rounding by less than 1."""
        return units / self.weight_units * self.max_norm / self.step + num_survivors * math.sqrt(num_values)


class Encoder:
    """Encodes one update on the grid, piece by piece, in constant memory."""

    def __init__(self, grid: Grid, factor: float, units: int, rounding_seed: bytes) -> None:
        """`factor`: the update's `clip_factor`; `rounding_seed`: 32 fresh random bytes, thrown away afterwards.

        Raises:
            ValueError: `units` is outside 1 to U.
        """
        if not 1 <= units <= grid.weight_units:
            raise ValueError(f"{units} weight units; 1 to {grid.weight_units} can be encoded")
        self._scale = factor * units / grid.weight_units / grid.step
        self._limit = grid.limit
        self._stream = mask_stream(rounding_seed)
        self._zeros = memoryview(bytes(4 * PIECE_VALUES))
        self._random = np.empty(PIECE_VALUES, dtype=np.uint32)
        self._bytes = self._random.data.cast("B")
        self._work = np.empty(PIECE_VALUES)
        self._uniform = np.empty(PIECE_VALUES)

    @property
    def figures(self) -> Mapping[str, float]:
        return {}

    def encode(self, values: NDArray[np.float32], out: NDArray[np.uint32]) -> None:
        """At most `PIECE_VALUES` values, in their order."""
        count = len(values)
        work, uniform = self._work[:count], self._uniform[:count]
        self._stream.update_into(self._zeros[: 4 * count], self._bytes[: 4 * count])
        # The middle of each of 2^32 cells: unbiased, and never 0 or 1.
        np.multiply(self._random[:count], 2.0**-32, out=uniform)
        np.multiply(values, self._scale, out=work, dtype=np.float64)
        work += uniform
        work += 2.0**-33
        np.floor(work, out=work)
        # Clipping in floating point leaves a norm a few parts in 10^16 too large; the grid has no room for that.
        np.clip(work, -self._limit, self._limit, out=work)
        out.view(np.int32)[:] = work


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantity:
    """A number of each node of which only the sum is learned: rows, rows that were right, a sum of losses."""

    name: str
    step: float = 1.0
    """What one unit of the encoded integer stands for; 1 for counts."""

    maximum: float
    """Largest magnitude at one node."""

    def encode(self, value: float) -> int:
        """The nearest multiple of `step`, as a residue modulo 2^64.

        Raises:
            UpdateError: not finite, or beyond `maximum`.
        """
        if not abs(value) <= self.maximum:
            raise UpdateError(f"{self.name} is {value:g}; a secure sum takes at most {self.maximum:g}: mend the task")
        return round(value / self.step) % 2**64

    def decode(self, word: int, num_survivors: int) -> float:
        """The sum of so many nodes' values, or NaN where no such nodes have it."""
        encoded = word - 2**64 if word > SCALAR_MAX else word
        if abs(encoded) > num_survivors * math.floor(self.maximum / self.step + 0.5):
            return math.nan
        return encoded * self.step


@dataclass(frozen=True, slots=True)
class Quantities:
    """The scalars of a sum, in their order. Two come first in every sum: nodes, 1 of each, and weight units."""

    own: tuple[Quantity, ...]
    num_nodes: int
    weight_units: int

    def __post_init__(self) -> None:
        """Raises:
        ValueError: a sum could overflow.
        """
        for one in self.all:
            if self.num_nodes * (one.maximum / one.step + 1) > SCALAR_MAX:
                raise ValueError(f"the sum of {one.name} overflows 64 bits; choose a larger step or a smaller maximum")

    @property
    def all(self) -> tuple[Quantity, ...]:
        nodes = Quantity(name="nodes", maximum=1)
        return (nodes, Quantity(name="weight units", maximum=self.weight_units), *self.own)

    def encode(self, units: int, values: Mapping[str, float]) -> NDArray[np.uint64]:
        """Words of one node.

        Raises:
            UpdateError: a value that the sum has no room for.
        """
        every = {"nodes": 1, "weight units": units, **values}
        return np.array([one.encode(every[one.name]) for one in self.all], dtype=np.uint64)
