"""DP-SGD (Abadi et al. 2016, algorithm 1): local training of which each row moves a bounded part, covered by noise.

Shapes: P flat parameters, B rows of a batch.
"""

from __future__ import annotations

import torch

from domicile.learning.model import flatten
from domicile.learning.settings import TrainingSettings
from domicile.learning.task import Split, Task
from domicile.learning.training import TrainingResult, make_optimizer, require_rows, trained
from domicile.privacy.accountant import Mechanism
from domicile.privacy.gradients import ClippedGradients
from domicile.privacy.randomness import Randomness


def train_privately(
    task: Task,
    module: torch.nn.Module,
    split: Split,
    settings: TrainingSettings,
    *,
    mechanism: Mechanism,
    max_grad_norm: float,
    seed: int,
    randomness: Randomness,
) -> TrainingResult:
    """Trains `module` in place; `seed` is of what is no secret: dropout. No loss of the rows is told.

    A step takes the number of rows that is drawn on average for the number that was, which nobody may learn.

    Raises:
        ConfigurationError: there are no rows; Divergence: the model is not finite.
    """
    inputs, targets = split
    require_rows(split)
    base_P = flatten(module)
    base = [parameter.detach().clone() for parameter in module.parameters() if parameter.requires_grad]
    optimizer = make_optimizer(module, settings)
    num_steps = settings.num_steps(len(inputs))
    deviation = mechanism.noise_multiplier * max_grad_norm
    expected_rows = mechanism.sample_rate * len(inputs)
    module.train()
    with torch.random.fork_rng(devices=[]), ClippedGradients(module, max_grad_norm) as gradients:
        torch.manual_seed(seed)
        for _ in range(num_steps):
            drawn_B = torch.nonzero(randomness.uniform(len(inputs)) < mechanism.sample_rate).flatten()
            gradients.sum(task, inputs[drawn_B], targets[drawn_B])
            for parameter, then in zip(gradients.parameters, base, strict=True):
                _cover(parameter, deviation, randomness).div_(expected_rows)
                if settings.proximal_mu and parameter.grad is not None:
                    parameter.grad.add_(parameter.detach() - then, alpha=settings.proximal_mu)
            optimizer.step()
    return trained(module, base_P, num_examples=len(inputs), num_steps=num_steps, training_loss=None)


def _cover(parameter: torch.nn.Parameter, deviation: float, randomness: Randomness) -> torch.Tensor:
    """Adds noise to the gradient of a parameter."""
    noise = randomness.gaussian(parameter.numel()).view_as(parameter)
    covered = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
    parameter.grad = covered.add_(noise, alpha=deviation)
    return parameter.grad
