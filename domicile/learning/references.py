"""Reference models of the sandbox's report.

Local-only: what a node reaches alone. Pooled: all nodes' rows in one place, which exists only in the sandbox.
Both take as many gradient steps as a node takes in the federated run.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import torch

from domicile.learning.model import flatten, load_flat
from domicile.learning.settings import TrainingSettings
from domicile.learning.task import NodeData, Split, Task
from domicile.learning.training import TrainingResult, train


class Training(Protocol):
    """Trains a module in place: without privacy, or as the job's nodes do."""

    def __call__(
        self, task: Task, module: torch.nn.Module, split: Split, settings: TrainingSettings, *, seed: int
    ) -> TrainingResult: ...


def train_local_only(
    task: Task,
    initial_P: torch.Tensor,
    data: NodeData,
    settings: TrainingSettings,
    *,
    num_steps: int,
    seed: int,
    training: Training = train,
) -> torch.Tensor:
    """A model trained on one node's training rows alone, shape ``(P,)``."""
    return _reference(task, initial_P, data.train, settings, num_steps, seed, training)


def train_pooled(
    task: Task,
    initial_P: torch.Tensor,
    data: Sequence[NodeData],
    settings: TrainingSettings,
    *,
    num_steps: int,
    seed: int,
    training: Training = train,
) -> torch.Tensor:
    """A model trained on all nodes' training rows together, each scaled as at its node; shape ``(P,)``."""
    inputs = torch.cat([node.train[0] for node in data])
    targets = torch.cat([node.train[1] for node in data])
    return _reference(task, initial_P, (inputs, targets), settings, num_steps, seed, training)


def _reference(
    task: Task,
    initial_P: torch.Tensor,
    split: Split,
    settings: TrainingSettings,
    num_steps: int,
    seed: int,
    training: Training,
) -> torch.Tensor:
    module = task.build_model()
    load_flat(module, initial_P)
    fixed = settings.model_copy(update={"epochs": None, "steps": num_steps, "proximal_mu": 0.0})
    training(task, module, split, fixed, seed=seed)
    return flatten(module)
