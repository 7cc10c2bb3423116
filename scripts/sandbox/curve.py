"""Accuracy over ε: which values, and what the job means at each; read before anything starts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from domicile.privacy.settings import PrivacySettings
from scripts.job_file import JobFile

if TYPE_CHECKING:
    from domicile.privacy.calibration import Calibration

EPSILONS = (16.0, 8.0, 4.0, 2.0, 1.0)
"""Beside none at all, and the job's own."""

SEED_END = 1 << 63
"""As for the seed of a job."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Curve:
    """`budgets`: of each node at each ε, from the weakest privacy to the strongest; `None` is the job without any."""

    seeds: tuple[int, ...]
    budgets: Mapping[float | None, Mapping[str, Calibration]]


def curve_of(job: JobFile, num_rows: Mapping[str, int], num_seeds: int) -> Curve:
    """`num_rows`: each node's training rows. The first seed is the job's own.

    Raises:
        ConfigurationError: some ε cannot be kept.
    """
    from domicile.privacy.calibration import calibrate

    assert isinstance(job.privacy, PrivacySettings)  # noqa: S101 - load_plan() asks for a curve of nothing else
    budgets: dict[float | None, Mapping[str, Calibration]] = {None: {}}
    for epsilon in sorted({*EPSILONS, job.privacy.epsilon}, reverse=True):
        settings = job.privacy
        if epsilon != settings.epsilon:
            settings = settings.model_copy(update={"epsilon": epsilon, "noise_multiplier": None})
        known = {
            num: calibrate(settings, job.training, num_rows=num, rounds=job.horizon_rounds)
            for num in set(num_rows.values())
        }
        budgets[epsilon] = {name: known[num] for name, num in num_rows.items()}
    return Curve(seeds=tuple((job.seed + one) % SEED_END for one in range(num_seeds)), budgets=budgets)
