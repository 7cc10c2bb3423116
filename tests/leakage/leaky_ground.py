"""A small job to attack: two features decide a label, and a model that is large enough to learn rows by heart."""

from __future__ import annotations

from dataclasses import replace

import torch

from domicile.leakage.local import LocalTraining, RowNoise
from domicile.learning.model import flatten
from domicile.learning.settings import TrainingSettings
from domicile.learning.tabular import Tabular
from domicile.learning.task import Split
from domicile.privacy.accountant import Mechanism

WIDTH = 12
OPTIONS = {
    "target": "y",
    "features": [f"x{column}" for column in range(WIDTH)],
    "standardize": False,
    "missing": "refuse",
}


def rows_of(num_rows: int, *, seed: int, learnable: bool = True) -> Split:
    """Without `learnable`, labels are coins, which a model can only learn by heart."""
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(num_rows, WIDTH, generator=generator)
    coins = torch.rand(num_rows, generator=generator) < 0.5
    return inputs, (inputs[:, 0] > 0 if learnable else coins).float()


def training_of(
    *, model: str = "logistic", steps: int = 4, learning_rate: float = 0.5, noise_multiplier: float | None = None
) -> LocalTraining:
    """A node's training of all rows in each step; `noise_multiplier` is `None` without privacy."""
    task = Tabular({**OPTIONS, "model": model, **({"hidden": [64]} if model == "mlp" else {})})
    with torch.random.fork_rng():
        torch.manual_seed(2)
        module = task.build_model()
    noise = None
    if noise_multiplier is not None:
        mechanism = Mechanism(sample_rate=1.0, noise_multiplier=noise_multiplier)
        noise = RowNoise(mechanism=mechanism, max_grad_norm=1.0)
    settings = TrainingSettings(steps=steps, learning_rate=learning_rate, batch_size=64)
    return LocalTraining(task=task, module=module, settings=settings, noise=noise)


def start_of(training: LocalTraining) -> torch.Tensor:
    return flatten(training.module)


def with_noise(training: LocalTraining, noise_multiplier: float) -> LocalTraining:
    """The same with another noise than it is said to have."""
    assert training.noise is not None
    mechanism = replace(training.noise.mechanism, noise_multiplier=noise_multiplier)
    return replace(training, noise=replace(training.noise, mechanism=mechanism))
