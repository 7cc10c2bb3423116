"""Tasks: what is learned, and how a node's operator approves the code that learns it."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import traceback
import types
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import torch

from domicile.errors import ConfigurationError, DomicileError
from domicile.learning.settings import DataSettings

GROUP = "domicile.tasks"
BUILT_IN = {"tabular": "domicile.learning.tabular:Tabular", "images": "domicile.learning.images:Images"}

Split = tuple[torch.Tensor, torch.Tensor]
"""Inputs and targets, with as many rows each."""
T = TypeVar("T")


class TaskNotApproved(ConfigurationError):
    """The operator did not approve this code, or it is not the code that the job names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeData:
    """A node's own rows. `validation` steers maturity, `test` is never trained on."""

    train: Split
    validation: Split
    test: Split


class Task(Protocol):
    """Made from a job's options by calling the class with one mapping; it MUST refuse unknown options."""

    def build_model(self) -> torch.nn.Module:
        """A fresh model; float32 only. Random start: the caller seeds torch.

        MUST also work under torch's meta device, where a node counts the parameters before it allocates any.
        """
        ...

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean loss, a scalar."""
        ...

    def metrics(self, outputs: torch.Tensor, targets: torch.Tensor) -> dict[str, float]:
        """Figures of one split; those that are not defined on it are left out."""
        ...

    def load(self, train: Path, test: Path | None, settings: DataSettings, seed: int) -> NodeData:
        """Reads a node's data; the same seed gives the same splits.

        Raises:
            ConfigurationError: the data does not fit; names file, column, cause and mend.
        """
        ...


def find_task(use: str, options: Mapping[str, Any], *, folder: Path = Path(), expected: str | None = None) -> Task:
    """A built-in task, an entry point of ``domicile.tasks``, or ``file.py:Name`` relative to `folder`.

    Raises:
        TaskNotApproved: its digest is not `expected`; nothing of it was run.
        ConfigurationError: there is no such task, or it refuses the options.
    """
    code, name, source = _locate(use, folder)
    found = _digest(use, source)
    if expected is not None and found != expected:
        raise TaskNotApproved(
            f"task {use!r} is {found} here, the job names {expected}; install the version that the job names"
        )
    with failures_of(use, "cannot be imported"):
        module = _run_file(code, source) if isinstance(code, Path) else importlib.import_module(code)
    factory = getattr(module, name, None)
    if factory is None:
        raise ConfigurationError(f"task {use!r}: {name!r} is not defined there; correct the name")
    with nullcontext() if use in BUILT_IN else failures_of(use, "cannot be made with task.options"):
        return cast(Task, factory(options))


@contextmanager
def failures_of(use: str, what: str) -> Iterator[None]:
    """Names file, line and cause in one line where a task's own code fails, which is no bug of ours.

    Raises:
        ConfigurationError: the block failed.
    """
    try:
        yield
    except DomicileError:
        raise
    except Exception as exc:
        raise ConfigurationError(f"task {use!r}: {what}: {_place(use, exc)}; mend it") from exc


def _run_file(path: Path, source: bytes) -> types.ModuleType:
    """The module of a file; the very bytes that were digested are run, as the file may change in between."""
    module = types.ModuleType(path.stem)
    module.__file__ = str(path)
    exec(compile(source, str(path), "exec"), module.__dict__)  # noqa: S102
    return module


def _place(use: str, exc: Exception) -> str:
    """File and line of the task's own code, or of what it called where that is unknown, and the error."""
    if isinstance(exc, SyntaxError) and exc.lineno is not None:
        return f"{exc.filename}, line {exc.lineno}: {type(exc).__name__}: {exc.msg}"
    frames = traceback.extract_tb(exc.__traceback__)
    own = [frame for frame in frames if ".py:" in use and frame.filename.endswith(use.rpartition(":")[0])]
    last = (own or frames)[-1]
    return f"{last.filename}, line {last.lineno}: {type(exc).__name__}: {' '.join(str(exc).split())}"


def task_digest(use: str, *, folder: Path = Path()) -> str:
    """Sha-256, 64 hexadecimal digits, of a task's file; of an installed one, of its module's source and version."""
    return _digest(use, _locate(use, folder)[2])


def require_approved(use: str, digest: str, approved: Collection[str]) -> None:
    """Raises:
    TaskNotApproved: `digest` is not among the `approved` ones.
    """
    if digest not in approved:
        known = ", ".join(sorted(approved)) or "none"
        raise TaskNotApproved(
            f"task {use!r} with digest {digest} is not approved here (approved: {known}); read its code, then add the "
            "digest to the node's configuration"
        )


def _digest(use: str, source: bytes) -> str:
    hasher = hashlib.sha256(source)
    if ".py:" not in use:
        hasher.update(b"\0" + _version(use).encode())
    return hasher.hexdigest()


def _version(use: str) -> str:
    if use in BUILT_IN:
        return str(importlib.import_module("domicile").__version__)
    point = _entry_point(use)
    return point.dist.version if point.dist is not None else ""


def _entry_point(use: str) -> EntryPoint:
    found = list(entry_points(group=GROUP, name=use))
    if len(found) != 1:
        cause = "no task has this name" if not found else "several packages offer it"
        raise ConfigurationError(
            f"task {use!r}: {cause}; use {', '.join(BUILT_IN)}, an entry point of {GROUP}, or file.py:Name"
        )
    return found[0]


def _locate(use: str, folder: Path) -> tuple[Path | str, str, bytes]:
    """Where the code is (a file or a module's name), the attribute's name, and the source."""
    if ".py:" in use:
        file, _, name = use.rpartition(":")
        return folder / file, name, _source(use, folder / file)
    module, _, name = (BUILT_IN.get(use) or _entry_point(use).value).partition(":")
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ConfigurationError(f"task {use!r}: module {module} is not installed; install its package")
    return module, name, _source(use, Path(spec.origin))


def _source(use: str, path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as exc:
        raise ConfigurationError(f"task {use!r}: {path} cannot be read; correct the path") from exc
