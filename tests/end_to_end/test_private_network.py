"""Whole jobs under differential privacy: what is promised, what is spent, and that no crash spends it twice."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch

from domicile.chain.contracts import Nodes
from domicile.crypto.context import PayloadKind
from domicile.crypto.sealing import OpeningReader
from domicile.learning.update import UpdateMetadata, read_update
from domicile.privacy.accountant import Mechanism, epsilon_of
from domicile.privacy.claim import OPEN_FIGURES
from domicile.protocol.budget import Budget
from domicile.protocol.eligibility import Safeguard
from domicile.protocol.round import JobPhase
from domicile.storage.store import open_store
from node.journal import NodeJournal, SealedUpdate
from scripts.report.figures import mean
from scripts.sandbox.curve import curve_of
from scripts.sandbox.finish import build_report
from scripts.sandbox.plan import load_plan
from scripts.sandbox.privacy import RunningCosts
from scripts.status import snapshot_lines
from tests.end_to_end.conftest import SmallNetwork, write_table
from tests.end_to_end.instants import DyingProcesses
from tests.end_to_end.test_command import run
from tests.end_to_end.test_instants import payloads

STEPS = 3
NOISE_MULTIPLIER = 4.0
EPSILON, DELTA = 4.5, 1e-5
OPTIONS = 'target = "y"\nstandardize = false\nmissing = "refuse"'
PRIVACY = f"""
[privacy]
epsilon = {{epsilon}}
noise_multiplier = {NOISE_MULTIPLIER}
delta = {{delta}}
max_grad_norm = 1.0
held_out_figures = "{{figures}}"
[data]
stratified = false
"""

KILLS = 20
DOOM = {
    "a": ["before training", "update sealed, not journaled", "update stored, not committed"],
    "b": ["during training", "update journaled, not stored", "commit sent"],
    "c": ["after training", "update stored, not pinned", "commit seen"],
}


@dataclass(kw_only=True)
class PrivateNetwork(SmallNetwork):
    """Its job asks for privacy; what `poor` nodes are granted is less."""

    epsilon: float = EPSILON
    delta: float = DELTA
    figures: str = "withheld"
    poor: tuple[str, ...] = ()

    def write(self, folder: Path) -> Path:
        super().write(folder)
        job = folder / "job.toml"
        plain = job.read_text(encoding="utf-8")
        asked = PRIVACY.format(epsilon=self.epsilon, delta=self.delta, figures=self.figures)
        job.write_text(plain.replace('target = "y"', OPTIONS) + asked, encoding="utf-8")
        network = folder / "network.toml"
        text = network.read_text(encoding="utf-8")
        for name in self.poor:
            text = text.replace(f'train = "{name}.csv"', f'train = "{name}.csv"\nepsilon = 1')
        network.write_text(text, encoding="utf-8")
        return folder


def with_secret_noise(field, *names: str) -> None:
    """What a sandbox makes reproducible is secret everywhere else."""
    for name in names:
        config = field.ground.party_folder(name) / "node.toml"
        text = config.read_text(encoding="utf-8")
        assert 'noise = "reproducible"' in text
        config.write_text(text.replace('noise = "reproducible"', 'noise = "secure"'), encoding="utf-8")


def without_safeguards(field, name: str) -> None:
    """Its operator lets it offer nothing: its daemon says so on chain when it is started again."""
    field.processes.kill(name)
    config = field.ground.party_folder(name) / "node.toml"
    config.write_text("safeguards = []\n" + config.read_text(encoding="utf-8"), encoding="utf-8")
    nodes, account = Nodes(field.ground.chain, field.ground.deployment), field.ground.addresses[name]
    assert nodes.standing_of(account).safeguards == Safeguard.DIFFERENTIAL_PRIVACY | Safeguard.SECURE_AGGREGATION
    field.start(name)
    deadline = time.monotonic() + 30
    while nodes.standing_of(account).safeguards:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def updates_of(field, name: str, job) -> list[SealedUpdate]:
    journal = NodeJournal(field.ground.party_folder(name) / "journal.sqlite")
    updates = journal.updates(job)
    journal.close()
    return updates


def logged(field, name: str, event: str) -> list[dict[str, object]]:
    lines = (field.ground.party_folder(name) / "log.jsonl").read_text().splitlines()
    told = [json.loads(line) for line in lines if line.startswith("{")]
    return [line for line in told if line["event"] == event]


@pytest.mark.slow
@pytest.mark.timeout(170)
def test_who_would_not_protect_its_rows_or_is_granted_too_little_stays_out_and_the_job_goes_on(arena) -> None:
    network = PrivateNetwork(nodes=("a", "b", "c", "d", "e", "f"), poor=("e",), global_rounds=1, window_s=60)
    field = arena(replace(network, delta=0.03))
    without_safeguards(field, "f")
    # 52 of 80 rows train, of which 0.03 would be more than one.
    write_table(field.plan.folder / "d.csv", rows=80, seed=9)
    outcome = field.run(lambda _: None)
    assert outcome.observer.history.job_phases[-1].phase is JobPhase.COMPLETE
    assert list(outcome.absent) == ["d", "e", "f"]
    assert outcome.absent["f"] == "refused at joining: MISSING_SAFEGUARD"
    assert outcome.absent["e"] == "refused at joining: BudgetExceeded: epsilon 1, delta 0.03 are left of dataset 5"
    assert "privacy.delta: 0.03 is not below 1 in 51 training rows" in outcome.absent["d"]
    assert not updates_of(field, "d", outcome.job)
    assert [one.dataset for one in outcome.observer.datasets()] == [1, 2, 3]


@pytest.mark.slow
@pytest.mark.timeout(170)
def test_a_private_job_promises_and_spends_what_its_steps_cost_and_tells_no_figure_of_a_row(arena) -> None:
    field = arena(PrivateNetwork(nodes=("a", "b", "c"), global_rounds=2, window_s=40))
    outcome = field.run(lambda _: None)
    assert outcome.observer.history.job_phases[-1].phase is JobPhase.COMPLETE
    report = build_report(outcome)
    num_rows = 26  # Of 40, a fifth is held out, and a fifth of the rest.
    mechanism = Mechanism(sample_rate=1.0, noise_multiplier=NOISE_MULTIPLIER)
    promised, spent = (epsilon_of(mechanism, rounds * STEPS, DELTA) for rounds in (4, 2))
    assert report.privacy is not None
    assert report.privacy.claim.epsilon == promised
    assert "4 regional rounds at most (2 global x 1 regional x 2 tries) of 3 steps: 12" in report.privacy.claim.horizon
    assert {(one.num_rows, one.num_steps, one.epsilon_spent) for one in report.privacy.nodes} == {
        (num_rows, 2 * STEPS, spent)
    }
    told = logged(field, "a", "privacy")
    assert [(line["epsilon"], line["max_steps"], line["reproducible"]) for line in told] == [(promised, 12, True)]
    assert_spent_on_chain(outcome, spent)
    assert_no_figure_left(field, outcome)
    assert_curve_goes_through_the_job(outcome)


def assert_curve_goes_through_the_job(outcome) -> None:
    """At the job's own ε and seed the curve is the very job: figures of the chain's model, not of one like it."""
    plan = outcome.plan
    num_rows = {name: len(one.train[0]) for name, one in plan.data.items()}
    report = build_report(replace(outcome, plan=replace(plan, curve=curve_of(plan.job, num_rows, 2))))
    assert report.privacy is not None
    assert report.privacy.curve is not None
    points = {point.epsilon: point for point in report.privacy.curve.points}
    assert list(points) == [None, 16.0, 8.0, EPSILON, 4.0, 2.0, 1.0]
    assert (report.privacy.curve.figure, report.privacy.curve.seeds) == ("accuracy", [plan.job.seed, plan.job.seed + 1])
    assert points[EPSILON].noise_multiplier == NOISE_MULTIPLIER
    assert points[EPSILON].global_[0] == mean(report, "global", "accuracy")
    assert points[EPSILON].local[0] == mean(report, "local", "accuracy")
    assert points[None].noise_multiplier == 0 < points[16.0].noise_multiplier < points[1.0].noise_multiplier


def test_what_finished_rounds_cost_is_told_once_it_is_known_of_all_and_a_look_waits_for_one_figure_at_most(
    tmp_path,
) -> None:
    plan = load_plan(PrivateNetwork(nodes=("a", "b", "c"), global_rounds=2).write(tmp_path / "network"))
    costs = RunningCosts(plan)
    rounds = [{"a": 0, "b": 0}, {"a": 0, "b": 0}, {"a": 2, "b": 1}, {"a": 2, "b": 1}]
    told = [{one.node: one.epsilon for one in costs.after(trained)} for trained in rounds]
    mechanism = Mechanism(sample_rate=1.0, noise_multiplier=NOISE_MULTIPLIER)
    later = {name: epsilon_of(mechanism, num * STEPS, DELTA) for name, num in rounds[-1].items()}
    assert told == [{}, dict.fromkeys("ab", 0.0), dict.fromkeys("ab", 0.0), later]
    assert 0 < later["b"] < later["a"] < EPSILON


@pytest.mark.slow
@pytest.mark.timeout(170)
def test_the_same_job_runs_without_its_privacy_and_every_output_says_so(tmp_path) -> None:
    folder = PrivateNetwork(nodes=("a", "b", "c"), global_rounds=1, window_s=40).write(tmp_path / "network")
    done = run("sandbox", str(folder), "--no-privacy", "--json", str(tmp_path / "report.json"))
    assert done.returncode == 0, done.stderr
    assert "left out the privacy that the job asks for (--no-privacy)" in " ".join(done.stdout.split())
    assert "(no privacy)" in done.stdout
    report = json.loads((tmp_path / "report.json").read_bytes())
    assert (report["privacy"], report["privacy_left_out"], report["job"]["name"]) == (None, True, "small (no privacy)")
    page = folder / "out-no-privacy" / "report.html"
    assert "left out the privacy that the job asks for" in page.read_text(encoding="utf-8")
    assert not (folder / "out").exists()


def assert_spent_on_chain(outcome, epsilon: float) -> None:
    """All say by themselves what their accountants say, and have the rest of ε back; δ is spent as a whole."""
    asked, spent = Budget.covering(EPSILON, DELTA), Budget.covering(epsilon, DELTA)
    report, lines = build_report(outcome), snapshot_lines(outcome.observer.look())
    assert report.privacy is not None
    assert [one.node for one in report.privacy.datasets] == ["a", "b", "c"]
    for one in report.privacy.datasets:
        assert (one.granted, one.reserved, one.spent, one.remaining) == (asked, asked, spent, asked - spent)
        told = f"granted {asked}; reserved {asked}, spent {spent}; {asked - spent} remain"
        assert f"dataset {one.dataset} of {one.node}: {told}" in lines
    assert f"  privacy, ε, δ: {EPSILON:g}, {DELTA:g}" in lines
    assert not [line for line in lines if "validation loss" in line], "withheld losses stand as 0 on chain"
    assert outcome.lineage.problems == ()
    assert outcome.lineage.verified


def opened_updates(field, outcome) -> Iterator[UpdateMetadata]:
    """What a committee member reads beside the delta of each committed update."""
    history = outcome.observer.history
    region, key = open_store(field.ground.store("EU")), field.liar("agg-1").hpke
    for (shard, global_round, regional_round), events in history.commits.items():
        for event in events:
            context = outcome.models.context(PayloadKind.UPDATE, shard, global_round, regional_round, event.node)
            delta_P = torch.empty(outcome.models.layout.num_parameters)
            with region.open(event.digest, max_bytes=1 << 20) as source:
                reader = OpeningReader(source, key, context, max_plaintext_bytes=1 << 20)
                yield read_update(reader, outcome.models.layout, delta_P)


def assert_no_figure_left(field, outcome) -> None:
    """Nothing in an update is computed of rows but the delta."""
    updates = list(opened_updates(field, outcome))
    assert updates
    for update in updates:
        assert (update.training_loss, update.validation.count, update.validation.loss_sum) == (None, 0, 0.0)
        assert update.test is None or update.test.count == 0


@pytest.mark.slow
@pytest.mark.timeout(170)
def test_open_figures_of_held_out_rows_reach_the_committee_and_the_claim_is_of_training_rows_alone(arena) -> None:
    field = arena(PrivateNetwork(nodes=("a", "b", "c"), global_rounds=2, window_s=40, figures="open"))
    outcome = field.run(lambda _: None)
    assert outcome.observer.history.job_phases[-1].phase is JobPhase.COMPLETE
    updates = list(opened_updates(field, outcome))
    # Of 40 rows 8 are held out and 6 validate.
    assert [(one.validation.count, one.validation.loss_sum > 0) for one in updates] == [(6, True)] * 6
    assert [one.test is not None and (one.test.count, one.test.loss_sum > 0) for one in updates] == [(8, True)] * 6
    assert {one.training_loss for one in updates} == {None}, "a mean over training rows would be released without noise"
    view = outcome.observer.look()
    assert [len(shard.losses) for shard in view.shards] == [2]
    assert view.claim is not None
    assert view.claim.unit.startswith("one row of a node's training part;")
    assert OPEN_FIGURES in view.claim.not_covered
    # The budget is that of the training steps, whatever is told of other rows.
    mechanism = Mechanism(sample_rate=1.0, noise_multiplier=NOISE_MULTIPLIER)
    spent = Budget.covering(epsilon_of(mechanism, 2 * STEPS, DELTA), DELTA)
    assert {one.spent for one in outcome.observer.datasets()} == {spent}


@pytest.mark.chaos
@pytest.mark.timeout(600)
def test_twenty_kills_of_nodes_spend_no_step_twice(arena) -> None:
    """With secret noise, two trainings of one round never make the same bytes: a second one would be seen."""
    processes = DyingProcesses()
    rounds = 8
    field = arena(PrivateNetwork(nodes=("a", "b", "c"), epsilon=10, global_rounds=rounds, window_s=120), processes)
    with_secret_noise(field, *DOOM)
    for name, instants in DOOM.items():
        processes.doom(name, instants)

    def revive(_: object) -> None:
        for name in processes.ended():
            # Only the dead write nothing into the list of what is ahead of them.
            if not processes.ahead(name) and len(processes.deaths) < KILLS:
                processes.deaths.append(name)
                processes.doom(name, DOOM[name])
        processes.revive()

    outcome = field.run(revive)
    history, job = outcome.observer.history, outcome.job
    assert history.job_phases[-1].phase is JobPhase.COMPLETE
    assert len(processes.deaths) >= KILLS
    released = {event.digest.hex() for events in history.commits.values() for event in events}
    region = {event.payload.hex() for event in history.regional_models.values()}
    assert payloads(field.ground.folder / "stores" / "EU") <= released | region
    nodes = {name: field.ground.addresses[name] for name in DOOM}
    for name, address in nodes.items():
        updates = updates_of(field, name, job)
        committed = [event.digest for events in history.commits.values() for event in events if event.node == address]
        assert sorted(update.digest for update in updates) == sorted(committed)
        assert len(updates) == rounds
        assert sum(update.num_steps for update in updates) == rounds * STEPS
        assert not any(line["reproducible"] for line in logged(field, name, "privacy")[1:])
    report = build_report(outcome)
    assert report.privacy is not None
    spent = epsilon_of(Mechanism(sample_rate=1.0, noise_multiplier=NOISE_MULTIPLIER), rounds * STEPS, DELTA)
    assert {(one.num_steps, one.epsilon_spent) for one in report.privacy.nodes} == {(rounds * STEPS, spent)}
    assert {one.spent for one in report.privacy.datasets} == {Budget.covering(spent, DELTA)}
    assert outcome.lineage.verified
