"""A whole job with privacy of nodes: each process adds its share of the noise, and nothing but a noised sum is told."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from domicile.learning.model import load_flat
from domicile.learning.training import train
from domicile.privacy.node_level.calibration import NodeCalibration, calibration_of
from domicile.privacy.node_level.update import noised_update
from domicile.privacy.randomness import SeededRandomness
from domicile.protocol.budget import Budget
from domicile.protocol.round import JobPhase
from node.training import training_seed
from scripts.sandbox.finish import build_report
from scripts.status import snapshot_lines
from tests.end_to_end.conftest import SmallNetwork
from tests.end_to_end.test_private_network import updates_of

BOUND = 0.5
EPSILON, DELTA = 50.0, 1e-5
QUANTILE, RATE = 0.7, 0.2
PRIVACY = f"""
[privacy]
unit = "node"
epsilon = {EPSILON}
delta = {DELTA}
clipping_quantile = {QUANTILE}
"""


@dataclass(kw_only=True)
class NodePrivateNetwork(SmallNetwork):
    """Its job promises privacy of nodes."""

    aggregation: str = "secure"
    bounds: str = f"max_update_norm = {BOUND}"

    def write(self, folder: Path) -> Path:
        super().write(folder)
        job = folder / "job.toml"
        job.write_text(job.read_text(encoding="utf-8") + PRIVACY, encoding="utf-8")
        return folder


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_job_promises_privacy_of_its_nodes_and_tells_nothing_but_noised_sums(arena) -> None:
    field = arena(NodePrivateNetwork(global_rounds=2, window_s=30))
    outcome = field.run(lambda _: None)
    history, models = outcome.observer.history, outcome.models
    assert history.job_phases[-1].phase is JobPhase.COMPLETE
    noise = calibration_of(models.spec, history.created.parameters, models.layout.num_parameters)
    assert noise is not None
    assert noise.mechanism.num_shares == 2
    assert noise.horizon.num_rounds == 4
    assert_norms_follow_and_no_figure_is_told(outcome)
    assert_spent(field, outcome, noise)
    assert_claimed(outcome, noise)
    assert_models_are_those_of_the_noised_sums(outcome, noise)


def assert_norms_follow_and_no_figure_is_told(outcome) -> None:
    """Each model says to what the updates that start from it are clipped, as far from the last as noise may lead it."""
    history, models = outcome.observer.history, outcome.models
    values_P = torch.empty(models.layout.num_parameters)
    norm = BOUND
    for global_round in (0, 1):
        assert len(history.survivors[0, global_round, 0].nodes) == 4
        metadata = models.global_model(global_round, values_P).metadata
        assert (metadata.num_examples, metadata.test) == (4, None)
        assert metadata.clipping_norm not in {None, norm}
        step = math.log(metadata.clipping_norm / norm)
        assert RATE * (QUANTILE - 1) - 1e-9 <= step <= RATE * QUANTILE + 1e-9
        norm = metadata.clipping_norm
        assert torch.isfinite(values_P).all()
    lines = snapshot_lines(outcome.observer.look())
    assert not [line for line in lines if "validation loss" in line], "withheld losses stand as 0 on chain"


def assert_spent(field, outcome, noise: NodeCalibration) -> None:
    """The journals know by which noise each update went into a sum; the ledger is told what the sums cost."""
    for name in field.plan.data:
        told = [(one.sample_rate, one.noise_multiplier) for one in updates_of(field, name, outcome.job)]
        assert told == [(None, noise.mechanism.noise_multiplier)] * 2
    spent = Budget.covering(noise.spent(2), DELTA)
    asked = Budget.covering(EPSILON, DELTA)
    datasets = outcome.observer.datasets()
    assert [one.node for one in datasets] == ["a", "b", "c", "d"]
    for one in datasets:
        assert one.spent is not None
        assert one.spent.epsilon == pytest.approx(spent.epsilon, rel=1e-5)
        assert one.remaining == asked - one.spent
    assert outcome.lineage.problems == ()
    assert outcome.lineage.verified


def assert_claimed(outcome, noise: NodeCalibration) -> None:
    report = build_report(outcome)
    assert report.privacy is not None
    assert report.privacy.claim.unit.startswith("one node's dataset as a whole")
    assert report.privacy.claim.epsilon == noise.epsilon
    assert "no sum of fewer than 3 nodes is unmasked" in report.privacy.claim.trust
    assert {(one.num_steps, one.max_steps, one.epsilon_spent) for one in report.privacy.nodes} == {
        (2, 4, noise.spent(2))
    }
    assert f"  privacy, ε, δ: {EPSILON:g}, {DELTA:g}" in snapshot_lines(outcome.observer.look())


def assert_models_are_those_of_the_noised_sums(outcome, noise: NodeCalibration) -> None:
    """In one process, without masks, chain or committee: a sandbox's noise is reproducible."""
    plan, models = outcome.plan, outcome.models
    module = plan.task.build_model()
    num_parameters = models.layout.num_parameters
    model_P, expected_P, norm = torch.empty(num_parameters), torch.empty(num_parameters), BOUND
    models.global_model(-1, model_P)
    for global_round in (0, 1):
        noised = []
        for name, data in plan.data.items():
            load_flat(module, model_P)
            seed = training_seed(models.spec, outcome.ground.addresses[name], global_round, 0)
            delta_P = train(plan.task, module, data.train, plan.job.training, seed=seed).delta_P
            noised.append(noised_update(delta_P / norm, noise.mechanism, SeededRandomness(seed)))
        total_P = torch.stack([one.values_P for one in noised]).sum(0)
        model_P += norm * total_P.double() / (noise.mechanism.scale * len(noised))
        norm = noise.next_norm(norm, sum(one.bit for one in noised), len(noised))
        assert models.global_model(global_round, expected_P).metadata.clipping_norm == norm
        assert torch.allclose(model_P, expected_P, rtol=1e-5, atol=1e-6)
