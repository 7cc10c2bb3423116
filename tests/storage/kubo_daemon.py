"""A real Kubo daemon for the tests: offline, on free ports, in a folder that is thrown away."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

START_TIMEOUT_S = 60.0


@contextmanager
def kubo_daemon(program: str, folder: Path) -> Iterator[str]:
    """Starts ``ipfs daemon --offline`` and gives the URL of its RPC; stopped at the end."""
    environment = {**os.environ, "IPFS_PATH": str(folder)}
    subprocess.run([program, "init", "--profile=test"], env=environment, check=True, capture_output=True)
    config = json.loads((folder / "config").read_text())
    config["Addresses"] |= {"API": "/ip4/127.0.0.1/tcp/0", "Gateway": "/ip4/127.0.0.1/tcp/0", "Swarm": []}
    (folder / "config").write_text(json.dumps(config))
    with (folder / "log").open("wb") as log:
        daemon = subprocess.Popen([program, "daemon", "--offline"], env=environment, stdout=log, stderr=log)
    try:
        yield _rpc_of(daemon, folder)
    finally:
        daemon.terminate()
        daemon.wait(30)


def _rpc_of(daemon: subprocess.Popen[bytes], folder: Path) -> str:
    """Kubo writes the address that it got into ``$IPFS_PATH/api`` once it answers there."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and daemon.poll() is None:
        if (folder / "api").exists() and (address := (folder / "api").read_text().split("/")[2::2]):
            return f"http://{address[0]}:{address[1]}"
        time.sleep(0.1)
    raise AssertionError((folder / "log").read_text())
