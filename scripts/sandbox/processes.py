"""Daemons as processes of their own, started quickly and ended for certain.

Importing torch and web3 costs seconds a process. One fork server imports them once, and every daemon is forked from it;
what it then runs is the same ``main`` that ``domicile node run`` and ``domicile aggregator run`` call.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from multiprocessing.connection import wait
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import TracebackType
from typing import Self

PRELOAD = ["node.daemon", "aggregator.daemon", "torch._dynamo", "sklearn.metrics", "pyarrow.csv"]
"""Also what torch's optimisers and the built-in tasks would each import at first use, seconds a process."""

STOP_WINDOW_S = 5.0
"""How long a daemon may take to finish its act after SIGTERM before it is killed."""


class Processes:
    """Context manager over the daemons of one sandbox; none outlives it, however it ends."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOAD)
        self._running: dict[str, ForkServerProcess] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def start(self, name: str, role: str, config: Path, log: Path) -> None:
        """Starts a daemon; `role` is ``"node"`` or ``"aggregator"``."""
        process = self._context.Process(target=_run_daemon, args=(role, config, log), name=name)
        process.start()
        self._running[name] = process

    def kill(self, name: str) -> None:
        """SIGKILL, as a power failure would do it."""
        process = self._running.pop(name)
        process.kill()
        process.join()

    def ended(self) -> dict[str, int]:
        """Exit codes of daemons that ended by themselves."""
        return {name: p.exitcode for name, p in self._running.items() if p.exitcode is not None}

    def alive(self) -> set[str]:
        """Names of daemons that run."""
        return {name for name, process in self._running.items() if process.is_alive()}

    def pids(self) -> dict[str, int]:
        return {name: p.pid for name, p in self._running.items() if p.pid is not None}

    def stop(self) -> None:
        """Asks every daemon to leave, and kills those that do not."""
        for process in self._running.values():
            if process.is_alive():
                process.terminate()
        deadline = time.monotonic() + STOP_WINDOW_S
        while (alive := [p for p in self._running.values() if p.is_alive()]) and time.monotonic() < deadline:
            wait([p.sentinel for p in alive], timeout=max(0.0, deadline - time.monotonic()))
        for process in self._running.values():
            if process.is_alive():
                process.kill()
            process.join()
        self._running.clear()


def _run_daemon(role: str, config: Path, log: Path) -> None:
    """Body of a forked daemon process."""
    # A terminal sends Ctrl-C to the whole group; the sandbox alone decides when its daemons leave.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _leave_with_parent()
    stream = log.open("a", buffering=1, encoding="utf-8")
    os.dup2(stream.fileno(), sys.stdout.fileno())
    os.dup2(stream.fileno(), sys.stderr.fileno())
    if role == "node":
        from node.daemon import main as run_node

        sys.exit(run_node(config))
    from aggregator.daemon import main as run_aggregator

    sys.exit(run_aggregator(config))


def _leave_with_parent() -> None:
    """Ends this process when the sandbox dies without having stopped it."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()
