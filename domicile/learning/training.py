"""Local training and evaluation.

Shapes: P flat parameters, B rows of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch

from domicile.errors import ConfigurationError, UpdateError
from domicile.learning.model import flatten, l2_norm
from domicile.learning.settings import TrainingSettings
from domicile.learning.task import Split, Task

EVALUATION_ROWS = 1024


class Divergence(UpdateError):
    """A job's settings lead to values that are no numbers, on these rows."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """Figures of one model on one split; `correct` is `None` for a regression."""

    metrics: dict[str, float]
    loss_sum: float
    correct: int | None
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class TrainingResult:
    """`delta_P`: trained minus base model. `training_loss`: mean over all steps; `None` where it is not to be told."""

    delta_P: torch.Tensor
    num_examples: int
    num_steps: int
    training_loss: float | None


def train(
    task: Task, module: torch.nn.Module, split: Split, settings: TrainingSettings, *, seed: int
) -> TrainingResult:
    """Trains `module` in place. The same arguments give the same bits on one machine; global randomness is untouched.

    Raises:
        ConfigurationError: there are no rows; Divergence: the loss or the model is not finite.
    """
    inputs, targets = split
    require_rows(split)
    base_P = flatten(module)
    base = [parameter.detach().clone() for parameter in module.parameters()] if settings.proximal_mu else []
    optimizer = make_optimizer(module, settings)
    num_steps = settings.num_steps(len(inputs))
    total = 0.0
    module.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for step, rows_B in enumerate(_batches(len(inputs), settings.batch_size, num_steps, seed)):
            optimizer.zero_grad()
            loss = task.loss(module(inputs[rows_B]), targets[rows_B])
            value = float(loss.detach())
            if not math.isfinite(value):
                raise Divergence(f"the training loss is {value} at step {step}; lower training.learning_rate")
            if base:
                loss = loss + settings.proximal_mu / 2 * _distance(module, base)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += value
    return trained(module, base_P, num_examples=len(inputs), num_steps=num_steps, training_loss=total / num_steps)


def require_rows(split: Split) -> None:
    """Raises:
    ConfigurationError: there is nothing to train on.
    """
    if not len(split[0]):
        raise ConfigurationError("there are no training rows; add rows or lower the fractions held out")


def trained(
    module: torch.nn.Module, base_P: torch.Tensor, *, num_examples: int, num_steps: int, training_loss: float | None
) -> TrainingResult:
    """What came of a round that began at `base_P`.

    Raises:
        Divergence: the model is not finite.
    """
    delta_P = flatten(module).sub_(base_P)
    if not math.isfinite(l2_norm(delta_P)):
        raise Divergence("the trained model is not finite; lower training.learning_rate")
    return TrainingResult(delta_P=delta_P, num_examples=num_examples, num_steps=num_steps, training_loss=training_loss)


def evaluate(task: Task, module: torch.nn.Module, split: Split) -> Evaluation:
    """Loss and metrics on a split; an empty split gives no metrics.

    Raises:
        Divergence: the model's outputs are not finite, or its loss is not a finite number from 0 on.
    """
    inputs, targets = split
    if not len(inputs):
        return Evaluation(metrics={}, loss_sum=0.0, correct=None, count=0)
    module.eval()
    with torch.no_grad():
        outputs = torch.cat([module(piece) for piece in torch.split(inputs, EVALUATION_ROWS)])
        loss = float(task.loss(outputs, targets))
    if not bool(torch.isfinite(outputs).all()) or not 0 <= loss < math.inf:
        raise Divergence(f"the model's loss on held-out rows is {loss}; lower training.learning_rate")
    metrics = {"loss": loss, **task.metrics(outputs, targets)}
    accuracy = metrics.get("accuracy")
    correct = None if accuracy is None else round(accuracy * len(inputs))
    return Evaluation(metrics=metrics, loss_sum=loss * len(inputs), correct=correct, count=len(inputs))


def make_optimizer(module: torch.nn.Module, settings: TrainingSettings) -> torch.optim.Optimizer:
    """The job's optimiser, as it begins each round."""
    rate, decay = settings.learning_rate, settings.weight_decay
    if settings.optimizer == "sgd":
        return torch.optim.SGD(module.parameters(), lr=rate, momentum=settings.momentum, weight_decay=decay)
    kind = torch.optim.Adam if settings.optimizer == "adam" else torch.optim.AdamW
    return kind(module.parameters(), lr=rate, weight_decay=decay)


def _batches(num_rows: int, batch_size: int, num_steps: int, seed: int) -> Iterator[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    done = 0
    while done < num_steps:
        for rows_B in torch.split(torch.randperm(num_rows, generator=generator), batch_size)[: num_steps - done]:
            yield rows_B
            done += 1


def _distance(module: torch.nn.Module, base: list[torch.Tensor]) -> torch.Tensor:
    squares = [((now - then) ** 2).sum() for now, then in zip(module.parameters(), base, strict=True)]
    return torch.stack(squares).sum()
