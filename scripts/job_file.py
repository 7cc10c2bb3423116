"""``job.toml``: what a job's owner orders."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, JsonValue, ValidationInfo, field_validator, model_validator

from domicile.errors import ConfigurationError
from domicile.learning.robust.settings import RobustRule, RobustSettings, require_consistent
from domicile.learning.secure.settings import SecureSettings, require_bounded
from domicile.learning.settings import Aggregation, DataSettings, MergingSettings, TrainingSettings
from domicile.privacy.settings import AnyPrivacy, NodePrivacySettings, require_sums
from domicile.protocol.budget import NOTHING, Budget
from domicile.protocol.eligibility import Safeguard, Sensitivity
from domicile.protocol.jurisdiction import Tier
from domicile.settings import Settings, load_settings

CODE_PATTERN = "^[A-Z0-9][A-Z0-9-]{0,7}$"
Code = str
NAME_MAX = 80
MAX_WINDOW_S = 365 * 24 * 3600
"""The contract takes no longer window."""


class TaskSettings(Settings):
    """`use`: a built-in task, an entry point, or ``file.py:Name`` relative to this file."""

    use: str = Field(min_length=1)
    options: dict[str, JsonValue] = Field(default_factory=dict)


class RoundSettings(Settings):
    """How many rounds there are and how long each window is.

    A regional model is mature after `regional_min` rounds once the shard's validation loss has not fallen by
    `min_delta` for `patience` rounds, and at the latest after `regional_max`. `collect_window_s` is the job clock, from
    which every wait of the rounds follows; `join_window_s` is a clock of its own. `max_retries` windows are granted
    anew in a global round before a shard sits it out.
    """

    global_rounds: int = Field(alias="global", ge=1, le=65535)
    regional_min: int = Field(default=1, ge=1, le=255)
    regional_max: int = Field(default=1, ge=1, le=255, validate_default=True)
    patience: int = Field(default=1, ge=1, le=255)
    min_delta: float = Field(default=0.001, ge=0, le=4000)
    join_window_s: int = Field(default=300, ge=1, le=MAX_WINDOW_S)
    collect_window_s: int = Field(default=60, ge=1, le=MAX_WINDOW_S)
    max_retries: int = Field(default=1, ge=0, le=255)

    @field_validator("regional_max")
    @classmethod
    def _check_range(cls, regional_max: int, info: ValidationInfo) -> int:
        regional_min = info.data.get("regional_min", regional_max)
        if regional_max < regional_min:
            raise ValueError(f"{regional_max} is below regional_min ({regional_min}); raise the one or lower the other")
        return regional_max


class ParticipationSettings(Settings):
    """`min_nodes`: updates without which a regional round is not merged. `min_contributors`: merged updates without
    which no regional model or figure leaves its region; at least 3, since with 2 each could subtract itself and read
    the other. `min_shards`: exported models without which there is no global merge.
    """

    min_nodes: int = Field(default=3, ge=2, le=256)
    min_contributors: int = Field(default=3, ge=3, le=256)
    min_shards: int = Field(default=1, ge=1, le=32)

    @property
    def min_survivors(self) -> int:
        """The fewest nodes whose masked sum any of them helps to unmask."""
        return max(self.min_nodes, self.min_contributors)


class MergingPair(Settings):
    """How updates are merged inside a shard, and how regional models are merged into the global one."""

    regional: MergingSettings = MergingSettings()
    global_: MergingSettings = Field(default=MergingSettings(), alias="global")


class JobFile(Settings):
    """One order to train one model."""

    name: str = Field(max_length=NAME_MAX, pattern=r"^[^\x00-\x1f\x7f-\x9f]+$")
    seed: int = Field(default=0, ge=0, lt=1 << 63)
    sensitivity: Literal["public", "personal", "special", "restricted"]
    max_tier: Literal["open", "conditional", "high_risk"] = "conditional"
    shards: tuple[Code, ...] = Field(min_length=1, max_length=32)
    denied: tuple[Code, ...] = ()
    task: TaskSettings
    data: DataSettings = DataSettings()
    training: TrainingSettings
    merging: MergingPair = MergingPair()
    rounds: RoundSettings
    participation: ParticipationSettings = ParticipationSettings()
    aggregation: Aggregation = "plain"
    secure: SecureSettings | None = None
    robust: RobustSettings | None = None
    max_update_norm: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    privacy: AnyPrivacy | None = None

    @field_validator("shards")
    @classmethod
    def _check_shards(cls, shards: tuple[Code, ...]) -> tuple[Code, ...]:
        for code in shards:
            if shards.count(code) > 1:
                raise ValueError(f"{code!r} comes twice; name each shard once")
        return shards

    @model_validator(mode="after")
    def _check_aggregation(self) -> Self:
        require_consistent(self.aggregation, self.robust, self.regional_merging, self.global_merging)
        require_sums(self.privacy, self.aggregation, self.regional_merging, self.global_merging)
        require_bounded(self.aggregation, self.secure, self.regional_merging, self.max_update_norm)
        if self.robust is not None:
            least = self.participation
            _check_rule("robust", "min_nodes", self.robust, least.min_nodes, num_averaged=least.min_contributors)
            if self.robust.regions is not None:
                _check_rule("robust.regions", "min_shards", self.robust.regions, least.min_shards)
        return self

    @property
    def regional_merging(self) -> MergingSettings:
        return self._merging(self.merging.regional)

    @property
    def global_merging(self) -> MergingSettings:
        return self._merging(self.merging.global_)

    def _merging(self, written: MergingSettings) -> MergingSettings:
        """A robust job weighs by no numbers that others tell, and one with privacy of nodes has none to tell; where its
        file is silent on weights, they are uniform.
        """
        unweighted = self.aggregation == "robust" or isinstance(self.privacy, NodePrivacySettings)
        if unweighted and "weighting" not in written.model_fields_set:
            return written.model_copy(update={"weighting": "uniform"})
        return written

    @property
    def safeguards(self) -> Safeguard:
        """What its nodes and committees must offer."""
        private = Safeguard.NONE if self.privacy is None else Safeguard.DIFFERENTIAL_PRIVACY
        masked = Safeguard.SECURE_AGGREGATION if self.aggregation == "secure" else Safeguard.NONE
        return private | masked

    @property
    def horizon_rounds(self) -> tuple[int, int, int]:
        """Global rounds, regional rounds of each at most, and retries."""
        return self.rounds.global_rounds, self.rounds.regional_max, self.rounds.max_retries

    @property
    def reserved(self) -> Budget:
        """What it reserves of each node's dataset."""
        return NOTHING if self.privacy is None else self.privacy.reserved

    @property
    def sensitivity_class(self) -> Sensitivity:
        return Sensitivity[self.sensitivity.upper()]

    @property
    def strictest_tier(self) -> Tier:
        return Tier[self.max_tier.upper()]


def _check_rule(table: str, key: str, rule: RobustRule, least: int, *, num_averaged: int = 1) -> None:
    """Whether a merge of the fewest contributions that the job allows holds against the hostile ones it assumes."""
    needed = rule.num_needed(num_averaged)
    if least < needed:
        raise ValueError(
            f"{table}.rule: {rule.need(num_averaged)}, participation.{key} allows {least}; raise {key} to {needed}, "
            "lower num_hostile, or take another rule"
        )


def load_job_file(path: Path) -> JobFile:
    """Reads ``job.toml``.

    Raises:
        ConfigurationError: names file, key, cause and mend.
    """
    job = load_settings(path, JobFile)
    check_min_shards(path, job)
    return job


def check_min_shards(path: Path, job: JobFile) -> None:
    """Raises:
    ConfigurationError: more shards must report than there are.
    """
    if job.participation.min_shards > len(job.shards):
        raise ConfigurationError(
            f"{path}: participation.min_shards: {job.participation.min_shards} of {len(job.shards)} shard(s) can never "
            "report; lower it"
        )
