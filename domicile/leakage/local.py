"""A node's training, repeated by whoever audits it: the job's task, settings and privacy, on rows that the audit picks.

Shapes: P flat parameters, N rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from domicile.learning.model import load_flat
from domicile.learning.settings import TrainingSettings
from domicile.learning.task import Split, Task
from domicile.learning.training import train
from domicile.privacy.randomness import Randomness, SeededRandomness

if TYPE_CHECKING:
    from domicile.privacy.accountant import Mechanism


@dataclass(frozen=True, kw_only=True, slots=True)
class RowNoise:
    """DP-SGD as the node's own calibration has it."""

    mechanism: Mechanism
    max_grad_norm: float


@dataclass(frozen=True, kw_only=True, slots=True)
class LocalTraining:
    """`noise` is `None` where the job asks for no privacy."""

    task: Task
    module: torch.nn.Module
    settings: TrainingSettings
    noise: RowNoise | None

    def update(
        self, base_P: torch.Tensor, rows: Split, *, seed: int, absent_N: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The delta of one round, shape ``(P,)``.

        With noise, rows that are absent keep their place among the others and move nothing, as the zero-out relation of
        the job's claim has it: the number of rows is public.

        Raises:
            Divergence: the model is not finite.
        """
        load_flat(self.module, base_P)
        if self.noise is None:
            present = rows if absent_N is None else (rows[0][~absent_N], rows[1][~absent_N])
            return train(self.task, self.module, present, self.settings, seed=seed).delta_P
        # Opacus takes seconds to import, which a job without privacy need not wait for.
        from domicile.privacy.training import train_privately

        return train_privately(
            self.task,
            self.module,
            rows,
            self.settings,
            mechanism=self.noise.mechanism,
            max_grad_norm=self.noise.max_grad_norm,
            seed=seed,
            randomness=SeededRandomness(seed) if absent_N is None else _Without(SeededRandomness(seed), absent_N),
        ).delta_P


@dataclass(frozen=True, slots=True)
class _Without:
    """Draws that never choose an absent row. Seeded, as an audit is to be repeated and its models are thrown away."""

    source: Randomness
    absent_N: torch.Tensor

    def words(self, count: int) -> torch.Tensor:
        return self.source.words(count)

    def uniform(self, count: int) -> torch.Tensor:
        """1, which is above every sample rate's reach, for absent rows."""
        return self.source.uniform(count).masked_fill_(self.absent_N, 1.0)

    def gaussian(self, count: int) -> torch.Tensor:
        return self.source.gaussian(count)
