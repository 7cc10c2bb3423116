"""Where a sandbox's daemons come from: one process imports what they all need, once, and forks each of them.

Importing torch and web3 costs seconds a process. What a fork then runs is the same ``main`` that ``domicile node run``
and ``domicile aggregator run`` call.

It speaks JSON lines. On standard input come ``{"start": NAME, "role": ROLE, "config": FILE, "log": FILE}`` and
``{"kill": NAME}``; on standard output go ``{"ready": true}`` when all is imported and ``{"ended": NAME, "code": N}``.
The end of standard input, however it comes about, ends every daemon and then this process.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import select
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any, NoReturn

PRELOAD = ("node.daemon", "aggregator.daemon", "torch._dynamo", "sklearn.metrics", "pyarrow.csv")
"""Also what torch's optimisers and the built-in tasks would each import at first use, seconds a process."""

STOP_WINDOW_S = 5.0
"""How long a daemon may take to finish its act after SIGTERM before it is killed."""

POLL_S = 0.05
PIECE_BYTES = 1 << 16

log = logging.getLogger(__name__)


class Nursery:
    """The daemons that were forked here."""

    def __init__(self, orders: int, reports: int) -> None:
        self._orders = orders
        self._reports = reports
        self._inbox = b""
        self._running: dict[int, str] = {}
        # Nothing is ever written: a daemon that reads the end of it knows that this process is gone.
        self._held, self._holding = os.pipe()

    def run(self) -> None:
        """Follows orders until they end, and then ends every daemon."""
        self._report(ready=True)
        while self._follow():
            self._reap()
        for pid in self._running:
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + STOP_WINDOW_S
        while self._running and time.monotonic() < deadline:
            self._reap()
            time.sleep(POLL_S)
        for pid in self._running:
            os.kill(pid, signal.SIGKILL)
        while self._running:
            self._reap()
            time.sleep(POLL_S)

    def _follow(self) -> bool:
        """Does what was ordered by now; `False` at the end of all orders."""
        if not select.select([self._orders], [], [], POLL_S)[0]:
            return True
        piece = os.read(self._orders, PIECE_BYTES)
        *lines, self._inbox = (self._inbox + piece).split(b"\n")
        for line in lines:
            order = json.loads(line)
            if "start" in order:
                self._fork(order)
            else:
                for pid in [pid for pid, name in self._running.items() if name == order["kill"]]:
                    os.kill(pid, signal.SIGKILL)
        return bool(piece)

    def _fork(self, order: dict[str, Any]) -> None:
        pid = os.fork()
        if pid:
            self._running[pid] = order["start"]
            return
        for number in (self._orders, self._reports, self._holding):
            os.close(number)
        _leave_at_end_of(self._held)
        _run_daemon(order["role"], Path(order["config"]), Path(order["log"]))

    def _reap(self) -> None:
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                return
            if pid in self._running:
                self._report(ended=self._running.pop(pid), code=os.waitstatus_to_exitcode(status))

    def _report(self, **fields: object) -> None:
        # Whoever would read it may be gone; the end of the orders then says what to do.
        try:
            os.write(self._reports, json.dumps(fields).encode() + b"\n")
        except BrokenPipeError:
            log.debug("nobody reads reports")


def _run_daemon(role: str, config: Path, log_file: Path) -> NoReturn:
    """Body of a forked daemon process."""
    from domicile.exit_code import EXIT_BUG

    # The sandbox alone decides when its daemons leave.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stream = log_file.open("a", buffering=1, encoding="utf-8")
    for number in (1, 2):
        os.dup2(stream.fileno(), number)
    code = EXIT_BUG
    try:
        if role == "node":
            from node.daemon import main as run_node

            code = run_node(config)
        else:
            from aggregator.daemon import main as run_aggregator

            code = run_aggregator(config)
    except Exception:
        log.exception("bug")
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        # Not by way of the interpreter's end, which belongs to the process that was forked.
        os._exit(code)


def _leave_at_end_of(pipe: int) -> None:
    def watch() -> None:
        os.read(pipe, 1)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True, name="nursery-watch").start()


def main() -> None:
    """Imports, says so, and follows orders."""
    reports = os.dup(1)
    # What an import prints is no report.
    os.dup2(2, 1)
    for module in PRELOAD:
        importlib.import_module(module)
    Nursery(0, reports).run()


if __name__ == "__main__":
    main()
