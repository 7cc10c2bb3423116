"""Settings of a job with privacy of nodes, what its rounds cost, and what is claimed of them."""

from __future__ import annotations

from typing import Any

import pytest

from domicile.errors import ConfigurationError, PeerError
from domicile.learning.settings import TrainingSettings
from domicile.privacy.claim import SECURE
from domicile.privacy.node_level.calibration import NodeCalibration, calibrate_nodes, spent_by_sums
from domicile.privacy.node_level.claim import claim_under, node_claim_of
from domicile.privacy.settings import NodePrivacySettings, PrivacySettings
from domicile.settings import parse_settings
from domicile.spec import JobSpec
from scripts.job_file import JobFile

ROUNDS = (4, 3, 1)
NODES: dict[str, Any] = {"unit": "node", "epsilon": 8.0, "delta": 1e-5}
JOB: dict[str, Any] = {
    "name": "trial",
    "sensitivity": "special",
    "shards": ["EU"],
    "task": {"use": "tabular"},
    "training": {"steps": 1},
    "rounds": {"global": 4},
    "aggregation": "secure",
    "max_update_norm": 0.5,
    "privacy": NODES,
}


def calibrated(min_survivors: int = 5, **settings: Any) -> NodeCalibration:
    return calibrate_nodes(
        NodePrivacySettings(**NODES | settings),
        rounds=ROUNDS,
        min_survivors=min_survivors,
        max_update_norm=0.5,
        num_parameters=100,
    )


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no such unit": (
        {"privacy": NODES | {"unit": "hospital"}},
        'privacy: its unit is neither "row" nor "node"; write one of both',
    ),
    "updates that are seen": (
        {"aggregation": "plain"},
        'privacy.unit: "node" covers the sum of all updates, and aggregation = "plain" shows each of them; write',
    ),
    "updates that are compared": (
        {"aggregation": "robust", "robust": {"rule": "median", "num_hostile": 1}},
        'privacy.unit: "node" covers the sum of all updates, and aggregation = "robust" shows each of them; write',
    ),
    "weights by rows": (
        {"merging": {"regional": {"weighting": "samples"}}},
        "merging.regional.weighting: weights by samples tell of a node's rows what no noise covers; with",
    ),
    "regions weighed by rows": (
        {"merging": {"global": {"weighting": "samples"}}},
        "merging.global.weighting: weights by samples tell of a node's rows what no noise covers; with",
    ),
    "no norm": ({"max_update_norm": None}, "max_update_norm: missing;"),
    "a norm of 0": ({"max_update_norm": 0.0}, "max_update_norm: input should be greater than 0; correct this value"),
    "epsilon of 0": ({"privacy": NODES | {"epsilon": 0.0}}, "privacy.epsilon: 0 is not above 0; write a positive"),
    "a negative epsilon": ({"privacy": NODES | {"epsilon": -2.0}}, "privacy.epsilon: -2 is not above 0; write a"),
    "a delta for rows": (
        {"privacy": NODES | {"delta": 0.004}},
        "privacy.delta: 0.004 is not below 1 in 256 nodes, so that a whole node might be told; lower it: 1e-5",
    ),
    "a key for rows": (
        {"privacy": NODES | {"max_grad_norm": 1.0}},
        "privacy.max_grad_norm: unknown key; known keys here: clipping_quantile, clipping_rate, colluding_nodes, delta",
    ),
    "a key for nodes": (
        {"privacy": {"epsilon": 8.0, "delta": 1e-5, "max_grad_norm": 1.0, "colluding_nodes": 2}},
        "privacy.colluding_nodes: unknown key; known keys here: delta, epsilon, held_out_figures, max_grad_norm",
    ),
    "a misspelt key": ({"privacy": NODES | {"clipping_rat": 0.1}}, "did you mean 'clipping_rate'?"),
    "a quantile of all": ({"privacy": NODES | {"clipping_quantile": 1.0}}, "privacy.clipping_quantile: input should"),
}


@pytest.mark.parametrize(("changes", "told"), BAD.values(), ids=list(BAD))
def test_a_job_that_promises_what_it_cannot_keep_is_refused_in_one_line(changes: dict[str, Any], told: str) -> None:
    table = {key: value for key, value in (JOB | changes).items() if value is not None}
    with pytest.raises(ConfigurationError) as caught:
        parse_settings(table, JobFile, source="job.toml")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_job_whose_file_is_silent_on_weights_weighs_all_nodes_alike() -> None:
    job = parse_settings(JOB, JobFile, source="job.toml")
    assert {job.regional_merging.weighting, job.global_merging.weighting} == {"uniform"}


def spec(**changes: Any) -> JobSpec:
    job = parse_settings(JOB, JobFile, source="job.toml")
    return JobSpec.model_validate(
        {
            "name": "trial",
            "seed": 1,
            "task": {"use": "tabular", "digest": "ab" * 32},
            "initial_model": {"payload": "ab" * 32, "model": "cd" * 32},
            "training": job.training,
            "regional_merging": job.regional_merging,
            "global_merging": job.global_merging,
            "aggregation": "secure",
            "max_update_norm": 0.5,
            "privacy": NodePrivacySettings(**NODES),
        }
        | changes
    )


def test_a_specification_says_its_unit_and_reserves_what_it_promises() -> None:
    read = JobSpec.from_bytes(spec().to_bytes())
    assert isinstance(read.privacy, NodePrivacySettings)
    assert (read.reserved.epsilon, read.reserved.delta) == (8.0, 1e-5)


def test_a_specification_that_somebody_published_is_held_to_the_same() -> None:
    raw = spec().to_bytes().replace(b'"aggregation":"secure"', b'"aggregation":"plain"')
    with pytest.raises(PeerError, match=r'privacy\.unit: "node" covers the sum .* ask the job\'s owner'):
        JobSpec.from_bytes(raw)


def test_the_noise_keeps_epsilon_over_every_round_that_a_retry_can_open() -> None:
    found = calibrated()
    assert found.horizon.num_rounds == 24
    assert 7.99 < found.epsilon <= 8.0
    assert found.spent(0) == 0.0
    assert found.spent(1) < found.spent(12) < found.epsilon


def test_what_a_journal_keeps_of_sums_tells_what_they_cost() -> None:
    found = calibrated()
    assert spent_by_sums([found.mechanism.noise_multiplier] * 7, 1e-5) == pytest.approx(found.spent(7), rel=1e-12)
    assert spent_by_sums([], 1e-5) == 0.0


@pytest.mark.parametrize(("min_survivors", "colluding", "num_shares"), [(5, 1, 4), (5, 0, 5), (5, 3, 2), (3, 2, 1)])
def test_the_noise_of_those_who_may_collude_does_not_count(min_survivors: int, colluding: int, num_shares: int) -> None:
    found = calibrated(min_survivors, colluding_nodes=colluding)
    assert found.mechanism.num_shares == num_shares
    alone = calibrated(2, colluding_nodes=1)
    expected = alone.mechanism.relative_deviation(1) / num_shares**0.5
    assert found.mechanism.relative_deviation(1) == pytest.approx(expected, rel=1e-5)


def test_noise_of_nobody_is_refused() -> None:
    with pytest.raises(
        ConfigurationError, match="colluding_nodes: 3 of the 3 nodes of the smallest sum leave no noise"
    ):
        calibrated(3, colluding_nodes=3)


def test_every_point_that_nist_sp_800_226_asks_for_is_stated() -> None:
    claim = node_claim_of(
        NodePrivacySettings(**NODES),
        rounds=ROUNDS,
        min_survivors=5,
        max_update_norm=0.5,
        epsilon=8.0,
        randomness=SECURE,
    )
    told = dict(claim.lines())
    points = ("ε, δ", "unit of privacy", "neighbouring relation", "trust model", "accountant", "horizon", "sampling")
    assert all(told[point] for point in (*points, "mechanism", "randomness", "implementation", "not covered"))
    assert told["unit of privacy"].startswith("one node's dataset as a whole")
    assert told["horizon"] == "24 regional rounds at most (4 global x 3 regional x 2 tries), of one sum each"
    assert "no sum of fewer than 5 nodes is unmasked" in told["trust model"]
    assert "as long as 4 nodes of each sum add their share" in told["trust model"]
    assert claim.noise_multiplier == pytest.approx(calibrated().mechanism.noise_multiplier, rel=1e-6)


def test_the_claim_is_of_the_unit_that_the_job_names() -> None:
    row = PrivacySettings(epsilon=8.0, delta=1e-5, max_grad_norm=1.0)
    for settings, unit in ((row, "one row"), (NodePrivacySettings(**NODES), "one node's")):
        told = claim_under(
            settings,
            TrainingSettings(steps=2),
            rounds=ROUNDS,
            min_survivors=5,
            max_update_norm=0.5,
            epsilon=8.0,
            randomness=SECURE,
        )
        assert told.unit.startswith(unit)
