"""Daemons as processes of their own, started quickly and ended for certain."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from domicile.errors import Fault
from scripts.sandbox.nursery import PIECE_BYTES, STOP_WINDOW_S

GRACE_S = 5.0
"""What the nursery may take to end its daemons beyond the time that it gives them."""


class Processes:
    """Context manager over the daemons of one sandbox; none outlives it, however it ends.

    They are forked from a nursery, which has a session of its own: what a terminal sends to its foreground processes
    reaches the sandbox alone.
    """

    def __init__(self) -> None:
        self._nursery: subprocess.Popen[bytes] | None = None
        self._ready = False
        self._inbox = b""
        self._running: set[str] = set()
        self._ended: dict[str, int] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def open(self) -> None:
        """Starts the nursery, which then imports for seconds; `start` does it where it was not done."""
        if self._nursery is None:
            self._nursery = subprocess.Popen(
                [sys.executable, "-m", "scripts.sandbox.nursery"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )

    def start(self, name: str, role: str, config: Path, log: Path) -> None:
        """Starts a daemon; `role` is ``"node"`` or ``"aggregator"``."""
        self.open()
        self._order(start=name, role=role, config=str(config), log=str(log))
        self._running.add(name)
        self._ended.pop(name, None)

    def kill(self, name: str) -> None:
        """SIGKILL, as a power failure would do it."""
        self._order(kill=name)
        while name in self.alive():
            self._hear(timeout_s=GRACE_S)
        self._running.discard(name)
        del self._ended[name]

    def ended(self) -> dict[str, int]:
        """Exit codes of daemons that ended by themselves."""
        self._hear()
        return dict(self._ended)

    def alive(self) -> set[str]:
        """Names of daemons that run."""
        return self._running - self.ended().keys()

    def stop(self) -> None:
        """Asks every daemon to leave, and kills those that do not; returns when all have ended."""
        nursery = self._nursery
        if nursery is None or nursery.stdin is None or nursery.stdout is None:
            return
        self._hear()
        with contextlib.suppress(BrokenPipeError):
            nursery.stdin.close()
        try:
            # A nursery that still imports has forked nothing yet, and would hear of the end only afterwards.
            nursery.wait(STOP_WINDOW_S + GRACE_S if self._ready else 0)
        except subprocess.TimeoutExpired:
            _kill_group(nursery)
        nursery.stdout.close()
        self._nursery = None
        self._running.clear()

    def _order(self, **fields: str) -> None:
        if self._nursery is None or self._nursery.stdin is None:
            raise Fault("the daemons have been ended; start anew")
        try:
            self._nursery.stdin.write(json.dumps(fields).encode() + b"\n")
            self._nursery.stdin.flush()
        except BrokenPipeError as exc:
            raise Fault("the process that daemons are forked from has ended; what it said stands above") from exc

    def _hear(self, timeout_s: float = 0.0) -> None:
        """Takes in what the nursery has reported."""
        if self._nursery is None or self._nursery.stdout is None:
            return
        pipe = self._nursery.stdout.fileno()
        while select.select([pipe], [], [], timeout_s)[0]:
            piece = os.read(pipe, PIECE_BYTES)
            if not piece:
                # With the nursery, its daemons have ended too.
                self._ended |= dict.fromkeys(self._running - self._ended.keys(), -signal.SIGKILL)
                return
            *lines, self._inbox = (self._inbox + piece).split(b"\n")
            for report in map(json.loads, lines):
                if "ended" in report:
                    self._ended[report["ended"]] = report["code"]
                else:
                    self._ready = True
            timeout_s = 0.0


def _kill_group(nursery: subprocess.Popen[bytes]) -> None:
    os.killpg(nursery.pid, signal.SIGKILL)
    nursery.wait()
    # What it had forked is reaped by the system, a moment later.
    deadline = time.monotonic() + 1
    with contextlib.suppress(ProcessLookupError, PermissionError):
        while time.monotonic() < deadline:
            os.killpg(nursery.pid, 0)
            time.sleep(0.005)
