"""A node's update as whole numbers with its share of the noise: pure.

Shapes: P flat parameters.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from domicile.errors import UpdateError
from domicile.learning.model import PIECE, l2_norm
from domicile.privacy.node_level.discrete_gaussian import discrete_gaussian
from domicile.privacy.node_level.mechanism import SumMechanism
from domicile.privacy.randomness import Randomness

ROUNDINGS_MAX = 1000
"""Each of them holds with a chance of 0.39 or more: so many fail by no chance, but by a vector above its norm."""


class RoundingFailed(UpdateError):
    """No rounding kept the norm that the noise covers."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NoisedUpdate:
    """`values_P`: in steps of the grid, int32, which stands for a residue modulo 2^32. `bit`: whether the norm was
    within bounds. Both with noise: nothing else of the update may leave the node.
    """

    values_P: torch.Tensor
    bit: int


def noised_update(delta_P: torch.Tensor, mechanism: SumMechanism, randomness: Randomness) -> NoisedUpdate:
    """Clips to a norm of 1, rounds and covers an update, ready to be masked; `delta_P` comes in units of the round's
    clipping norm.

    Raises:
        RoundingFailed: a value is not finite.
    """
    if delta_P.shape != (mechanism.num_parameters,):
        raise ValueError(f"the mechanism is for {mechanism.num_parameters} parameters, not {tuple(delta_P.shape)}")
    norm = l2_norm(delta_P)
    values_P = clipped_and_rounded(delta_P, mechanism, randomness)
    for start in range(0, values_P.numel(), PIECE):
        part = values_P[start : start + PIECE]
        # What leaves the range of int32 comes back at its other end, as in the ring.
        part.add_(discrete_gaussian(part.numel(), mechanism.variance, randomness).to(torch.int32))
    bit = mechanism.bit if norm <= 1 else -mechanism.bit
    return NoisedUpdate(values_P=values_P, bit=bit + int(discrete_gaussian(1, mechanism.variance, randomness)))


def clipped_and_rounded(delta_P: torch.Tensor, mechanism: SumMechanism, randomness: Randomness) -> torch.Tensor:
    """In steps of the grid, int32: rounded stochastically until the norm is what the noise covers, which is asked of
    the whole numbers themselves, so that no error of floating point counts.

    Raises:
        RoundingFailed: a value is not finite, or `ROUNDINGS_MAX` were in vain.
    """
    norm = l2_norm(delta_P)
    if not math.isfinite(norm):
        raise RoundingFailed("the update holds NaN or infinite values; train anew")
    most = mechanism.rounded_norm_squared
    factor = mechanism.scale / max(norm, 1.0)
    values_P = torch.empty(delta_P.numel(), dtype=torch.int32)
    for _ in range(ROUNDINGS_MAX):
        squared = 0
        for start in range(0, delta_P.numel(), PIECE):
            scaled = delta_P[start : start + PIECE].double().mul_(factor)
            part = scaled.add_(randomness.uniform(scaled.numel())).floor_().to(torch.int64)
            values_P[start : start + PIECE] = part
            squared += int(torch.dot(part, part))
        if squared <= most:
            return values_P
    raise RoundingFailed("the update cannot be rounded within the norm that the noise covers; train anew")
