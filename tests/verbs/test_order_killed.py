"""An order whose command is killed while it is placed becomes one job when the command is repeated."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from domicile.exchange import fetch_spec
from domicile.storage.store import open_store
from domicile.types import JobId, digest
from tests.faults.endpoint import FaultyEndpoint
from tests.verbs.job_ground import OWNER, Region, write_access

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 90.0


@pytest.fixture
def endpoint(region: Region) -> Iterator[FaultyEndpoint]:
    """Between the owner and the chain. The owner's key card is registered by a first order, and SPEC is another one by
    now, so that it sends one transaction.
    """
    assert region.orders().data["job"] == 1
    region.rewrite(region.spec, "seed = 7", "seed = 8")
    with FaultyEndpoint(region.rpc_url) as endpoint:
        write_access(region, "owner", endpoint.url)
        yield endpoint
    write_access(region, "owner")


def create(region: Region) -> subprocess.Popen[str]:
    """The command as a process of its own."""
    words = ["-m", "scripts.main", "job", "create", str(region.spec), "--access", str(region.access), "--json"]
    return subprocess.Popen([sys.executable, *words], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def kill(ordering: subprocess.Popen[str]) -> None:
    ordering.kill()
    ordering.communicate()


def kill_as_soon_as(ordering: subprocess.Popen[str], holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    try:
        while not holds():
            assert ordering.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        kill(ordering)


def num_sent(region: Region, block: str) -> int:
    return int(region.chain.request("eth_getTransactionCount", OWNER.address, block), 16)


def test_documents_that_were_published_without_a_job_are_used_for_it(region: Region, endpoint: FaultyEndpoint) -> None:
    """An endpoint that takes its time leaves a moment between the two, in which the command is killed."""
    spec = digest(region.orders("--dry-run").data["specification"])
    border = open_store(f"dir:{region.folder}/border")
    endpoint.delay_s = 0.5
    kill_as_soon_as(create(region), lambda: border.has(spec))
    endpoint.delay_s = 0.0
    assert num_sent(region, "pending") == num_sent(region, "latest")
    assert region.jobs.num_jobs() == 1
    told = region.orders()
    assert (told.code, told.data["changed"], told.data["job"]) == (0, True, 2)
    assert region.jobs.parameters_of(JobId(2)).spec == spec


def test_a_transaction_that_was_lost_with_the_command_is_sent_anew(region: Region, endpoint: FaultyEndpoint) -> None:
    endpoint.num_to_hold = 1
    kill_as_soon_as(create(region), lambda: endpoint.held)
    assert region.jobs.num_jobs() == 1
    told = region.orders()
    assert (told.code, told.data["changed"], told.data["job"]) == (0, True, 2)
    spec = fetch_spec(open_store(f"dir:{region.folder}/border"), region.jobs.parameters_of(JobId(2)).spec)
    assert spec.seed == 8


def test_a_transaction_that_is_mined_after_the_command_was_killed_is_found(
    region: Region, endpoint: FaultyEndpoint
) -> None:
    endpoint.num_to_hold = 1
    kill_as_soon_as(create(region), lambda: endpoint.held)
    endpoint.release()
    told = region.orders()
    assert (told.code, told.data["changed"], told.data["job"]) == (0, False, 2)
    assert region.jobs.num_jobs() == 2


def test_a_transaction_that_still_waits_to_be_mined_is_waited_for(region: Region, endpoint: FaultyEndpoint) -> None:
    region.chain.request("evm_setAutomine", False)
    try:
        kill_as_soon_as(create(region), lambda: num_sent(region, "pending") > num_sent(region, "latest"))
        again = create(region)
        time.sleep(3)
    finally:
        region.chain.request("evm_setAutomine", True)
        region.chain.request("evm_mine")
    out, _ = again.communicate(timeout=PATIENCE_S)
    told = json.loads(out)
    assert (again.returncode, told["changed"], told["job"]) == (0, False, 2)
    assert region.jobs.num_jobs() == 2


@pytest.mark.parametrize("after_s", [1.5, 2.0, 2.5, 3.0])
def test_a_command_that_is_killed_at_any_moment_leaves_nothing_half_done(region: Region, after_s: float) -> None:
    ordering = create(region)
    time.sleep(after_s)
    kill(ordering)
    assert region.orders().data["job"] == 1
    assert region.orders().data["changed"] is False
    assert region.jobs.num_jobs() == 1
