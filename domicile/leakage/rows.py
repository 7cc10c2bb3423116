"""What a model says of single rows.

Shapes: P flat parameters, N rows.
"""

from __future__ import annotations

import torch

from domicile.errors import ConfigurationError
from domicile.learning.model import load_flat
from domicile.learning.task import Split, Task

LOSS_MIN = 1e-12
"""Of a row: below float32's rounding, so that a row which is told for certain has a confidence, too."""


def confidences(task: Task, module: torch.nn.Module, model_P: torch.Tensor, rows: Split) -> torch.Tensor:
    """How sure a model is of each row's target, float64, shape ``(N,)``: higher is surer.

    Of a cross-entropy loss it is the logit of the target's probability, which is about normal over models (Carlini et
    al. 2022, section V); of any other loss the same function: minus the loss where that is great, minus its log where
    it is small.
    """
    load_flat(module, model_P)
    module.eval()
    with torch.no_grad():
        losses_N = _row_losses(task, module(rows[0]), rows[1]).double().clamp_min_(LOSS_MIN)
    # -log(e^l - 1), written so that no great loss overflows.
    return -(losses_N + torch.log(-torch.expm1(-losses_N)))


def clipped_gradients(
    task: Task, module: torch.nn.Module, model_P: torch.Tensor, rows: Split, max_grad_norm: float
) -> torch.Tensor:
    """Each row's gradient, no longer than `max_grad_norm`, shape ``(N, P)``; 0 for what is no parameter."""
    load_flat(module, model_P)
    module.eval()
    parameters = {name: one for name, one in module.named_parameters() if one.requires_grad}
    found = torch.empty(len(rows[0]), len(model_P))
    for row in range(len(rows[0])):
        loss = task.loss(module(rows[0][row : row + 1]), rows[1][row : row + 1])
        parts = dict(zip(parameters, torch.autograd.grad(loss, list(parameters.values())), strict=True))
        whole = [parts.get(name, torch.zeros_like(one)).reshape(-1) for name, one in module.state_dict().items()]
        found[row] = torch.cat(whole)
        found[row] *= min(1.0, max_grad_norm / max(float(found[row].norm()), LOSS_MIN))
    return found


def require_own_losses(task: Task, module: torch.nn.Module, rows: Split, *, use: str) -> None:
    """Whether the task tells the loss of a row alone; `use` names it in errors.

    Raises:
        ConfigurationError: it does not.
    """
    module.eval()
    try:
        with torch.no_grad():
            _row_losses(task, module(rows[0][:2]), rows[1][:2])
    except (RuntimeError, TypeError, ValueError) as exc:
        first = str(exc).partition("\n")[0]
        raise ConfigurationError(
            f"task {use!r}: its loss of a single row cannot be computed ({first}); write loss() of torch operations "
            "alone"
        ) from exc


def _row_losses(task: Task, outputs_N: torch.Tensor, targets_N: torch.Tensor) -> torch.Tensor:
    def loss(output: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return task.loss(output[None], target[None])

    losses_N: torch.Tensor = torch.func.vmap(loss)(outputs_N, targets_N)
    return losses_N
