"""Anybody may create a job: whatever is in it, every daemon lives and all other jobs go on."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from click.testing import CliRunner

from aggregator.journal import AggregatorJournal
from domicile.learning.model import NO_METADATA, ModelLayout
from domicile.learning.settings import MergingSettings, TrainingSettings
from domicile.learning.task import task_digest
from domicile.protocol.eligibility import Safeguard, Sensitivity
from domicile.protocol.jurisdiction import Tier
from domicile.protocol.round import Committee, JobParameters, JobPhase, ShardParameters
from domicile.registration import ensure_registered
from domicile.spec import JobSpec, ModelReference, TaskReference
from domicile.types import Digest, JobId, JurisdictionCode
from node.journal import NodeJournal
from scripts.command import cli
from scripts.sandbox.run import open_owner

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

NODES, AGGREGATORS = ("a", "b", "c", "d"), ("agg-1", "global-1")


def parameters(spec: Digest) -> JobParameters:
    return JobParameters(
        spec=spec,
        join_window_s=600,
        collect_window_s=600,
        global_rounds=1,
        min_regional_rounds=1,
        max_regional_rounds=1,
        patience=1,
        min_delta_micros=0,
        max_retries=0,
        min_nodes=3,
        min_contributors=3,
        min_shards=1,
        sensitivity=Sensitivity.SPECIAL,
        max_tier=Tier.CONDITIONAL,
        safeguards=Safeguard.NONE,
        denied=(),
    )


def specification(party, layout: ModelLayout, **options) -> bytes:
    """A specification whose initial model is a header without values."""
    header = party.border.put_bytes(layout.header_with((), NO_METADATA))
    return JobSpec(
        name="hostile",
        seed=0,
        task=TaskReference(use="tabular", digest=task_digest("tabular"), options={"target": "y", **options}),
        initial_model=ModelReference(payload=header.hex(), model="0" * 64),
        training=TrainingSettings(steps=1),
        regional_merging=MergingSettings(),
        global_merging=MergingSettings(),
    ).to_bytes()


def create_hostile_jobs(ground) -> dict[JobId, str]:
    """One job a kind of harm, by what it is."""
    stranger = open_owner(ground)
    ensure_registered(stranger)
    small = ModelLayout(entries=(("0.weight", (1, 2)), ("0.bias", (1,))))
    features = ["x1", "x2"]
    documents = {
        "not JSON": b"garbage",
        "nested": b"[" * 100_000,
        "a huge model": specification(stranger, ModelLayout(entries=(("w", (1 << 40,)),)), features=features),
        "huge layers": specification(stranger, small, features=features, model="mlp", hidden=[1 << 16, 1 << 16]),
        "absurd layers": specification(stranger, small, features=features, model="mlp", hidden=[10**30]),
        "another model": specification(stranger, small, features=["x1"]),
    }
    digests = {kind: stranger.border.put_bytes(document) for kind, document in documents.items()}
    digests["not to be had"] = Digest(b"\x99" * 32)
    committee = Committee(members=(ground.addresses["agg-1"],), quorum=1)
    shards = [ShardParameters(jurisdiction=JurisdictionCode("EU"), committee=committee)]
    everyone = Committee(members=(ground.addresses["global-1"],), quorum=1)
    for digest in digests.values():
        stranger.sender.act(stranger.jobs.create_job(parameters(digest), shards, everyone))
    return {JobId(number): kind for number, kind in enumerate(digests, start=1)}


def logged(ground, name: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in (ground.party_folder(name) / "log.jsonl").read_text().splitlines()]


def listed(ground) -> list[dict[str, object]]:
    access = ground.folder / "access.toml"
    access.write_text(
        f'[chain]\nrpc_url = "{ground.rpc_url}"\ndeployment = "{ground.deployment_file}"\n'
        f'[stores]\nborder = "{ground.store("border")}"\n',
        encoding="utf-8",
    )
    done = CliRunner().invoke(cli, ["job", "list", "--json", "--access", str(access)], catch_exceptions=False)
    return json.loads(done.output)


def test_hostile_jobs_are_declined_once_and_a_proper_job_completes_beside_them(arena, small_network):
    field = arena(small_network(global_rounds=1, window_s=10))
    hostile = create_hostile_jobs(field.ground)
    lost = JobId(next(number for number, kind in hostile.items() if kind == "not to be had"))
    outcome = field.run(lambda _: None)

    assert outcome.observer.history.job_phases[-1].phase is JobPhase.COMPLETE
    assert outcome.lineage.verified, outcome.lineage.problems
    assert field.processes.ended() == {}
    for name in (*NODES, *AGGREGATORS):
        kind = NodeJournal if name in NODES else AggregatorJournal
        journal = kind(field.ground.party_folder(name) / "journal.sqlite")
        declined = {job: journal.declined(job) for job in hostile if journal.declined(job)}
        journal.close()
        # A committee runs no task: what only the task's options do wrong is the nodes' to decline.
        options = {"huge layers", "absurd layers", "another model"} if name in AGGREGATORS else set()
        assert {hostile[job] for job in declined} == set(hostile.values()) - {"not to be had"} - options
        lines = logged(field.ground, name)
        said = Counter(line["job"] for line in lines if line["event"] == "declined")
        assert said == dict.fromkeys(declined, 1)
        assert not [line for line in lines if line["event"] == "peer_error"]
        faults = [line for line in lines if line["event"] == "fault" and line.get("job") == lost]
        assert 0 < len(faults) < 15

    rows = {row["job"]: row for row in listed(field.ground)}
    assert len(rows) == len(hostile) + 1
    assert rows[outcome.job]["name"] == "small"
    assert rows[outcome.job]["problem"] is None
    told = {hostile[job]: rows[job]["problem"] for job in hostile if rows[job]["problem"]}
    assert told.keys() == {"not JSON", "nested", "not to be had"}
    assert "specification" in told["not JSON"]
