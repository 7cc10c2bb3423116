"""Noised updates as words of a secure sum: what takes the place of its plain grid in a job with privacy of nodes.

Shapes: P flat parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from domicile.privacy.node_level.mechanism import SumMechanism
from domicile.privacy.node_level.update import NoisedUpdate, noised_update
from domicile.privacy.randomness import Randomness, SecureRandomness
from domicile.secure_sum.grid import Quantity

NORMS_WITHIN = "norms within bounds"
"""Of all figures the only one that is summed, with noise of its own."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NoisedGrid:
    """The grid of all rounds: updates come in units of the round's clipping norm, and so does their mean. `randomness`:
    of rounding and noise.
    """

    mechanism: SumMechanism
    randomness: Randomness = field(default_factory=SecureRandomness, repr=False)

    @property
    def step(self) -> float:
        return 1 / self.mechanism.scale

    @property
    def weight_units(self) -> int:
        """All nodes weigh the same: a weight would tell of rows."""
        return 1

    def units_of(self, num_examples: int) -> int:  # noqa: ARG002 - whatever it is
        return 1

    @property
    def quantities(self) -> tuple[Quantity, ...]:
        return (Quantity(name=NORMS_WITHIN, maximum=self.mechanism.bit_max),)

    def encoder(self, values_P: NDArray[np.float32], units: int) -> NoisedEncoder:  # noqa: ARG002 - it is 1
        """Clips, rounds and covers an update once.

        Raises:
            RoundingFailed: a value is not finite.
        """
        update = noised_update(torch.from_numpy(values_P), self.mechanism, self.randomness)
        return NoisedEncoder(update, self.mechanism.bit_max)

    def sum_limit(self, num_survivors: int) -> int:
        return self.mechanism.bound(num_survivors)

    def norm_limit(self, num_survivors: int, units: int, num_values: int) -> float:  # noqa: ARG002 - the mechanism's own
        return self.mechanism.norm_bound(num_survivors)


class NoisedEncoder:
    """Hands out what was noised beforehand."""

    def __init__(self, update: NoisedUpdate, bit_max: int) -> None:
        self._update = update
        self._bit_max = bit_max
        self._given = 0

    @property
    def figures(self) -> Mapping[str, float]:
        """A bit that noise carried too far for the sum is told as the most: to refuse it would tell of the noise."""
        return {NORMS_WITHIN: min(self._bit_max, max(-self._bit_max, self._update.bit))}

    def encode(self, values: NDArray[np.float32], out: NDArray[np.uint32]) -> None:
        """The next words, as many as there are values."""
        end = self._given + len(values)
        out.view(np.int32)[:] = self._update.values_P[self._given : end].numpy()
        self._given = end
