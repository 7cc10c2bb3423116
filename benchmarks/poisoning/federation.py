"""A whole job in one process: real training and real merges, regional and global; no chain, stores or sealing.

Shapes: P flat parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from aggregator.merging import merge_into
from benchmarks.poisoning.clinics import Clinic
from domicile.learning.merging import Accumulator, Merger
from domicile.learning.model import ModelFile, ModelMetadata, flatten, l2_norm, layout_of, load_flat
from domicile.learning.robust.merger import RobustMerger
from domicile.learning.robust.settings import RobustRule
from domicile.learning.settings import MergingSettings, TrainingSettings
from domicile.learning.tabular import Tabular
from domicile.learning.training import evaluate, train

ROUNDS = 5
TRAINING = TrainingSettings(steps=5, learning_rate=0.1, batch_size=16)
UNIFORM = MergingSettings(weighting="uniform")


@dataclass(frozen=True, kw_only=True, slots=True)
class Attack:
    """What hostile clinics send: the change that they trained, on flipped labels or not, times `factor`."""

    name: str
    num_hostile: int
    """Of the ten clinics of every region, or all of the first region where `region` says so."""

    region: bool = False
    flips_labels: bool = False
    factor: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Defence:
    """How updates and regional models are merged; `None` is the plain mean. `max_norm` leaves out what is above it."""

    name: str
    rule: RobustRule | None = None
    regions: RobustRule | None = None
    max_norm: float | None = None


class Federation:
    """Three regions of ten clinics each, and their models."""

    def __init__(self, task: Tabular, regions: dict[str, list[Clinic]], folder: Path, seed: int) -> None:
        self._task = task
        self._regions = regions
        self._folder = folder
        self._seed = seed
        self._module = task.build_model()
        self._layout = layout_of(self._module)

    def accuracy(self, attack: Attack, defence: Defence) -> float:
        """Of the last global model on the held-out rows of all clinics, each scaled as at its clinic."""
        torch.manual_seed(self._seed)
        global_P = flatten(self._task.build_model())
        regional = self._merger(defence.rule)
        worldwide = self._merger(defence.regions)
        for number in range(ROUNDS):
            worldwide.reset()
            for region in self._regions:
                regional_P = self._merge_region(region, number, global_P, attack, defence, regional)
                worldwide.add(regional_P.sub_(global_P), 1.0)
            global_P = self._step(global_P, worldwide)
        return self._evaluate(global_P)

    def _merge_region(
        self, region: str, number: int, global_P: torch.Tensor, attack: Attack, defence: Defence, merger: Merger
    ) -> torch.Tensor:
        merger.reset()
        first = next(iter(self._regions))
        for place, clinic in enumerate(self._regions[region]):
            hostile = region == first if attack.region else place < attack.num_hostile
            delta_P = self._update(clinic, f"{region}/{place}/{number}", global_P, attack if hostile else None)
            if defence.max_norm is None or l2_norm(delta_P) <= defence.max_norm:
                merger.add(delta_P, 1.0)
        return self._step(global_P, merger)

    def _update(self, clinic: Clinic, where: str, global_P: torch.Tensor, attack: Attack | None) -> torch.Tensor:
        load_flat(self._module, global_P)
        data = clinic.flipped if attack is not None and attack.flips_labels else clinic.honest
        seed = int.from_bytes(where.encode(), "big") % (1 << 32) + self._seed
        delta_P = train(self._task, self._module, data.train, TRAINING, seed=seed).delta_P
        return delta_P if attack is None else delta_P.mul_(attack.factor)

    def _step(self, base_P: torch.Tensor, merger: Merger) -> torch.Tensor:
        assert merger.settle() == ()
        file = ModelFile(layout=self._layout)
        merged = merge_into(UNIFORM, file, base_P.clone(), merger.mean(), ModelMetadata(), keep_state=False)
        return merged.values_P

    def _merger(self, rule: RobustRule | None) -> Merger:
        size = self._layout.num_parameters
        return Accumulator(size) if rule is None else RobustMerger(rule, size, self._folder)

    def _evaluate(self, model_P: torch.Tensor) -> float:
        load_flat(self._module, model_P)
        found = [
            evaluate(self._task, self._module, clinic.honest.test)
            for clinics in self._regions.values()
            for clinic in clinics
        ]
        return sum(one.correct or 0 for one in found) / sum(one.count for one in found)
