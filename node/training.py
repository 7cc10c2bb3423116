"""How a node turns a round's model into an update."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import torch

from domicile.learning.model import ModelLayout, load_flat
from domicile.learning.task import NodeData, Task
from domicile.learning.training import TrainingResult, train
from domicile.privacy.node_level.calibration import NodeCalibration
from domicile.privacy.randomness import Randomness, SecureRandomness, SeededRandomness
from domicile.spec import JobSpec
from domicile.types import Address

if TYPE_CHECKING:
    from domicile.privacy.calibration import Calibration


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalPrivacy:
    """`budget`: of rows or of nodes. `reproducible`: draws and noise follow from the round's seed, so that nothing is
    protected.
    """

    budget: Calibration | NodeCalibration
    reproducible: bool

    def randomness(self, seed: int) -> Randomness:
        """Where a round's draws and noise come from; `seed` is no secret."""
        return SeededRandomness(seed) if self.reproducible else SecureRandomness()

    @property
    def sample_rate(self) -> float | None:
        """Chance of a row in a step; `None` where nodes are covered, of which every one goes into every sum."""
        return None if isinstance(self.budget, NodeCalibration) else self.budget.mechanism.sample_rate

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
        if job.privacy is None or isinstance(job.privacy.budget, NodeCalibration):
            return train(job.task, job.module, job.data.train, job.spec.training, seed=seed)
        return _train_privately(job, job.privacy.budget, job.privacy.randomness(seed), seed)


def _train_privately(job: LocalJob, budget: Calibration, randomness: Randomness, seed: int) -> TrainingResult:
    # Opacus takes seconds to import, which a job without privacy need not wait for.
    from domicile.privacy.training import train_privately

    return train_privately(
        job.task,
        job.module,
        job.data.train,
        job.spec.training,
        mechanism=budget.mechanism,
        max_grad_norm=budget.settings.max_grad_norm,
        seed=seed,
        randomness=randomness,
    )


def split_seed(job_seed: int, name: str) -> int:
    """A seed of 63 bits for a node's validation (and test) split; the same in every run of the job."""
    return int.from_bytes(hashlib.sha256(f"{job_seed}/split/{name}".encode()).digest()[:8], "big") >> 1


def training_seed(spec: JobSpec, address: Address, global_round: int, regional_round: int) -> int:
    """A seed of 63 bits that is different for each node and round, and the same whenever the round is repeated."""
    text = f"{spec.seed}/{address.lower()}/{global_round}/{regional_round}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1
