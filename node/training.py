"""How a node turns a round's model into an update."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch

from domicile.learning.model import ModelLayout, load_flat
from domicile.learning.task import NodeData, Task
from domicile.learning.training import TrainingResult, train
from domicile.privacy.randomness import SecureRandomness, SeededRandomness
from domicile.spec import JobSpec
from domicile.types import Address

if TYPE_CHECKING:
    from domicile.privacy.calibration import Calibration


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalPrivacy:
    """`reproducible`: draws and noise follow from the round's seed, so that nothing is protected."""

    budget: Calibration
    reproducible: bool

    def told(self) -> dict[str, Any]:
        """For the log: what this node promises, and by which noise."""
        return {
            "epsilon": self.budget.epsilon,
            "delta": self.budget.settings.delta,
            "noise_multiplier": self.budget.mechanism.noise_multiplier,
            "max_rounds": self.budget.horizon.num_rounds,
            "max_steps": self.budget.horizon.num_steps,
            "reproducible": self.reproducible,
        }


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalJob:
    """What a node needs to train for one job; `privacy` is `None` where the job asks for none."""

    spec: JobSpec
    task: Task
    layout: ModelLayout
    data: NodeData
    module: torch.nn.Module
    privacy: LocalPrivacy | None = None


class Trainer(Protocol):
    """Turns a model into an update."""

    def train(self, job: LocalJob, base_P: torch.Tensor, seed: int) -> TrainingResult:
        """Trains from `base_P`, which stays as it is; the result's delta has shape ``(P,)``."""
        ...


class LocalTrainer:
    """Trains the job's task on the node's own rows."""

    def train(self, job: LocalJob, base_P: torch.Tensor, seed: int) -> TrainingResult:
        load_flat(job.module, base_P)
        if job.privacy is None:
            return train(job.task, job.module, job.data.train, job.spec.training, seed=seed)
        return _train_privately(job, job.privacy, seed)


def _train_privately(job: LocalJob, privacy: LocalPrivacy, seed: int) -> TrainingResult:
    # Opacus takes seconds to import, which a job without privacy need not wait for.
    from domicile.privacy.training import train_privately

    return train_privately(
        job.task,
        job.module,
        job.data.train,
        job.spec.training,
        mechanism=privacy.budget.mechanism,
        max_grad_norm=privacy.budget.settings.max_grad_norm,
        seed=seed,
        randomness=SeededRandomness(seed) if privacy.reproducible else SecureRandomness(),
    )


def split_seed(job_seed: int, name: str) -> int:
    """A seed of 63 bits for a node's validation (and test) split; the same in every run of the job."""
    return int.from_bytes(hashlib.sha256(f"{job_seed}/split/{name}".encode()).digest()[:8], "big") >> 1


def training_seed(spec: JobSpec, address: Address, global_round: int, regional_round: int) -> int:
    """A seed of 63 bits that is different for each node and round, and the same whenever the round is repeated."""
    text = f"{spec.seed}/{address.lower()}/{global_round}/{regional_round}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
