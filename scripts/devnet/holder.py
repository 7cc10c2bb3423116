"""The process that holds a development chain in the background, from `up` to `down`.

Its standard input tells what to start (JSON), its standard output says one line of JSON once that is up or failed.
SIGTERM ends it: the chain writes its state and is gone before the process is.
"""

from __future__ import annotations

import json
import os
import sys
import time
from dataclasses import asdict
from pathlib import Path

from scripts.interruption import Interruption

POLL_S = 0.2


def main() -> int:
    """Holds the chain; returns the exit code."""
    with Interruption() as interruption:
        try:
            return _hold(interruption)
        except KeyboardInterrupt:
            return 0


def _hold(interruption: Interruption) -> int:
    from domicile.chain.devnet import Devnet
    from domicile.errors import DomicileError
    from scripts.devnet.folder import DevnetFolder, DevnetOptions, Running

    told = json.load(sys.stdin)
    folder, options = DevnetFolder(Path(told["folder"])), DevnetOptions(**told["options"])
    try:
        folder.hold()
        devnet = Devnet(
            client=options.client,
            block_time_s=options.block_time_s,
            host=options.host,
            port=options.port,
            state=None if options.state is None else Path(options.state),
            log=folder.log,
        )
        try:
            devnet.start()
            running = Running(options=options, pid=os.getpid(), rpc_url=devnet.rpc_url)
            folder.write(running)
            _say({"running": asdict(running)})
            while devnet.is_running:
                time.sleep(POLL_S)
            return 1
        finally:
            with interruption.held():
                devnet.stop()
                folder.clear()
    except DomicileError as exc:
        _say({"error": str(exc), "exit_code": exc.exit_code})
        return exc.exit_code


def _say(answer: dict[str, object]) -> None:
    """Answers whoever waits, and closes the line: nobody listens from now on. Where that one is gone already, nobody
    knows of the chain, and the error ends it.
    """
    print(json.dumps(answer), flush=True)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)


if __name__ == "__main__":
    sys.exit(main())
