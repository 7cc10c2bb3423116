"""Bringing a development chain up in the background, and down for certain."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
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
            holder = None
            try:
                # What was put off is raised at the end of this block, where the holder is known.
                with interruption.held():
                    holder, line = _start(folder)
                answer = _ask(holder, line, request)
            except KeyboardInterrupt:
                with interruption.held():
                    if holder is not None:
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


def _start(folder: DevnetFolder) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """A holder in a session of its own, which no signal to this command's terminal reaches, and the line to it."""
    folder.prepare()
    with folder.log.open("a", encoding="utf-8") as log:
        line, its_end = socket.socketpair()
        with its_end:
            holder = subprocess.Popen(
                [sys.executable, "-m", "scripts.devnet.holder"],
                stdin=its_end.fileno(),
                stdout=its_end.fileno(),
                stderr=log,
                # Neither a package of this name in the user's folder nor the folder itself is held on to.
                cwd="/",
                start_new_session=True,
            )
    return holder, line


def _ask(holder: subprocess.Popen[bytes], line: socket.socket, request: str) -> dict[str, Any]:
    """Tells a holder what to do, and reads its one line.

    Raises:
        ChainFault: it ended without one.
    """
    told = ""
    # Whoever ended before it read the request hangs up.
    with line, suppress(ConnectionError), line.makefile(encoding="utf-8") as answers:
        line.sendall(request.encode())
        line.shutdown(socket.SHUT_WR)
        told = answers.readline()
    if not told:
        raise ChainFault(f"the process that was to hold the chain ended with exit code {holder.wait()}; see its log")
    answer: dict[str, Any] = json.loads(told)
    return answer


def _wait(holds: Callable[[], bool], timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(POLL_S)
    return False
