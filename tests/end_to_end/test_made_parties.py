"""A job of parties that were made by `init`, their empty fields filled in by hand and everything else left as it is."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from domicile.chain.account import address_in
from domicile.chain.devnet import Devnet
from domicile.chain.sender import Sender
from domicile.types import Address
from scripts.access_file import write_access_file
from tests.end_to_end.conftest import write_table
from tests.verbs.job_order import job_order
from tests.verbs.network_ground import GOVERNOR, PASSWORD, Network, Told, domicile
from tests.verbs.party_ground import settle_with_attesters

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 180
ATTESTERS = ("berlin", "bonn")


class Town:
    """Three clinics and one committee member, who know nothing but their own folders."""

    def __init__(self, network: Network, folder: Path) -> None:
        self._network = network
        self._folder = folder
        self._daemons: list[subprocess.Popen[bytes]] = []
        for place in ("region", "border"):
            (folder / place).mkdir(parents=True)
        (folder / "secret").write_text(PASSWORD, encoding="utf-8")

    def make(self, role: str, name: str) -> Path:
        """As its operator does it: `init`, then an editor."""
        folder = self._folder / name
        told = domicile(
            *(role, "init", "--folder", folder, "--name", name, "--password-file", self._folder / "secret"),
            *("--region", f"dir:{self._folder}/region", "--json"),
        )
        config = folder / f"{role}.toml"
        written = {
            "chain.rpc_url": ('rpc_url = ""', f'rpc_url = "{self._network.rpc_url}"'),
            "stores.border": ('border = ""', 'border = "dir:../border"'),
            "data.train": ('train = ""', 'train = "rows.csv"'),
        }
        assert told.data["blanks"] == list(written)[: 3 if role == "node" else 2]
        text = config.read_text(encoding="utf-8")
        for key in told.data["blanks"]:
            text = text.replace(*written[key])
        config.write_text(text, encoding="utf-8")
        self._network.deployment.save(folder / "deployment.json")
        if role == "node":
            write_table(folder / "rows.csv", rows=40, seed=len(name))
        governor = Sender(self._network.chain, GOVERNOR)
        governor.wait(governor.transfer(Address(told.data["address"]), 10**18))
        return config

    def admit(self, config: Path) -> None:
        """Registered, attested by two attesters over files, and cleared."""
        role, folder = config.stem, config.parent
        _went_well(domicile(role, "register", config, "--json"))
        request = folder / "request.json"
        _went_well(domicile("attest", "request", config, "--jurisdiction", "DE", "--out", request, "--json"))
        signatures = [folder / f"{name}.signature.json" for name in ATTESTERS]
        for name, path in zip(ATTESTERS, signatures, strict=True):
            _went_well(self._network.does("attest", "sign", request, "--out", path, "--yes", who=name))
        _went_well(domicile("attest", "submit", request, *signatures, "--config", config, "--json"))
        policy = self._network.document("policy.md", "a policy")
        address = address_in(folder / "account.json")
        _went_well(self._network.does("clear", address, "--class", "special", "--days", 30, "--policy", policy))

    def order(self, member: Path) -> Path:
        """The governor is the job's owner too; its access file."""
        access = self._network.folder / "governor" / "owner.toml"
        write_access_file(
            access,
            address=GOVERNOR.address,
            rpc_url=self._network.rpc_url,
            deployment=self._network.folder / "deployment.json",
            border=f"dir:{self._folder}/border",
            password_file=self._network.folder / "password",
            name="owner",
        )
        spec = self._folder / "job.toml"
        account = address_in(member.parent / "account.json")
        order = job_order(
            "trial",
            committees={"DE": account},
            global_member=account,
            steps=2,
            global_rounds=1,
            collect_window_s=90,
        )
        spec.write_text(order, encoding="utf-8")
        _went_well(domicile("job", "create", spec, "--access", access, "--json"))
        return access

    def run(self, config: Path) -> None:
        with (config.parent / "log.jsonl").open("wb") as log:
            command = [sys.executable, "-m", "scripts.main", config.stem, "run", str(config)]
            self._daemons.append(subprocess.Popen(command, cwd=ROOT, stderr=log, start_new_session=True))

    def stop(self) -> None:
        for one in self._daemons:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(one.pid, signal.SIGTERM)
        for one in self._daemons:
            assert one.wait(60) == 0


def _went_well(told: Told) -> dict[str, Any]:
    assert told.code == 0, told.err
    assert told.data["changed"] is True
    return told.data


@pytest.fixture
def town(tmp_path: Path) -> Iterator[Town]:
    with Devnet(block_time_s=0.2) as devnet:
        made = Town(settle_with_attesters(tmp_path, devnet), tmp_path / "town")
        try:
            yield made
        finally:
            made.stop()


def status(config: Path) -> dict[str, Any]:
    told = domicile(config.stem, "status", config, "--json")
    assert told.code == 0, told.err
    return told.data


def wait_for(config: Path, phase: str) -> dict[str, Any]:
    """The party's only job, when it is in this phase."""
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        (job,) = status(config)["jobs"] or [{"phase": "none"}]
        if job["phase"] == phase:
            return dict(job)
        time.sleep(0.5)
    raise AssertionError(status(config))


def test_parties_made_by_init_with_only_their_empty_fields_filled_in_do_a_whole_job(town: Town) -> None:
    member = town.make("aggregator", "member")
    clinics = [town.make("node", name) for name in ("one", "three", "fifteen")]
    for config in (member, *clinics):
        town.admit(config)
        assert status(config)["gate"] == "none"
        town.run(config)
    access = town.order(member)
    _went_well(domicile("job", "start", 1, "--wait-members", 3, "--access", access, "--json"))

    # While its daemon runs and holds the key.
    refused = domicile("node", "retire", clinics[0], "--yes")
    ended = wait_for(clinics[0], "complete")
    assert (refused.code, "has a part in job 1" in refused.err) == (2, True), refused
    assert ended["notes"][0] == "last trained: round 1.1"
    assert ended["shards"]["DE"]["gate"] == "none"
    (job,) = status(member)["jobs"]
    assert job["notes"] == ["last sealed: global model of round 1"]
    assert job["global_committee"] == {"doing": "nothing to do", "gate": "none"}
    assert _went_well(domicile("node", "retire", clinics[0], "--yes", "--json"))["running_jobs"] == []
    assert status(clinics[0])["key_card"] is None
