"""An order whose command is killed while it is placed becomes one job when the command is repeated."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from domicile.chain.devnet import Devnet
from domicile.exchange import fetch_spec
from domicile.storage.store import open_store
from domicile.types import JobId
from tests.faults.endpoint import FaultyEndpoint
from tests.verbs.job_ground import Region, as_new, settle, write_access

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 60.0


@pytest.fixture
def region(tmp_path: Path) -> Iterator[Region]:
    with Devnet() as devnet:
        settled = settle(tmp_path, devnet)
        with as_new(settled):
            yield settled


@pytest.fixture
def endpoint(region: Region) -> Iterator[FaultyEndpoint]:
    """Between the owner and the chain; the owner's key card is registered, so that an order sends one transaction."""
    assert region.orders().data["job"] == 1
    with FaultyEndpoint(region.rpc_url) as endpoint:
        write_access(region, "owner", endpoint.url)
        yield endpoint


def kill_while_it_waits(region: Region, endpoint: FaultyEndpoint) -> None:
    """Orders a second job, and kills the command once its transaction is on its way."""
    command = [sys.executable, "-m", "scripts.main", "job", "create", str(region.spec), "--again"]
    with subprocess.Popen(
        [*command, "--access", str(region.access)], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as ordering:
        try:
            deadline = time.monotonic() + PATIENCE_S
            while not endpoint.held:
                assert ordering.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.05)
        finally:
            ordering.kill()


def test_a_transaction_that_was_lost_with_the_command_is_sent_anew(region: Region, endpoint: FaultyEndpoint) -> None:
    region.rewrite(region.spec, "seed = 7", "seed = 8")
    endpoint.num_to_hold = 1
    kill_while_it_waits(region, endpoint)
    assert region.jobs.num_jobs() == 1
    told = region.orders()
    assert (told.code, told.data["changed"], told.data["job"]) == (0, True, 2)
    spec = fetch_spec(open_store(f"dir:{region.folder}/border"), region.jobs.parameters_of(JobId(2)).spec)
    assert spec.seed == 8


def test_a_transaction_that_is_mined_after_the_command_was_killed_is_found(
    region: Region, endpoint: FaultyEndpoint
) -> None:
    region.rewrite(region.spec, "seed = 7", "seed = 8")
    endpoint.num_to_hold = 1
    kill_while_it_waits(region, endpoint)
    endpoint.release()
    told = region.orders()
    assert (told.code, told.data["changed"], told.data["job"]) == (0, False, 2)
    assert region.jobs.num_jobs() == 2
