"""The node daemon's configuration: one TOML file, checked at start."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from domicile.party import PartySettings
from domicile.settings import PathHere, Settings


class ApprovedTask(Settings):
    """Code that the operator has read and approved, by its digest (``domicile task digest USE`` prints it)."""

    use: str
    digest: str = Field(pattern="^[0-9a-f]{64}$")
    folder: PathHere = Field(default=Path(), validate_default=True)
    """Where ``file.py`` of a ``file.py:Name`` lies at this node."""


class NodeData(Settings):
    """Where this node's data lies, relative to this file; without `test`, a part of `train` is held out."""

    train: PathHere
    test: PathHere | None = None


class NodeJobs(Settings):
    """Which jobs the node takes part in: `join` lists their numbers, or takes ``"all"`` whose task is approved."""

    join: tuple[int, ...] | str = Field(default="all")
    kept_rounds: int = Field(default=2, ge=1)


class NodeConfig(PartySettings):
    """Everything that a node daemon needs to know; secrets come from files or the environment."""

    data: NodeData
    tasks: tuple[ApprovedTask, ...]
    jobs: NodeJobs = NodeJobs()
