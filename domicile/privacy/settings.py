"""What a job says about privacy: of a node's rows, or of a node as a whole."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from domicile.learning.settings import Aggregation, MergingSettings
from domicile.protocol.budget import ATTOS, DELTA_ATTOS_MAX, Budget
from domicile.settings import Settings

EPSILON_RANGE = (0.01, 100.0)
"""Below it noise drowns whatever there is, above it nothing is protected."""

DELTA_MIN = 1e-10

NODES_MAX = 256
"""Of a shard: the contract seats no more."""


class Promise(Settings):
    """`epsilon` and `delta`: the most that a unit may lose over all rounds of the job, which is what each node reserves
    of its dataset.
    """

    epsilon: float = Field(allow_inf_nan=False)
    delta: float = Field(allow_inf_nan=False)

    @field_validator("epsilon")
    @classmethod
    def _check_epsilon(cls, epsilon: float) -> float:
        least, most = EPSILON_RANGE
        require_positive(epsilon)
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
    def reserved(self) -> Budget:
        """What the job reserves of each node's dataset."""
        return Budget.covering(self.epsilon, self.delta)


class PrivacySettings(Promise):
    """DP-SGD (Abadi et al. 2016) at every node; the unit is a row.

    Reserved before anybody knows a node's number of rows. `max_grad_norm`: L2 norm to which each row's gradient is
    clipped. `noise_multiplier`: deviation of the noise by that norm; left out, each node takes the least that keeps
    `epsilon`; given, each node computes its own ε, and declines where that is above `epsilon`.

    `held_out_figures`: loss and accuracy on a node's held-out rows, which no noise covers. ``withheld``, they stay at
    the node; ``open``, they go to the committee as in any job, and the claim is of training rows alone.
    """

    unit: Literal["row"] = "row"
    max_grad_norm: float = Field(allow_inf_nan=False)
    noise_multiplier: float | None = Field(default=None, allow_inf_nan=False)
    held_out_figures: Literal["withheld", "open"] = "withheld"

    @field_validator("max_grad_norm", "noise_multiplier")
    @classmethod
    def _check_positive(cls, value: float | None) -> float | None:
        return None if value is None else require_positive(value)

    @property
    def withholds(self) -> bool:
        """Whether figures of held-out rows stay at the node; the losses that stand on chain are 0 then."""
        return self.held_out_figures == "withheld"


class NodePrivacySettings(Promise):
    """Sums noised in shares under secure aggregation (Kairouz, Liu, Steinke 2021); the unit is a node's whole dataset.

    `clipping_quantile`: the part of the nodes whose updates are to stay whole; the norm to which updates are clipped
    follows it from the job's `max_update_norm` on, by `clipping_rate` a round (Andrew et al. 2021). 0 keeps that norm.
    `colluding_nodes`: how many of the nodes in a sum may pool what they know, their noise included, so that it does not
    count. With 1, the claim holds against each node that knows its own.
    """

    unit: Literal["node"] = "node"
    clipping_quantile: float = Field(default=0.5, ge=0, lt=1, allow_inf_nan=False)
    clipping_rate: float = Field(default=0.2, gt=0, le=1, allow_inf_nan=False)
    colluding_nodes: int = Field(default=1, ge=0, lt=NODES_MAX)

    @field_validator("delta")
    @classmethod
    def _check_nodes(cls, delta: float) -> float:
        if delta >= 1 / NODES_MAX:
            raise ValueError(
                f"{delta:g} is not below 1 in {NODES_MAX} nodes, so that a whole node might be told; lower it: 1e-5"
            )
        return delta

    @property
    def withholds(self) -> bool:
        """Figures of held-out rows stay at the node always: no noise covers them."""
        return True


def require_positive(value: float) -> float:
    """Raises:
    ValueError: it is not above 0.
    """
    if value <= 0:
        raise ValueError(f"{value:g} is not above 0; write a positive number")
    return value


def _unit_of(value: Any) -> str:
    unit = value.get("unit", "row") if isinstance(value, dict) else getattr(value, "unit", None)
    return unit if isinstance(unit, str) else ""


AnyPrivacy = Annotated[
    Annotated[PrivacySettings, Tag("row")] | Annotated[NodePrivacySettings, Tag("node")],
    Discriminator(
        _unit_of,
        custom_error_type="unit",
        custom_error_message='its unit is neither "row" nor "node"; write one of both',
    ),
]


def require_sums(
    privacy: PrivacySettings | NodePrivacySettings | None,
    aggregation: Aggregation,
    regional: MergingSettings,
    global_: MergingSettings,
) -> None:
    """Whether a job that promises privacy of nodes lets nothing of a node out but a noised sum.

    Raises:
        ValueError: names key, cause and mend.
    """
    if not isinstance(privacy, NodePrivacySettings):
        return
    if aggregation != "secure":
        raise ValueError(
            f'privacy.unit: "node" covers the sum of all updates, and aggregation = "{aggregation}" shows each of '
            'them; write aggregation = "secure", or unit = "row"'
        )
    for name, settings in (("regional", regional), ("global", global_)):
        if settings.weighting != "uniform":
            raise ValueError(
                f"merging.{name}.weighting: weights by samples tell of a node's rows what no noise covers; with "
                'privacy.unit = "node" write "uniform"'
            )
