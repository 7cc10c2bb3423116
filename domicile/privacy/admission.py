"""Whether a task can be trained so that one row moves one bounded part: asked before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from opacus.validators import ModuleValidator

from domicile.errors import ConfigurationError
from domicile.learning.settings import DataSettings, TrainingSettings
from domicile.learning.task import Split, Task
from domicile.privacy.calibration import Calibration, calibrate
from domicile.privacy.gradients import ClippedGradients
from domicile.privacy.settings import PrivacySettings

PROBED_ROWS = 4
TOLERANCE = 1e-3
"""Of a gradient's norm: far above float32's rounding, far below what a row beside another one does to it."""


@runtime_checkable
class RowWise(Protocol):
    """What a task adds to `Task` so that jobs with privacy may use it."""

    def couplings(self) -> Sequence[str]:
        """By what the inputs and the target of one row depend on other rows, each with its mend; nothing if they do
        not. A mean over the rows is such a thing.
        """
        ...


def admit(
    settings: PrivacySettings,
    training: TrainingSettings,
    *,
    use: str,
    task: Task,
    module: torch.nn.Module,
    rows: Split,
    data: DataSettings,
    rounds: tuple[int, int, int],
) -> Calibration:
    """Every question that there is; `rows` are those to be trained on, `use` names the task in errors.

    Raises:
        ConfigurationError: the first that is answered in the negative.
    """
    require_row_wise(use, task, data)
    budget = calibrate(settings, training, num_rows=len(rows[0]), rounds=rounds)
    require_bounded(task, module, rows)
    return budget


def require_row_wise(use: str, task: Task, data: DataSettings) -> None:
    """Whether a row enters training by itself alone.

    Raises:
        ConfigurationError: other rows depend on it too, past the sampler that decides whether it is drawn.
    """
    if not isinstance(task, RowWise):
        raise ConfigurationError(
            f"privacy: task {use!r} does not say whether its rows depend on one another; give it a method couplings() "
            "that returns (), or remove [privacy]"
        )
    for told in task.couplings():
        raise ConfigurationError(f"privacy: {told}")
    if data.stratified:
        raise ConfigurationError(
            "data.stratified: one row's label decides where others go, which no noise covers; set it to false, or "
            "remove [privacy]"
        )


def require_layers(module: torch.nn.Module) -> None:
    """Raises:
    ConfigurationError: names a layer that ties rows together or keeps them, and its replacement.
    """
    module.train()
    for name, layer in module.named_modules():
        validator = ModuleValidator.VALIDATORS.get(type(layer))
        if validator is not None and validator(layer):
            replacement = type(ModuleValidator.FIXERS[type(layer)](layer))
            told = f"{replacement.__module__.partition('.')[0]}'s {replacement.__name__}"
            if replacement is type(layer):
                told = f"{replacement.__name__} with track_running_stats=False"
            raise ConfigurationError(
                f"privacy: layer {name or 'model'!r} is {type(layer).__name__}, with which no row's part is bounded; "
                f"use {told}"
            )
    for name, _ in module.named_buffers():
        raise ConfigurationError(
            f"privacy: tensor {name!r} of the model is no parameter, and no noise covers what rows do to it; compute "
            "it anew where it is used, or make it a parameter"
        )


def require_bounded(task: Task, module: torch.nn.Module, rows: Split) -> None:
    """Whether what is clipped is each row's whole gradient: rows together against each row alone, without hooks.

    Raises:
        ConfigurationError: a layer ties rows together, or takes a parameter past the hooks.
    """
    require_layers(module)
    inputs, targets = rows[0][:PROBED_ROWS], rows[1][:PROBED_ROWS]
    module.train()
    for layer in module.modules():
        if isinstance(layer, torch.nn.modules.dropout._DropoutNd):
            # Alone, a row would meet other gaps.
            layer.eval()
    try:
        alone = torch.stack([_norm_alone(task, module, inputs[row], targets[row]) for row in range(len(inputs))])
        with ClippedGradients(module, 1.0) as gradients:
            together = gradients.sum(task, inputs, targets)
    except (NotImplementedError, RuntimeError, TypeError, ValueError) as exc:
        first = str(exc).partition("\n")[0]
        raise ConfigurationError(
            f"privacy: no gradient of a single row can be computed ({first}); use layers of torch.nn without inplace, "
            "each in one place, and a loss of torch operations"
        ) from exc
    finally:
        module.zero_grad()
    if not torch.allclose(alone, together, rtol=TOLERANCE, atol=TOLERANCE):
        raise ConfigurationError(
            "privacy: a row's gradient is another one among other rows than alone, so that it cannot be bounded; take "
            "what mixes rows out of the model, and use each parameter by its own layer"
        )


def _norm_alone(task: Task, module: torch.nn.Module, row: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    parameters = [one for one in module.parameters() if one.requires_grad]
    loss = task.loss(module(row[None]), target[None])
    parts = torch.autograd.grad(loss, parameters, allow_unused=True)
    norm: torch.Tensor = torch.stack([part.norm() for part in parts if part is not None]).norm()
    return norm
