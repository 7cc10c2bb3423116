"""Configurations as `init` writes them, with their empty fields filled in by hand and nothing else, carry a job."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from domicile.chain.account import Signer
from domicile.chain.contracts import Jobs
from domicile.chain.devnet import Devnet
from domicile.chain.sender import Sender
from domicile.crypto.keys import HpkeKey
from domicile.protocol.round import JobPhase
from domicile.types import JobId
from scripts.sandbox.processes import Processes
from tests.verbs.network_ground import GOVERNOR, PASSWORD, Network, domicile, write_account
from tests.verbs.party_ground import attest, make_party, settle_with_attesters, written_request

pytestmark = [pytest.mark.slow, pytest.mark.timeout(480)]

PATIENCE_S = 300
"""For each wait: the machine may be busy."""

OWNER, NORTH, SOUTH, WORLD = (Signer.from_key(bytes([number]) * 32) for number in range(51, 55))

SPEC = """
name = "by hand"
seed = 7
sensitivity = "public"
shards = ["DE"]
[task]
use = "tabular"
[task.options]
target = "y"
features = ["x1", "x2"]
[training]
steps = 2
learning_rate = 0.5
[rounds]
global = 1
join_window_s = 3600
collect_window_s = 240
[committees.DE]
members = ["{member}"]
[global_committee]
members = ["{world}"]
"""


def made_by_hand(network: Network, role: str, name: str) -> Path:
    """What an operator does: `init`, the deployment file that was sent, and the fields that `init` names."""
    folder = network.folder / name
    told = domicile(
        *(role, "init", "--folder", folder, "--name", name, "--region", f"dir:{network.folder}/region"),
        *("--password-file", network.folder / "password", "--json"),
    )
    assert told.code == 0, told.err
    shutil.copy(network.folder / "deployment.json", folder)
    path = Path(told.data["file"])
    text = path.read_text(encoding="utf-8")
    values = {
        "chain.rpc_url": network.rpc_url,
        "stores.border": f"dir:{network.folder}/border",
        "data.train": "../clinic/rows.csv",
    }
    for blank in told.data["blanks"]:
        key = blank.split(".")[1]
        assert text.count(f'{key} = ""\n') == 1
        text = text.replace(f'{key} = ""\n', f"{key} = {json.dumps(values[blank])}\n")
    assert '= ""\n' not in text
    path.write_text(text, encoding="utf-8")
    return path


@contextmanager
def daemon(config: Path) -> Iterator[subprocess.Popen[bytes]]:
    """`domicile node run` or `aggregator run`, as an operator starts it; ends by SIGTERM."""
    with (config.parent / "log.jsonl").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "scripts.main", config.stem, "run", str(config)],
            stdout=log,
            stderr=log,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        try:
            yield process
            process.terminate()
            assert process.wait(60) == 0
        finally:
            process.kill()
            process.wait()


def address_of(config: Path) -> str:
    told = domicile(config.stem, "status", config, "--json")
    assert told.code == 0, told.err
    return str(told.data["address"])


def owner_orders(network: Network, member: str) -> Path:
    """A research team's folder and its job."""
    folder = network.folder / "owner"
    write_account(folder / "account.json", OWNER)
    HpkeKey.generate().save(folder / "hpke.json", PASSWORD, scrypt_n=1024)
    made = domicile(
        *("access", "init", "--folder", folder, "--rpc", network.rpc_url, "--border", f"dir:{network.folder}/border"),
        *("--deployment", network.folder / "deployment.json", "--password-file", network.folder / "password"),
    )
    assert made.code == 0, made.err
    spec = network.document("job.toml", SPEC.format(member=member, world=WORLD.address))
    told = domicile("job", "create", spec, "--access", folder / "access.toml", "--json")
    assert told.code == 0, told.err
    return folder / "access.toml"


def wait_for_end(network: Network, *running: subprocess.Popen[bytes]) -> JobPhase:
    jobs, deadline = Jobs(network.chain, network.deployment), time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        phase = jobs.snapshot(JobId(1))[0].phase
        if phase not in (JobPhase.JOINING, JobPhase.TRAINING, JobPhase.MERGING):
            return phase
        assert [one.poll() for one in running] == [None] * len(running)
        time.sleep(0.5)
    raise AssertionError("the job does not end")


def test_a_node_with_three_fields_filled_in_and_an_aggregator_with_two_make_a_model(tmp_path: Path) -> None:
    with Devnet(block_time_s=0.2) as devnet, ExitStack() as running:
        network = settle_with_attesters(tmp_path, devnet)
        node, member = made_by_hand(network, "node", "hospital"), made_by_hand(network, "aggregator", "committee")
        others = [make_party(network, "node", name, one) for name, one in (("north", NORTH), ("south", SOUTH))]
        world = make_party(network, "aggregator", "world", WORLD)
        governor = Sender(network.chain, GOVERNOR)
        for account in (address_of(node), address_of(member), OWNER.address):
            governor.wait(governor.transfer(account, 10**18))
        for config in (node, member, *others, world):
            told = domicile(config.stem, "register", config, "--json")
            assert (told.code, told.data["changed"]) == (0, True)
            attest(network, written_request(network, node=told.data["address"]))
        access = owner_orders(network, address_of(member))

        processes = running.enter_context(Processes())
        for config in (*others, world):
            processes.start(config.parent.name, config.stem, config, config.parent / "log.jsonl")
        by_hand = [running.enter_context(daemon(config)) for config in (node, member)]
        told = domicile("job", "start", 1, "--wait-members", 3, "--access", access, "--json")
        assert told.code == 0, told.err
        beside = domicile("node", "status", node, "--json")
        assert (beside.code, beside.data["jobs"][0]["shards"]["DE"]["part"]) == (0, "member")
        assert wait_for_end(network, *by_hand) is JobPhase.COMPLETE
        told = domicile("node", "status", node)
        assert "job 1: complete, global round 1" in told.out
        assert "last trained: round 1.1" in told.out
        told = domicile("aggregator", "status", member)
        assert "last sealed: " in told.out
