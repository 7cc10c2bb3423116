"""A job with privacy of nodes in one process: any number of nodes in shards, each sum noised and decoded as in a job.

Rows are drawn with replacement from the training files of ``examples/diagnosis``, since it has 569 in all: what is
simulated is the number of nodes, not more patients. Shapes: P flat parameters.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch

from domicile.learning.model import flatten, load_flat
from domicile.learning.settings import DataSettings, TrainingSettings
from domicile.learning.task import Split, Task, find_task
from domicile.learning.training import evaluate, train
from domicile.privacy.node_level.calibration import NodeCalibration, calibrate_nodes
from domicile.privacy.node_level.update import noised_update
from domicile.privacy.randomness import SecureRandomness
from domicile.privacy.settings import NodePrivacySettings
from scripts.job_file import load_job_file

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
ROWS_OF_A_NODE = 45
"""As many as a node of the example has on average."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """`epsilon`: `None` clips nothing and adds no noise. `drop_outs`: the part of a shard that may be missing without
    harm to the claim; all are there.
    """

    num_shards: int
    nodes_per_shard: int
    epsilon: float | None
    num_rounds: int = 4
    drop_outs: float = 0.2
    max_update_norm: float = 2.0
    clipping_quantile: float = 0.5
    training: TrainingSettings = field(
        default_factory=lambda: TrainingSettings(steps=10, learning_rate=3.0, batch_size=64)
    )

    @property
    def min_survivors(self) -> int:
        return max(3, round((1 - self.drop_outs) * self.nodes_per_shard))


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """The example's task with the rows of all its nodes."""

    task: Task
    train: Split
    test: Split

    @classmethod
    def load(cls) -> Diagnosis:
        job = load_job_file(EXAMPLES / "private-diagnosis" / "job.toml")
        task = find_task("tabular", {**job.task.options, "features": list(job.task.options["ranges"])})
        folder = EXAMPLES / "diagnosis" / "data"
        data = [
            task.load(file, file.with_name(file.name.replace("train", "test")), DataSettings(validation_fraction=0), 1)
            for file in sorted(folder.glob("*-train.csv"))
        ]
        parts = [[getattr(one, part)[index] for one in data] for part in ("train", "test") for index in (0, 1)]
        inputs, targets, test_inputs, test_targets = (torch.cat(part) for part in parts)
        return cls(task=task, train=(inputs, targets), test=(test_inputs, test_targets))


def accuracy_of(setting: Setting, diagnosis: Diagnosis, seed: int) -> float:
    """Accuracy of the last global model on the test files of all nodes."""
    generator = torch.Generator().manual_seed(seed)
    inputs, targets = diagnosis.train
    drawn = torch.randint(
        len(inputs), (setting.num_shards, setting.nodes_per_shard, ROWS_OF_A_NODE), generator=generator
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module = diagnosis.task.build_model()
    model_P = flatten(module)
    budget = calibrated(setting, model_P.numel())
    norms = [setting.max_update_norm] * setting.num_shards
    for turn in range(setting.num_rounds):
        means = []
        for shard, rows in enumerate(drawn):
            deltas = []
            for node, part in enumerate(rows):
                load_flat(module, model_P)
                split = (inputs[part], targets[part])
                deltas.append(train(diagnosis.task, module, split, setting.training, seed=turn * 1000 + node).delta_P)
            mean_P, norms[shard] = _mean(deltas, norms[shard], budget)
            means.append(mean_P)
        model_P = model_P + torch.stack(means).mean(0)
    load_flat(module, model_P)
    return evaluate(diagnosis.task, module, diagnosis.test).metrics["accuracy"]


def calibrated(setting: Setting, num_parameters: int) -> NodeCalibration | None:
    if setting.epsilon is None:
        return None
    return calibrate_nodes(
        NodePrivacySettings(epsilon=setting.epsilon, delta=1e-5, clipping_quantile=setting.clipping_quantile),
        rounds=(setting.num_rounds, 1, 0),
        min_survivors=setting.min_survivors,
        max_update_norm=setting.max_update_norm,
        num_parameters=num_parameters,
    )


def _mean(
    deltas: list[torch.Tensor], clipping_norm: float, budget: NodeCalibration | None
) -> tuple[torch.Tensor, float]:
    """The shard's mean, by way of the ring, and its next clipping norm."""
    if budget is None:
        return torch.stack(deltas).mean(0), clipping_norm
    mechanism = budget.mechanism
    noised = [noised_update(one / clipping_norm, mechanism, SecureRandomness()) for one in deltas]
    # int32 that leave their range come back at its other end: the ring.
    total_P = torch.stack([one.values_P for one in noised]).sum(0, dtype=torch.int32)
    within = mechanism.within(sum(one.bit for one in noised), len(noised))
    mean_P = total_P.double().mul_(clipping_norm / (mechanism.scale * len(noised))).float()
    return mean_P, budget.clipping.next(clipping_norm, within)
