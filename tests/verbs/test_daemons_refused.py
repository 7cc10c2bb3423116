"""A daemon that must not run beside another: of a copied folder, or with a port that is taken."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from domicile.chain.artifacts import REPOSITORY
from tests.verbs.job_ground import PARTIES, Region

pytestmark = [pytest.mark.slow, pytest.mark.timeout(180)]


@contextmanager
def daemon(config: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.main", config.stem, "run", str(config)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def copies(original: Path) -> Iterator[tuple[Path, Path]]:
    """Two copies of a party's folder, since the network of all tests must not get journals."""
    made = original.with_name(f"{original.name}-1"), original.with_name(f"{original.name}-2")
    try:
        for copy in made:
            shutil.copytree(original, copy)
        yield made
    finally:
        for copy in made:
            shutil.rmtree(copy)


def started(process: subprocess.Popen[str]) -> str:
    """The address that a daemon's first line tells."""
    assert process.stdout is not None
    line = json.loads(process.stdout.readline())
    assert line["event"] == "started", line
    return str(line["address"])


@pytest.mark.parametrize("name", ["berlin", "eu-agg"])
def test_of_two_copies_of_a_folder_one_runs_and_the_next_once_it_is_killed(region: Region, name: str) -> None:
    account, file = PARTIES[name].address, region.config(name).name
    with copies(region.config(name).parent) as (one, two):
        # Another address of the endpoint is the same chain.
        region.rewrite(two / file, "http://127.0.0.1:", "http://localhost:")
        with daemon(one / file) as first:
            assert started(first) == account
            with daemon(two / file) as second:
                told, _ = second.communicate()
            assert (second.returncode, told.count("\n")) == (2, 1)
            assert f"{two / 'account.json'}: the daemon with process id {first.pid} acts with this key already" in told
            assert list(two.glob("journal*")) == []
        with daemon(two / file) as second:
            assert started(second) == account


def test_a_taken_port_ends_a_daemon_before_it_opens_its_journal(region: Region) -> None:
    file = region.config("berlin").name
    with copies(region.config("berlin").parent) as (one, _), socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with (one / file).open("a", encoding="utf-8") as config:
            config.write(f"\n[metrics]\nport = {port}\n")
        with daemon(one / file) as refused:
            told, _ = refused.communicate()
        assert (refused.returncode, told.count("\n")) == (2, 1)
        assert f"metrics: 127.0.0.1:{port} cannot be listened on" in told
        assert list(one.glob("journal*")) == []
