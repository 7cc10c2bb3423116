"""The doctor beside daemons that are at work."""

from __future__ import annotations

import json
import zipfile

import pytest
from click.testing import CliRunner

from domicile.protocol.round import JobPhase, ShardPhase
from scripts.command import cli

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]


def examined(field, name: str, role: str, *options: str):
    """Exit code and findings by check of one party."""
    file = field.ground.party_folder(name) / f"{role}.toml"
    done = CliRunner().invoke(cli, ["doctor", str(file), "--json", *options], catch_exceptions=False)
    findings: dict[str, list[str]] = {}
    for one in json.loads(done.output)["findings"]:
        findings.setdefault(one["check"], []).append(f"{one['state']}: {one['text']}")
    return done.exit_code, findings


def test_a_job_goes_on_while_its_parties_are_examined_and_found_well(arena, small_network, tmp_path):
    field = arena(small_network(global_rounds=2, window_s=30))
    seen = {}

    def examine(view) -> None:
        if not seen and view.phase is JobPhase.TRAINING and view.shards[0].phase is ShardPhase.COLLECTING:
            seen["a"] = examined(field, "a", "node", "--bundle", str(tmp_path / "a.zip"))
            seen["agg-1"] = examined(field, "agg-1", "aggregator")
            seen["global-1"] = examined(field, "global-1", "aggregator")

    outcome = field.run(examine)
    assert outcome.observer.history.job_phases[-1].phase is JobPhase.COMPLETE
    assert outcome.lineage.verified
    assert {name: code for name, (code, _) in seen.items()} == {"a": 0, "agg-1": 0, "global-1": 0}, seen
    for name, place in (("a", "shard 0"), ("agg-1", "shard 0"), ("global-1", "the global committee")):
        assert seen[name][1]["jobs"] == [f"ok: job 1, {place}: training, open to this account"]
    assert seen["a"][1]["data"] == ["ok: job 1: the data fits its task"]
    with zipfile.ZipFile(tmp_path / "a.zip") as bundle:
        log = [json.loads(line) for line in bundle.read("log.jsonl").splitlines()]
    assert {"started", "registered", "joined"} <= {one.get("event") for one in log}
    assert not [one for one in log if "left_out" in one]
