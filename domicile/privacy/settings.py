"""What a job says about the privacy of a node's rows."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from domicile.protocol.budget import ATTOS, DELTA_ATTOS_MAX, Budget
from domicile.settings import Settings

EPSILON_RANGE = (0.01, 100.0)
"""Below it noise drowns whatever there is, above it nothing is protected."""

DELTA_MIN = 1e-10


class PrivacySettings(Settings):
    """DP-SGD (Abadi et al. 2016) at every node, for all rounds of the job together.

    `epsilon` and `delta`: the most that a row may lose, which is what each node reserves of its dataset before anybody
    knows its number of rows. `max_grad_norm`: L2 norm to which each row's gradient is clipped. `noise_multiplier`:
    deviation of the noise by that norm; left out, each node takes the least that keeps `epsilon`; given, each node
    computes its own ε, and declines where that is above `epsilon`.

    `held_out_figures`: loss and accuracy on a node's held-out rows, which no noise covers. ``withheld``, they stay at
    the node; ``open``, they go to the committee as in any job, and the claim is of training rows alone.
    """

    epsilon: float = Field(allow_inf_nan=False)
    delta: float = Field(allow_inf_nan=False)
    max_grad_norm: float = Field(allow_inf_nan=False)
    noise_multiplier: float | None = Field(default=None, allow_inf_nan=False)
    held_out_figures: Literal["withheld", "open"] = "withheld"

    @field_validator("epsilon", "max_grad_norm", "noise_multiplier")
    @classmethod
    def _check_positive(cls, value: float | None) -> float | None:
        if value is not None and value <= 0:
            raise ValueError(f"{value:g} is not above 0; write a positive number")
        return value

    @field_validator("epsilon")
    @classmethod
    def _check_epsilon(cls, epsilon: float) -> float:
        least, most = EPSILON_RANGE
        if not least <= epsilon <= most:
            raise ValueError(f"{epsilon:g} is not between {least:g} and {most:g}; write a number such as 8, 4 or 1")
        return epsilon

    @field_validator("delta")
    @classmethod
    def _check_delta(cls, delta: float) -> float:
        if not 0 < delta < 1:
            raise ValueError(f"{delta:g} is no probability between 0 and 1; write less than 1 in a node's rows: 1e-5")
        most = DELTA_ATTOS_MAX / ATTOS
        if delta > most:
            raise ValueError(f"{delta:g} is above {most:g}, the most that a dataset can be granted; lower it: 1e-5")
        if delta < DELTA_MIN:
            raise ValueError(f"{delta:g} is below {DELTA_MIN:g}, which float64 cannot account for; raise it")
        return delta

    @property
    def withholds(self) -> bool:
        """Whether figures of held-out rows stay at the node; the losses that stand on chain are 0 then."""
        return self.held_out_figures == "withheld"

    @property
    def reserved(self) -> Budget:
        """What the job reserves of each node's dataset."""
        return Budget.covering(self.epsilon, self.delta)
