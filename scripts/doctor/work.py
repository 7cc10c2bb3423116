"""A node's code and data: approved as they are, and fit for its jobs."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from domicile.errors import ConfigurationError, DomicileError
from domicile.protocol.budget import budget_of
from node.config import ApprovedTask, NodeConfig
from scripts.doctor.case import Case, OwnJob
from scripts.doctor.finding import Finding, ok, problem

TABLES = (".csv", ".parquet")


def tasks(case: Case) -> Iterator[Finding]:
    """Whether the code that lies here is what the operator approved."""
    for task in _node(case).tasks:
        found = _digest(task)
        if found == task.digest:
            yield ok(f"{task.use}: as approved")
        else:
            yield problem(
                f"{task.use}: approved is {task.digest[:16]}…, found {found[:16]}…: the file or the installed version "
                f"changed; read the code, then approve what `domicile task digest` prints, or bring the old one back"
            )
    if not _node(case).tasks:
        yield problem("none is approved, so that this node joins no job; approve one under [[tasks]]")


def data(case: Case) -> Iterator[Finding]:
    """Whether the data can be read, and fits the node's jobs; without a job, its columns."""
    for own in case.own_jobs:
        try:
            _load(case, own)
        except DomicileError as exc:
            # Who loads data may quote a value.
            yield problem(f"job {own.job}: {exc}", private=True)
        else:
            yield ok(f"job {own.job}: the data fits its task")
    if not case.own_jobs:
        yield from readable(case)


def _node(case: Case) -> NodeConfig:
    if not isinstance(case.config, NodeConfig):
        raise TypeError("only a node has tasks and data")
    return case.config


def _digest(task: ApprovedTask) -> str:
    from domicile.learning.task import task_digest

    return task_digest(task.use, folder=task.folder)


def _load(case: Case, own: OwnJob) -> None:
    """What the daemon does before it trains; only approved code is run."""
    from domicile.learning.task import find_task
    from node.training import split_seed
    from node.work import approved_folder

    config, spec = _node(case), case.spec(own)
    spec.require_reserved(budget_of(own.history.created.parameters))
    folder = approved_folder(spec.task, config.tasks)
    task = find_task(spec.task.use, spec.task.options, folder=folder, expected=spec.task.digest)
    task.load(config.data.train, config.data.test, spec.data, split_seed(spec.seed, config.name))


def readable(case: Case) -> Iterator[Finding]:
    """Whether the data can be read, and its columns: all that can be asked of it without a job."""
    config = _node(case)
    try:
        train = _columns(config.data.train)
        test = None if config.data.test is None else _columns(config.data.test)
    except ConfigurationError as exc:
        yield problem(f"{exc}", private=True)
        return
    missing = sorted(set(train or ()) - set(test or ())) if test is not None else []
    # Without a heading, the first row is taken for one: names of columns may be data.
    if missing:
        told = f"{config.data.test}: no column {missing[0]!r}, which {config.data.train} has; add it"
        yield problem(told, private=True)
    elif train is None:
        yield ok("readable; a task looks into it when there is a job")
    else:
        yield ok(f"readable, with {len(train)} columns: {', '.join(train)}", private=True)


def _columns(path: Path) -> list[str] | None:
    """A table's columns; `None` for data of another kind.

    Raises:
        ConfigurationError: it cannot be read, or is an empty table.
    """
    from domicile.learning.table import read_table

    if path.suffix in TABLES:
        names: list[str] = read_table(path).column_names
        return names
    if not path.exists() or not os.access(path, os.R_OK):
        raise ConfigurationError(f"{path}: not there, or not readable by this user; correct the path or its rights")
    return None
