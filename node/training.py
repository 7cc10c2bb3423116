"""How a node turns a round's model into an update."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Protocol

import torch

from domicile.learning.model import ModelLayout, load_flat
from domicile.learning.task import NodeData, Task
from domicile.learning.training import TrainingResult, train
from domicile.spec import JobSpec
from domicile.types import Address


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalJob:
    """What a node needs to train for one job."""

    spec: JobSpec
    task: Task
    layout: ModelLayout
    data: NodeData
    module: torch.nn.Module


class Trainer(Protocol):
    """Turns a model into an update."""

    def train(self, job: LocalJob, base_P: torch.Tensor, seed: int) -> TrainingResult:
        """Trains from `base_P`, which stays as it is; the result's delta has shape ``(P,)``."""
        ...


class LocalTrainer:
    """Trains the job's task on the node's own rows."""

    def train(self, job: LocalJob, base_P: torch.Tensor, seed: int) -> TrainingResult:
        load_flat(job.module, base_P)
        return train(job.task, job.module, job.data.train, job.spec.training, seed=seed)


def split_seed(job_seed: int, name: str) -> int:
    """A seed of 63 bits for a node's validation (and test) split; the same in every run of the job."""
    return int.from_bytes(hashlib.sha256(f"{job_seed}/split/{name}".encode()).digest()[:8], "big") >> 1


def training_seed(spec: JobSpec, address: Address, global_round: int, regional_round: int) -> int:
    """A seed of 63 bits that is different for each node and round, and the same whenever the round is repeated."""
    text = f"{spec.seed}/{address.lower()}/{global_round}/{regional_round}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
