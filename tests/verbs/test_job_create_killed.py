"""`job create` killed where it hurts most, and repeated: one order, one job."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from domicile.chain.devnet import Devnet
from domicile.storage.store import open_store
from domicile.types import JobId, digest
from tests.faults.endpoint import FaultyEndpoint
from tests.verbs.job_ground import OWNER, Region, as_new, settle, write_access

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 90.0


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    with Devnet() as devnet:
        yield settle(tmp_path_factory.mktemp("region"), devnet)


@pytest.fixture
def region(settled: Region) -> Iterator[Region]:
    with as_new(settled):
        yield settled


def create(region: Region) -> subprocess.Popen[str]:
    """The command as a process of its own."""
    words = ["-m", "scripts.main", "job", "create", str(region.spec), "--access", str(region.access), "--json"]
    return subprocess.Popen([sys.executable, *words], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def num_sent(region: Region, block: str) -> int:
    return int(region.chain.request("eth_getTransactionCount", OWNER.address, block), 16)


def finish(process: subprocess.Popen[str]) -> dict[str, object]:
    out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    found: dict[str, object] = json.loads(out)
    return found


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.communicate()


def test_killed_after_its_documents_were_published(region: Region) -> None:
    """An endpoint that takes its time leaves a moment between the two, in which the command is killed."""
    assert region.orders().data["job"] == 1
    assert region.does("cancel", 1, "--yes").code == 0
    region.rewrite(region.spec, "steps = 2", "steps = 3")
    spec = digest(region.orders("--dry-run").data["specification"])
    border = open_store(f"dir:{region.folder}/border")
    with FaultyEndpoint(region.rpc_url) as endpoint:
        write_access(region, "owner", endpoint.url)
        endpoint.delay_s = 0.5
        process = create(region)
        wait_until(lambda: border.has(spec))
        kill(process)
    write_access(region, "owner")
    assert num_sent(region, "pending") == num_sent(region, "latest")
    assert region.jobs.num_jobs() == 1
    told = region.orders().data
    assert (told["changed"], told["job"]) == (True, 2)
    assert region.jobs.parameters_of(JobId(2)).spec == spec


def test_killed_while_its_job_waits_to_be_mined(region: Region) -> None:
    """The repetition begins while the chain has not said yet what became of the order."""
    assert region.orders().data["job"] == 1
    assert region.does("cancel", 1, "--yes").code == 0
    region.chain.request("evm_setAutomine", False)
    try:
        process = create(region)
        wait_until(lambda: num_sent(region, "pending") > num_sent(region, "latest"))
        kill(process)
        again = create(region)
        time.sleep(3)
    finally:
        region.chain.request("evm_setAutomine", True)
        region.chain.request("evm_mine")
    told = finish(again)
    assert (told["changed"], told["job"]) == (False, 2)
    assert region.jobs.num_jobs() == 2


@pytest.mark.parametrize("after_s", [1.5, 2.0, 2.5, 3.0])
def test_killed_at_any_moment(region: Region, after_s: float) -> None:
    process = create(region)
    time.sleep(after_s)
    kill(process)
    assert region.orders().data["job"] == 1
    assert region.orders().data["changed"] is False
    assert region.jobs.num_jobs() == 1
    assert not [name for name in os.listdir(region.folder / "owner") if name.startswith(".")]
