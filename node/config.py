"""The node daemon's configuration: one TOML file, checked at start."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from domicile.party import PartySettings
from domicile.protocol.round import NO_DATASET
from domicile.settings import PathHere, Settings
from domicile.types import DatasetId

MAX_DATASET = 2**64 - 1


class ApprovedTask(Settings):
    """Code that the operator has read and approved, by its digest (``domicile task digest USE`` prints it)."""

    use: str
    digest: str = Field(pattern="^[0-9a-f]{64}$")
    folder: PathHere = Field(default=Path(), validate_default=True)
    """Where ``file.py`` of a ``file.py:Name`` lies at this node."""


class NodeData(Settings):
    """Where this node's data lies, relative to this file; without `test`, a part of `train` is held out.

    `dataset`: its number in the privacy ledger, where its owner granted a budget. The node then joins no job that
    states none, since such a job could spend any amount.
    """

    train: PathHere
    test: PathHere | None = None
    dataset: int | None = Field(default=None, ge=1, le=MAX_DATASET)

    @property
    def reserved_of(self) -> DatasetId:
        """What joining names."""
        return NO_DATASET if self.dataset is None else DatasetId(self.dataset)


class NodeJobs(Settings):
    """Which jobs the node takes part in: `join` lists their numbers, or takes ``"all"`` whose task is approved.
    It takes part in what it joined by hand as well, and does not join again what it left by hand.
    """

    join: tuple[int, ...] | Literal["all"] = Field(default="all")
    kept_rounds: int = Field(default=2, ge=1)

    @field_validator("join", mode="before")
    @classmethod
    def _check_join(cls, join: object) -> object:
        numbers = isinstance(join, list | tuple) and all(type(one) is int for one in join)
        if join != "all" and not numbers:
            raise ValueError('neither "all" nor a list of job numbers; write join = "all", or join = [1, 4]')
        return tuple(join) if isinstance(join, list) else join


class NodePrivacy(Settings):
    """Where draws and noise of a job with privacy come from: ``secure``, or ``reproducible``, which follows from the
    job's public seed and protects nobody. A sandbox asks for the latter, so that a run can be repeated.
    """

    noise: Literal["secure", "reproducible"] = "secure"


class NodeConfig(PartySettings):
    """Everything that a node daemon needs to know; secrets come from files or the environment."""

    data: NodeData
    tasks: tuple[ApprovedTask, ...]
    jobs: NodeJobs = NodeJobs()
    privacy: NodePrivacy = NodePrivacy()
