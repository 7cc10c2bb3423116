"""A watch outlives its endpoint, wherever it is shown, and needs neither keys nor names nor stores."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from tests.faults.endpoint import FaultyEndpoint
from tests.verbs.job_ground import Region, write_access

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

ROOT = Path(__file__).resolve().parents[2]
PATIENCE_S = 90.0
AWAY = "trying again until it answers"
BACK = "answered again"


@pytest.fixture
def endpoint(region: Region) -> Iterator[FaultyEndpoint]:
    """What the watch asks; everybody else asks the chain itself."""
    with FaultyEndpoint(region.rpc_url) as endpoint:
        yield endpoint


class Watching:
    """``job watch 1`` as a process; what it shows is read while it runs. On a terminal both streams are one."""

    def __init__(self, access: Path, *more: str, terminal: bool = False) -> None:
        shown = pty.openpty() if terminal else os.pipe()
        told = shown if terminal else os.pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "scripts.main", "job", "watch", "1", "--access", str(access), *more],
            cwd=ROOT,
            stdout=shown[1],
            stderr=told[1],
            env={**os.environ, "TERM": "xterm-256color", "COLUMNS": "100"},
        )
        self._texts: dict[int, str] = {}
        self._shown, self._told = shown[0], told[0]
        self._readers = [threading.Thread(target=self._read, args=(one,)) for one in {shown[0], told[0]}]
        for one in {shown[1], told[1]}:
            os.close(one)
        for reader in self._readers:
            reader.start()

    @property
    def shown(self) -> str:
        return self._texts.get(self._shown, "")

    @property
    def told(self) -> str:
        return self._texts.get(self._told, "")

    def until(self, words: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while words not in self.shown + self.told:
            assert time.monotonic() < deadline, self.shown + self.told
            time.sleep(0.05)

    def code(self) -> int:
        """Its exit code, once all that it showed was read."""
        found = self._process.wait(PATIENCE_S)
        for reader in self._readers:
            reader.join()
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self.code()

    def _read(self, stream: int) -> None:
        """Up to the end, which a terminal tells as an error."""
        pieces = b""
        try:
            while piece := os.read(stream, 65536):
                pieces += piece
                self._texts[stream] = pieces.decode(errors="replace")
        except OSError:
            return
        finally:
            os.close(stream)


def watch_through_an_outage(region: Region, endpoint: FaultyEndpoint, watching: Watching, first: str) -> None:
    """The endpoint goes away once the watch shows the job, comes back, and the job is cancelled."""
    with watching:
        watching.until(first)
        with endpoint.gone():
            watching.until(AWAY)
        watching.until(BACK)
        assert region.does("cancel", 1, "--yes").code == 0
        assert watching.code() == 0


def test_lines_in_a_pipe_go_on_after_an_outage_that_is_told_once(region: Region, endpoint: FaultyEndpoint) -> None:
    assert region.orders().code == 0
    watching = Watching(write_access(region, "guest", endpoint.url, bare=True))
    watch_through_an_outage(region, endpoint, watching, "waits for members to join")
    assert (watching.shown.count(AWAY), watching.shown.count(BACK)) == (1, 1)
    assert "job 1: cancelled" in watching.shown
    assert "\x1b" not in watching.shown


def test_data_stays_data_through_an_outage(region: Region, endpoint: FaultyEndpoint) -> None:
    assert region.orders().code == 0
    watching = Watching(write_access(region, "guest", endpoint.url, bare=True), "--json")
    watch_through_an_outage(region, endpoint, watching, '"phase": "joining"')
    phases = [json.loads(line)["phase"] for line in watching.shown.splitlines()]
    assert (phases[0], phases[-1]) == ("joining", "cancelled")
    assert watching.told.count(AWAY) == 1


def test_the_picture_on_a_terminal_says_that_the_endpoint_is_away(region: Region, endpoint: FaultyEndpoint) -> None:
    assert region.orders().code == 0
    watching = Watching(write_access(region, "guest", endpoint.url, bare=True), terminal=True)
    watch_through_an_outage(region, endpoint, watching, "waits for members")
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", watching.shown.rpartition("╭")[2])
    assert "cancelled" in last


def test_a_slow_endpoint_that_goes_away_during_the_first_look_is_waited_for(
    region: Region, endpoint: FaultyEndpoint
) -> None:
    assert region.orders().code == 0
    endpoint.delay_s = 0.5
    watching = Watching(write_access(region, "guest", endpoint.url, bare=True))
    watch_through_an_outage(region, endpoint, watching, "reading the record")
    assert "job 1: cancelled" in watching.shown
