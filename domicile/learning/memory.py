"""Models that fit this machine: counted before anything is allocated, since a job's options come from anybody."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from domicile.errors import ConfigurationError, PeerError
from domicile.learning.model import ModelLayout, layout_of
from domicile.learning.task import Task


class DoesNotFit(PeerError):
    """A job needs more memory than this machine gives it."""


def require_fits(layout: ModelLayout, max_parameters: int) -> None:
    """Raises:
    DoesNotFit: the model has more parameters than this party takes on.
    """
    if layout.num_parameters > max_parameters:
        raise DoesNotFit(
            f"the job's model has {layout.num_parameters:,} parameters, this party takes on {max_parameters:,}; raise "
            "limits.max_parameters if the machine has the memory"
        )


def planned_layout(task: Task) -> ModelLayout:
    """Layout of a task's model, built on torch's meta device, where tensors have shapes and no memory.

    Raises:
        ConfigurationError: the model cannot be built so.
    """
    try:
        with torch.device("meta"):
            return layout_of(task.build_model())
    except (OverflowError, RuntimeError, TypeError, ValueError) as exc:
        first = str(exc).partition("\n")[0]
        raise ConfigurationError(
            f"the task's model cannot be built on torch's meta device ({first}); build_model must not read values of "
            "tensors, and the job's options must be of sensible size"
        ) from exc


@contextmanager
def within_memory() -> Iterator[None]:
    """Names a failed allocation; torch reports it as a bare `RuntimeError`.

    Raises:
        DoesNotFit: there is not enough memory for what happens inside.
    """
    try:
        yield
    except (MemoryError, RuntimeError) as exc:
        if isinstance(exc, RuntimeError) and "allocate memory" not in str(exc):
            raise
        raise DoesNotFit("the job needs more memory than this machine has; lower limits.max_parameters") from exc
