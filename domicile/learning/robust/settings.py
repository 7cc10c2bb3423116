"""What a job says about robust merging, and how many contributions each rule needs.

n: contributions that are merged; f: how many of them are assumed hostile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from pydantic import Field, field_validator

from domicile.learning.settings import Aggregation, MergingSettings
from domicile.settings import Settings

RuleName = Literal["median", "trimmed_mean", "krum", "multi_krum", "bulyan", "geometric_median"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Condition:
    """The least n that a rule needs against f, in numbers and in words."""

    least: Callable[[int], int]
    words: str


MAJORITY = Condition(least=lambda f: 2 * f + 1, words="n >= 2f + 1")
KRUM = Condition(least=lambda f: 2 * f + 3, words="n >= 2f + 3")

CONDITIONS: dict[RuleName, Condition] = {
    # Yin et al. 2018, Definitions 1 and 2: a share of hostile ones below a half, and none above the share trimmed.
    "median": MAJORITY,
    "trimmed_mean": MAJORITY,
    # Blanchard et al. 2017, Proposition 1: 2f + 2 < n.
    "krum": KRUM,
    "multi_krum": KRUM,
    # El Mhamdi et al. 2018, Section 4.
    "bulyan": Condition(least=lambda f: 4 * f + 3, words="n >= 4f + 3"),
    # Pillutla et al. 2022, Section 2: the breakdown point is a half.
    "geometric_median": MAJORITY,
}

NEIGHBOURS_SPARED = 2
"""Krum scores a vector by its n - f - 2 nearest neighbours (Blanchard et al. 2017, Section 4)."""


class RobustRule(Settings):
    """One merge of many contributions.

    `num_hostile` is f. `max_norm_ratio` bounds each L2 norm by so many times the median norm of the merge; what lies
    above a bound is scaled down to it (``clip``) or left out (``leave_out``). Clipping is the default, since whoever is
    left out lowers n, which a hostile contributor could bring below what the rule needs.
    """

    rule: RuleName
    num_hostile: int = Field(ge=1, le=127)
    max_norm_ratio: float | None = Field(default=None, ge=1, le=1e6, allow_inf_nan=False)
    above_norm: Literal["clip", "leave_out"] = "clip"

    @property
    def condition(self) -> Condition:
        return CONDITIONS[self.rule]

    def num_needed(self, num_averaged: int = 1) -> int:
        """The least n. `num_averaged`: contributions that a rule which passes on whole ones must average at least."""
        least = self.condition.least(self.num_hostile)
        if self.rule == "multi_krum":
            return max(least, num_averaged + self.num_hostile + NEIGHBOURS_SPARED)
        return least

    def need(self, num_averaged: int = 1) -> str:
        """`num_needed` in words, with the condition that it follows from."""
        needed = self.num_needed(num_averaged)
        why = self.condition.words
        if needed > self.condition.least(self.num_hostile):
            why = f"it averages n - f - 2 whole updates, and {num_averaged} are the fewest that may be averaged"
        return f"{self.rule} against {self.num_hostile} hostile needs {needed} contributions ({why})"

    def refusal(self, num_given: int, num_averaged: int = 1) -> str | None:
        """Why so many contributions cannot be merged; `None` where they can."""
        if num_given >= self.num_needed(num_averaged):
            return None
        return f"{self.need(num_averaged)}, {num_given} are usable"


class RobustSettings(RobustRule):
    """How a shard's updates are merged; `regions` says it of the regional models, ``None`` merges these by plain mean.

    A regional model holds at least ``min_contributors`` updates, which Krum's would not: it is one update as it is.
    """

    regions: RobustRule | None = None

    @field_validator("rule")
    @classmethod
    def _check_aggregate(cls, rule: RuleName) -> RuleName:
        if rule == "krum":
            raise ValueError("krum passes on one node's whole update, which must not leave its region; use multi_krum")
        return rule


def require_consistent(
    aggregation: Aggregation,
    robust: RobustSettings | None,
    regional: MergingSettings,
    global_: MergingSettings,
) -> None:
    """What a job says in several places about its merging.

    Raises:
        ValueError: it contradicts itself.
    """
    if aggregation == "robust" and robust is None:
        raise ValueError('aggregation: "robust" has no rule; add the table [robust] with rule and num_hostile')
    if aggregation != "robust":
        if robust is not None:
            raise ValueError(
                f'robust: aggregation is "{aggregation}"; remove the table or write aggregation = "robust"'
            )
        return
    for name, settings in (("regional", regional), ("global", global_)):
        if settings.weighting != "uniform":
            raise ValueError(
                f"merging.{name}.weighting: whoever says how many rows it has could claim all the weight; a robust "
                'job needs "uniform"'
            )
