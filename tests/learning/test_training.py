"""Local training against the formulas written out, batch by batch, in float64.

Shapes: N rows, D features, B rows of a batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from domicile.errors import ConfigurationError
from domicile.learning.model import flatten, load_flat
from domicile.learning.references import train_local_only, train_pooled
from domicile.learning.settings import DataSettings, TrainingSettings
from domicile.learning.tabular import Tabular
from domicile.learning.task import NodeData
from domicile.learning.training import train

NUM_ROWS = 23
START = [0.3, -0.2, 0.1, 0.5]
"""Three weights and a bias."""


class Recorder:
    """A regression that notes which rows each batch held: a row's target is its number."""

    def __init__(self, options: Mapping[str, Any] | None = None, *, dropout: float = 0.0) -> None:
        self.batches: list[list[int]] = []
        self._dropout = dropout

    def build_model(self) -> torch.nn.Module:
        return torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.Dropout(self._dropout))

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        self.batches.append([int(target) for target in targets])
        return outputs.square().mean()

    def metrics(self, outputs: torch.Tensor, targets: torch.Tensor) -> dict[str, float]:
        return {}

    def load(self, train: Path, test: Path | None, settings: DataSettings, seed: int) -> NodeData:
        raise ConfigurationError("there are no files of this task")


def numbered(first: int, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows whose targets are their numbers."""
    generator = torch.Generator().manual_seed(first)
    return torch.randn(count, 3, generator=generator), torch.arange(first, first + count).float()


def batches_of(settings: TrainingSettings, num_rows: int = NUM_ROWS, seed: int = 5) -> list[list[int]]:
    """Rows of each batch that `train` takes."""
    task = Recorder()
    train(task, task.build_model(), numbered(0, num_rows), settings, seed=seed)
    return task.batches


def rows_and_labels() -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(1)
    inputs_ND = generator.normal(size=(NUM_ROWS, 3))
    return inputs_ND, (inputs_ND.sum(axis=1) + generator.normal(size=NUM_ROWS) > 0).astype(float)


def trained(settings: TrainingSettings, seed: int = 5) -> np.ndarray:
    """Weights and bias after a round of logistic regression that begins at `START`."""
    inputs_ND, labels = rows_and_labels()
    task = Tabular({"target": "y", "features": ["a", "b", "c"]})
    module = task.build_model()
    load_flat(module, torch.tensor(START))
    split = torch.tensor(inputs_ND, dtype=torch.float32), torch.tensor(labels, dtype=torch.float32)
    result = train(task, module, split, settings, seed=seed)
    assert torch.allclose(flatten(module), torch.tensor(START) + result.delta_P)
    assert (result.num_steps, result.num_examples) == (settings.num_steps(NUM_ROWS), NUM_ROWS)
    return flatten(module).double().numpy()


def oracle(settings: TrainingSettings, seed: int = 5) -> np.ndarray:
    """The same by the formulas of gradient descent, Adam (Kingma and Ba) and AdamW (Loshchilov and Hutter)."""
    inputs_ND, labels = rows_and_labels()
    w = start = np.array(START)
    velocity, m, v = np.zeros(4), np.zeros(4), np.zeros(4)
    rate, decay = settings.learning_rate, settings.weight_decay
    for step, batch in enumerate(batches_of(settings, seed=seed), start=1):
        rows_BD = np.column_stack([inputs_ND[batch], np.ones(len(batch))])
        error_B = 1 / (1 + np.exp(-rows_BD @ w)) - labels[batch]
        gradient = rows_BD.T @ error_B / len(batch) + settings.proximal_mu * (w - start)
        if settings.optimizer == "adamw":
            w = w - rate * decay * w
        else:
            gradient = gradient + decay * w
        if settings.optimizer == "sgd":
            velocity = settings.momentum * velocity + gradient
            w = w - rate * velocity
            continue
        m, v = 0.9 * m + 0.1 * gradient, 0.999 * v + 0.001 * gradient**2
        w = w - rate * (m / (1 - 0.9**step)) / (np.sqrt(v / (1 - 0.999**step)) + 1e-8)
    return w


def test_a_round_without_rows_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no training rows"):
        batches_of(TrainingSettings(steps=1), num_rows=0)


def test_momentum_with_another_optimizer_is_refused() -> None:
    with pytest.raises(ValueError, match="momentum has no meaning for adam"):
        TrainingSettings(steps=1, optimizer="adam", momentum=0.9)


@pytest.mark.parametrize("proximal_mu", [0.0, 0.7])
@pytest.mark.parametrize("length", [{"epochs": 3}, {"steps": 17}])
@pytest.mark.parametrize(
    "optimizer",
    [
        {"optimizer": "sgd"},
        {"optimizer": "sgd", "momentum": 0.8, "weight_decay": 0.1},
        {"optimizer": "adam", "weight_decay": 0.1},
        {"optimizer": "adamw", "weight_decay": 0.1},
    ],
)
def test_a_round_is_what_the_formulas_say(
    optimizer: dict[str, Any], length: dict[str, int], proximal_mu: float
) -> None:
    settings = TrainingSettings(**optimizer, **length, learning_rate=0.2, batch_size=5, proximal_mu=proximal_mu)
    assert trained(settings) == pytest.approx(oracle(settings), abs=2e-5)
    assert abs(trained(settings) - START).max() > 0.05


def test_fedprox_keeps_the_model_nearer_to_where_it_started() -> None:
    def distance(mu: float) -> float:
        return float(np.linalg.norm(trained(TrainingSettings(steps=60, learning_rate=0.3, proximal_mu=mu)) - START))

    assert distance(0.0) > 1.3 * distance(0.5) > 1.3 * 1.3 * distance(3.0)


def test_the_training_loss_is_that_of_the_task_without_the_proximal_term() -> None:
    def loss(mu: float) -> float:
        task = Recorder()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            module = task.build_model()
        settings = TrainingSettings(steps=2, batch_size=NUM_ROWS, learning_rate=1e-9, proximal_mu=mu)
        return train(task, module, numbered(0, NUM_ROWS), settings, seed=1).training_loss

    assert loss(1000.0) == pytest.approx(loss(0.0), rel=1e-5)


def test_an_epoch_takes_every_row_once_and_the_last_batch_may_be_short() -> None:
    batches = batches_of(TrainingSettings(epochs=2, batch_size=5))
    assert [len(batch) for batch in batches] == [5, 5, 5, 5, 3] * 2
    for epoch in (batches[:5], batches[5:]):
        assert sorted(row for batch in epoch for row in batch) == list(range(NUM_ROWS))
    assert batches[:5] != batches[5:]


def test_a_number_of_steps_is_kept_whatever_the_number_of_rows() -> None:
    settings = TrainingSettings(steps=12, batch_size=4)
    assert len(batches_of(settings, num_rows=3)) == len(batches_of(settings, num_rows=500)) == 12
    assert all(len(batch) == 3 for batch in batches_of(settings, num_rows=3))
    rows = [row for batch in batches_of(settings, num_rows=24) for row in batch]
    assert sorted(rows) == sorted([*range(24), *range(24)])


def test_one_seed_gives_one_run_bit_by_bit_and_another_seed_another() -> None:
    settings = TrainingSettings(epochs=2, batch_size=5)
    assert trained(settings).tobytes() == trained(settings).tobytes()
    assert trained(settings, seed=6).tobytes() != trained(settings).tobytes()


def test_the_seed_governs_what_is_random_inside_the_model_too() -> None:
    def delta(seed: int) -> bytes:
        task = Recorder(dropout=0.5)
        module = task.build_model()
        load_flat(module, torch.tensor(START))
        settings = TrainingSettings(steps=3, batch_size=NUM_ROWS)
        return train(task, module, numbered(0, NUM_ROWS), settings, seed=seed).delta_P.numpy().tobytes()

    first = delta(1)
    torch.rand(7)
    assert delta(1) == first != delta(2)


def test_references_take_as_many_steps_as_a_node_and_start_where_the_job_started() -> None:
    data = [
        NodeData(train=numbered(start, 10), validation=numbered(900, 1), test=numbered(950, 1)) for start in (0, 50)
    ]
    settings = TrainingSettings(epochs=1, batch_size=4, proximal_mu=5.0, learning_rate=0.01)
    local, pooled = Recorder(), Recorder()
    initial_P = torch.tensor(START)
    local_P = train_local_only(local, initial_P, data[1], settings, num_steps=15, seed=3)
    pooled_P = train_pooled(pooled, initial_P, data, settings, num_steps=15, seed=3)
    assert len(local.batches) == len(pooled.batches) == 15
    assert {row for batch in local.batches for row in batch} == set(range(50, 60))
    assert {row for batch in pooled.batches for row in batch} == {*range(10), *range(50, 60)}
    by_hand = Recorder()
    module = by_hand.build_model()
    load_flat(module, initial_P)
    train(by_hand, module, data[1].train, TrainingSettings(steps=15, batch_size=4, learning_rate=0.01), seed=3)
    assert torch.equal(local_P, flatten(module))
    assert not torch.equal(local_P, pooled_P)
    assert torch.equal(initial_P, torch.tensor(START))
