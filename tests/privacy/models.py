"""Small models of every kind of layer that a task is likely to have, with rows that fit them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from domicile.learning.task import Split

NUM_ROWS = 9


class Regression:
    """A task of one model; `targets` are numbers."""

    def __init__(self, build: Callable[[], nn.Module] = lambda: nn.Linear(3, 1)) -> None:
        self._build = build

    def couplings(self) -> tuple[str, ...]:
        return ()

    def build_model(self) -> nn.Module:
        return self._build()

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return nn.functional.mse_loss(outputs[:, 0], targets)

    def metrics(self, outputs: torch.Tensor, targets: torch.Tensor) -> dict[str, float]:
        return {}

    def load(self, *_: Any, **__: Mapping[str, Any]) -> Any:
        raise NotImplementedError


class Sequences(nn.Module):
    """A linear layer over every place of a sequence, as in attention."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(7, 5)
        self.inner = nn.Linear(5, 4)
        self.norm = nn.LayerNorm(4)
        self.outer = nn.Linear(4, 1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.outer(self.norm(torch.tanh(self.inner(self.embedding(inputs)))).mean(dim=1))
        return outputs


class OwnParameter(nn.Module):
    """A parameter that belongs to no layer of torch's."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(torch.tensor([0.3, -0.2, 0.5]))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return (inputs * self.slope).sum(dim=1, keepdim=True).exp()


def numbers() -> torch.Tensor:
    return torch.randn(NUM_ROWS, 3)


def pictures() -> torch.Tensor:
    return torch.randn(NUM_ROWS, 1, 8, 8)


MODELS: dict[str, tuple[Callable[[], nn.Module], Callable[[], torch.Tensor]]] = {
    "linear": (lambda: nn.Linear(3, 1), numbers),
    "layers": (lambda: nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 1)), numbers),
    "convolutions": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.GroupNorm(2, 4),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(64, 1),
        ),
        pictures,
    ),
    "sequences": (Sequences, lambda: torch.randint(7, (NUM_ROWS, 6))),
    "own parameter": (OwnParameter, numbers),
}


def seeded(name: str, seed: int = 3) -> tuple[Regression, nn.Module, Split]:
    """A task, its model and rows that pull at it more and less."""
    build, inputs = MODELS[name]
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        module = build()
        return Regression(build), module, (inputs(), torch.linspace(-4, 4, NUM_ROWS))
