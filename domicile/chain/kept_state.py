"""Keeping anvil's chain on disk, so that it outlives the SIGKILL of anything.

anvil itself writes its state over the old one: killed while it does so, it would leave a file that it refuses to load.
Here the whole state is asked for, written beside the old one, and put in its place at once.
"""

from __future__ import annotations

import contextlib
import gzip
import http.client
import json
import os
import threading
import time
from pathlib import Path
from typing import Any

KEEP_INTERVAL_S = 1.0
"""About as many seconds of blocks are lost when the chain is killed."""

KEEP_SHARE = 0.1
"""Part of the time that keeping may take: the state grows with the chain, and anvil rests while it tells it."""

ANSWER_TIMEOUT_S = 30.0


def ask(where: tuple[str, int], method: str, *parameters: object, timeout_s: float = ANSWER_TIMEOUT_S) -> Any:
    """What the development chain at a host and port of this machine answers; `None` where it does not."""
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters})
    connection = http.client.HTTPConnection(*where, timeout=timeout_s)
    try:
        connection.request("POST", "/", body, {"Content-Type": "application/json"})
        return json.loads(connection.getresponse().read())["result"]
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError):
        return None
    finally:
        connection.close()


def keep_one_genesis(path: Path) -> None:
    """Leaves a kept state with the chain's own block 0.

    Each anvil that loads a state adds the genesis block that it made for itself, and of several blocks of one number it
    shows any. The first of them is the chain's. What is no such state is left to anvil, which says so.
    """
    try:
        state = json.loads(path.read_bytes())
        geneses = [block for block in state["blocks"] if int(block["header"]["number"], 16) == 0]
        first = min(geneses, key=lambda block: int(block["header"]["timestamp"], 16), default=None)
    except (OSError, ValueError, KeyError, TypeError):
        return
    if len(geneses) > 1:
        state["blocks"] = [block for block in state["blocks"] if block is first or block not in geneses]
        _replace(path, json.dumps(state).encode())


class StateKeeper:
    """Writes the state of the anvil at `where` to `path` again and again, from `start` to `stop`."""

    def __init__(self, where: tuple[str, int], path: Path) -> None:
        self._where = where
        self._path = path
        self._leave = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name="devnet-state")

    def start(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends mining, so that no block is lost, and writes the state a last time."""
        self._leave.set()
        self._thread.join()
        ask(self._where, "evm_setIntervalMining", 0)
        self._keep()

    def abandon(self) -> None:
        """Ends without a last write."""
        self._leave.set()
        self._thread.join()

    def _run(self) -> None:
        pause_s = KEEP_INTERVAL_S
        while not self._leave.wait(pause_s):
            started = time.monotonic()
            self._keep()
            pause_s = max(KEEP_INTERVAL_S, (time.monotonic() - started) / KEEP_SHARE)

    def _keep(self) -> None:
        """Leaves the file as it was where the chain does not answer or the disk is full: the next write tries anew."""
        told = ask(self._where, "anvil_dumpState")
        if not isinstance(told, str):
            return
        with contextlib.suppress(OSError):
            _replace(self._path, gzip.decompress(bytes.fromhex(told.removeprefix("0x"))))


def _replace(path: Path, content: bytes) -> None:
    """Writes a file whole or not at all."""
    beside = path.with_name(f"{path.name}.new")
    with beside.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
        beside.replace(path)
