"""Merging updates in constant memory: one accumulator, whatever the number of updates.

Callers give updates in ascending order of address, so that honest members reach the same bytes. P: flat parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from domicile.learning.model import PIECE
from domicile.learning.settings import MergingSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Outlier:
    """A contribution that a merge leaves out when it has seen all of them; `position` in the order of `add`."""

    position: int
    detail: str


class Merger(Protocol):
    """Makes one vector of many. Used round after round in the same memory."""

    def reset(self) -> None:
        """Starts a new merge."""
        ...

    def add(self, values_P: torch.Tensor, weight: float) -> None:
        """Takes one contribution, whose memory is the caller's again afterwards."""
        ...

    def settle(self) -> tuple[Outlier, ...]:
        """Ends the adding; who is left out, in the order of `add`."""
        ...

    def refusal(self) -> str | None:
        """Why what is left cannot be merged; `None` where it can. MUST come after `settle`."""
        ...

    def mean(self) -> torch.Tensor:
        """The merged vector ``(P,)``, in the merger's own memory. MUST come after `settle`, and only unrefused."""
        ...


class Accumulator:
    """Weighted mean of vectors, element-wise in float32, in the order in which they come."""

    def __init__(self, num_parameters: int) -> None:
        self._total_P = torch.zeros(num_parameters)
        self._weight = 0.0
        self._finished = False

    def reset(self) -> None:
        """Starts a new mean in the same memory."""
        self._total_P.zero_()
        self._weight = 0.0
        self._finished = False

    def add(self, values_P: torch.Tensor, weight: float) -> None:
        """`weight` MUST be positive and finite."""
        if self._finished:
            raise ValueError("a finished mean takes no more updates")
        if not 0 < weight < float("inf"):
            raise ValueError(f"a weight is positive and finite, not {weight}")
        self._total_P.add_(values_P, alpha=weight)
        self._weight += weight

    def settle(self) -> tuple[Outlier, ...]:
        return ()

    def refusal(self) -> str | None:
        return None

    def mean(self) -> torch.Tensor:
        """Ends the merge; the accumulator's own memory, shape ``(P,)``."""
        if not self._weight:
            raise ValueError("there is nothing to merge")
        if not self._finished:
            self._total_P.div_(self._weight)
            self._finished = True
        return self._total_P


def weight_of(settings: MergingSettings, num_examples: int) -> float:
    """Weight of an update that stands for so many training rows."""
    return float(num_examples) if settings.weighting == "samples" else 1.0


def new_state(settings: MergingSettings, num_parameters: int) -> dict[str, torch.Tensor]:
    """State before the first round. The variance starts at tau² (Reddi et al. 2021, Algorithm 2, v₋₁ ≥ τ²)."""
    start = {"momentum": 0.0, "variance": settings.tau**2}
    return {slot: torch.full((num_parameters,), start[slot]) for slot in settings.slots}


def apply_delta(
    settings: MergingSettings, model_P: torch.Tensor, delta_P: torch.Tensor, state: dict[str, torch.Tensor]
) -> None:
    """One step of the server optimiser on a mean delta; changes `model_P` and `state` in place.

    Raises:
        ValueError: `state` is not that of the strategy.
    """
    if tuple(state) != settings.slots:
        raise ValueError(f"{settings.strategy} keeps {settings.slots}, the model carries {tuple(state)}")
    for start in range(0, model_P.numel(), PIECE):
        part = slice(start, start + PIECE)
        _step(settings, model_P[part], delta_P[part], {slot: values_P[part] for slot, values_P in state.items()})


def _step(settings: MergingSettings, model: torch.Tensor, delta: torch.Tensor, state: dict[str, torch.Tensor]) -> None:
    rate = settings.server_learning_rate
    if settings.strategy == "fedavg":
        model.add_(delta, alpha=rate)
        return
    momentum = state["momentum"]
    if settings.strategy == "fedavgm":
        momentum.mul_(settings.momentum).add_(delta)
        model.add_(momentum, alpha=rate)
        return
    momentum.mul_(settings.beta1).add_(delta, alpha=1 - settings.beta1)
    variance, square = state["variance"], delta * delta
    if settings.strategy == "fedadagrad":
        variance.add_(square)
    elif settings.strategy == "fedyogi":
        variance.sub_(torch.sign(variance - square).mul_(square), alpha=1 - settings.beta2)
    else:
        variance.mul_(settings.beta2).add_(square, alpha=1 - settings.beta2)
    model.add_((momentum / variance.sqrt().add_(settings.tau)).mul_(rate))
