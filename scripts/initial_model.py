"""The model that a job starts from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from domicile.errors import ConfigurationError
from domicile.learning.memory import DoesNotFit, planned_layout, require_fits
from domicile.learning.task import Task, failures_of, find_task
from domicile.party import default_max_parameters


def fitting_task(file: Path, use: str, options: Mapping[str, Any], seed: int) -> Task:
    """A job's task, whose model was built once; `file` names it, and its folder is where ``file.py`` lies.

    Raises:
        ConfigurationError: there is no such task, it refuses its options, or its model cannot be built here.
    """
    try:
        task = find_task(use, options, folder=file.parent)
        with failures_of(use, "build_model fails"):
            require_fits(planned_layout(task), default_max_parameters())
            fresh_model(task, seed)
        return task
    except (ConfigurationError, DoesNotFit) as exc:
        raise ConfigurationError(f"{file}: {exc}") from exc


def fresh_model(task: Task, seed: int) -> torch.nn.Module:
    """Torch's own random start, from the job's seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return task.build_model()
