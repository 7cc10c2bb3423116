"""A task of any size without data: one vector of parameters."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from domicile.learning.settings import DataSettings
from domicile.learning.task import NodeData


class Vector:
    """`num_parameters` numbers that predict nothing."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._num_parameters = int(options["num_parameters"])

    def build_model(self) -> torch.nn.Module:
        module = torch.nn.Module()
        module.register_parameter("vector", torch.nn.Parameter(torch.zeros(self._num_parameters), requires_grad=False))
        return module

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return ((outputs - targets) ** 2).mean()

    def metrics(self, outputs: torch.Tensor, targets: torch.Tensor) -> dict[str, float]:
        return {}

    def load(self, train: Path, test: Path | None, settings: DataSettings, seed: int) -> NodeData:
        """Empty splits: what is measured is everything but training and evaluation."""
        empty = (torch.zeros(0, 1), torch.zeros(0, 1))
        return NodeData(train=empty, validation=empty, test=empty)
