"""What a job may ask of robust merging: each condition is refused by name before anything is spent."""

from __future__ import annotations

from typing import Any

import pytest

from domicile.errors import ConfigurationError, PeerError
from domicile.learning.robust.settings import CONDITIONS, RobustRule, RobustSettings
from domicile.learning.settings import MergingSettings, TrainingSettings
from domicile.settings import parse_settings
from domicile.spec import JobSpec, ModelReference, TaskReference
from scripts.job_file import JobFile

JOB: dict[str, Any] = {
    "name": "small",
    "sensitivity": "special",
    "shards": ["EU", "US", "IN"],
    "task": {"use": "tabular"},
    "training": {"steps": 1},
    "rounds": {"global": 1},
}
ROBUST: dict[str, Any] = {"aggregation": "robust", "robust": {"rule": "median", "num_hostile": 1}}


def job(**changes: Any) -> JobFile:
    return parse_settings(JOB | ROBUST | changes, JobFile, source="job.toml")


def robust(rule: str, num_hostile: int, **more: Any) -> dict[str, Any]:
    return {"rule": rule, "num_hostile": num_hostile, **more}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no rule": ({"robust": None}, 'aggregation: "robust" has no rule; add the table [robust]'),
    "a table of no use": ({"aggregation": "plain"}, 'robust: aggregation is "plain"; remove the table'),
    "no hostile node": ({"robust": robust("median", 0)}, "robust.num_hostile: "),
    "an unknown rule": ({"robust": robust("mean", 1)}, "robust.rule: "),
    "Krum in a region": ({"robust": robust("krum", 1)}, "robust.rule: krum passes on one node's whole update"),
    "a ratio below the median": ({"robust": robust("median", 1, max_norm_ratio=0.5)}, "robust.max_norm_ratio: "),
    "too few for the median": (
        {"robust": robust("median", 2)},
        "robust.rule: median against 2 hostile needs 5 contributions (n >= 2f + 1), participation.min_nodes allows 3; "
        "raise min_nodes to 5",
    ),
    "too few for Bulyan": (
        {"robust": robust("bulyan", 2), "participation": {"min_nodes": 10}},
        "bulyan against 2 hostile needs 11 contributions (n >= 4f + 3), participation.min_nodes allows 10",
    ),
    "multi-Krum of two updates": (
        {"robust": robust("multi_krum", 1), "participation": {"min_nodes": 5}},
        "multi_krum against 1 hostile needs 6 contributions (it averages n - f - 2 whole updates, and 3 are the fewest",
    ),
    "too few regions": (
        {"robust": robust("median", 1, regions=robust("krum", 1)), "participation": {"min_shards": 3}},
        "robust.regions.rule: krum against 1 hostile needs 5 contributions (n >= 2f + 3), participation.min_shards "
        "allows 3",
    ),
    "weights that nodes tell": (
        {"merging": {"regional": {"weighting": "samples"}}},
        "merging.regional.weighting: whoever says how many rows it has could claim all the weight",
    ),
    "weights that regions tell": ({"merging": {"global": {"weighting": "samples"}}}, "merging.global.weighting: "),
}


@pytest.mark.parametrize(("changes", "told"), REFUSED.values(), ids=REFUSED)
def test_an_order_that_cannot_hold_is_refused_in_one_line(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        job(**changes)
    message = str(refused.value)
    assert message.startswith("job.toml: ")
    assert told in message
    assert ";" in message
    assert "\n" not in message


def test_weights_are_uniform_where_the_file_is_silent() -> None:
    found = job(merging={"regional": {"strategy": "fedavgm"}})
    assert (found.regional_merging.weighting, found.global_merging.weighting) == ("uniform", "uniform")
    assert found.regional_merging.strategy == "fedavgm"
    plain = job(aggregation="plain", robust=None)
    assert plain.regional_merging.weighting == "samples"


@pytest.mark.parametrize(
    ("rule", "least"),
    [("median", 5), ("trimmed_mean", 5), ("geometric_median", 5), ("krum", 7), ("multi_krum", 7), ("bulyan", 11)],
)
def test_each_rule_needs_what_its_paper_says_against_two(rule: str, least: int) -> None:
    settings = RobustRule.model_validate(robust(rule, 2))
    assert settings.num_needed() == least
    assert settings.refusal(least) is None
    told = settings.refusal(least - 1)
    assert told is not None
    assert f"{rule} against 2 hostile needs {least} contributions" in told
    assert rule in CONDITIONS


def spec(**changes: Any) -> JobSpec:
    uniform = MergingSettings(weighting="uniform")
    settings: dict[str, Any] = {"regional_merging": uniform, "global_merging": uniform} | changes
    return JobSpec(
        name="small",
        seed=0,
        task=TaskReference(use="tabular", digest="0" * 64),
        initial_model=ModelReference(payload="0" * 64, model="0" * 64),
        training=TrainingSettings(steps=1),
        **settings,
    )


def test_a_specification_keeps_its_rules_on_the_way_through_the_store() -> None:
    asked = robust("median", 1, max_norm_ratio=4.0, regions=robust("krum", 1, above_norm="leave_out"))
    written = spec(aggregation="robust", robust=RobustSettings.model_validate(asked))
    assert JobSpec.from_bytes(written.to_bytes()) == written


def test_a_specification_of_somebody_else_that_would_pass_on_one_update_is_declined() -> None:
    raw = spec(aggregation="robust", robust=ROBUST["robust"]).to_bytes()
    with pytest.raises(PeerError, match="must not leave its region"):
        JobSpec.from_bytes(raw.replace(b'"median"', b'"krum"'))
