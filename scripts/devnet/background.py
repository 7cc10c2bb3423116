"""Bringing a development chain up in the background, and down for certain."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from typing import Any
from urllib.parse import urlsplit

from domicile.chain.devnet import is_listening
from domicile.errors import ChainFault, ConfigurationError, Fault, Interrupted
from scripts.devnet.folder import DevnetFolder, DevnetOptions, Running
from scripts.interruption import ALL_ENDED, Interruption

STOP_TIMEOUT_S = 60.0
"""For the last write of a large state; the holder itself gives the chain 15 s to end."""

KILLED_TIMEOUT_S = 20.0
"""A chain whose holder is gone has 10 s to end by itself."""

POLL_S = 0.05


def bring_up(folder: DevnetFolder, options: DevnetOptions) -> Running:
    """Starts a holder and waits until its chain answers.

    Raises:
        ConfigurationError: the port is taken, or the folder is in use or cannot be written.
        ChainFault: the chain did not come up; Interrupted: nothing is left of it.
    """
    request = json.dumps({"folder": str(folder.path.absolute()), "options": asdict(options)})
    try:
        with Interruption() as interruption:
            with interruption.held():
                holder = _start(folder)
            try:
                answer = _ask(holder, request)
            except KeyboardInterrupt:
                with interruption.held():
                    holder.terminate()
                    holder.wait()
                raise
    except KeyboardInterrupt:
        raise Interrupted(ALL_ENDED) from None
    if "running" not in answer:
        holder.wait()
        error = ConfigurationError if answer["exit_code"] == ConfigurationError.exit_code else ChainFault
        raise error(answer["error"])
    return Running.of(answer["running"])


def take_down(folder: DevnetFolder, running: Running) -> None:
    """Ends the holder and its chain, so that neither process nor port is left.

    Raises:
        Fault: something is left, or the state could not be written.
    """
    for number, timeout_s in ((signal.SIGTERM, STOP_TIMEOUT_S), (signal.SIGKILL, KILLED_TIMEOUT_S)):
        # As long as the folder is held, the process id is that of its holder.
        if folder.is_held():
            os.kill(running.pid, number)
            _wait(lambda: not folder.is_held(), timeout_s)
    where = urlsplit(running.rpc_url)
    if not _wait(lambda: not is_listening(where.hostname or "", running.options.port), KILLED_TIMEOUT_S):
        raise Fault(f"something still listens at {running.rpc_url}; end it, {folder.log} may tell what it is")
    folder.clear()
    if running.options.state is not None and not os.path.exists(running.options.state):
        raise Fault(f"{running.options.state} was not written; is its disk full?")


def _start(folder: DevnetFolder) -> subprocess.Popen[str]:
    """A holder in a session of its own: a signal to this command's terminal does not reach it."""
    folder.prepare()
    with folder.log.open("a", encoding="utf-8") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "scripts.devnet.holder"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            # Neither a package of this name in the user's folder nor the folder itself is held on to.
            cwd="/",
            start_new_session=True,
        )


def _ask(holder: subprocess.Popen[str], request: str) -> dict[str, Any]:
    """Tells a holder what to do, and reads its one line."""
    assert holder.stdin is not None and holder.stdout is not None  # noqa: PT018, S101 - both are pipes
    with holder.stdout, holder.stdin:
        holder.stdin.write(request)
        holder.stdin.close()
        line = holder.stdout.readline()
    if not line:
        raise ChainFault(f"the process that was to hold the chain ended with exit code {holder.wait()}; see its log")
    answer: dict[str, Any] = json.loads(line)
    return answer


def _wait(holds: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(POLL_S)
    return False
