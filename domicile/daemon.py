"""The loop that every daemon is: observe, decide, act, until asked to leave."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType

from domicile.errors import DomicileError, Fault
from domicile.log import log_event

log = logging.getLogger(__name__)

BACKOFF_FACTOR = 2.0
BACKOFF_MAX_S = 30.0
EXIT_BUG = 70
"""``EX_SOFTWARE`` of sysexits: an error of ours, with a traceback."""


def run(step: Callable[[], bool], *, poll_s: float) -> int:
    """Calls `step` until SIGTERM or SIGINT; a step that acted is followed by the next one at once.

    The act in progress when a signal comes is finished. Faults of chain and stores are waited out with a growing
    pause; everything else ends the daemon.

    Returns:
        The exit code: 0 after a signal.
    """
    stop = threading.Event()

    def leave(number: int, _frame: FrameType | None) -> None:
        log_event(log, "stopping", signal=signal.Signals(number).name)
        stop.set()

    signal.signal(signal.SIGTERM, leave)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, leave)
    pause_s = poll_s
    while not stop.is_set():
        try:
            acted = step()
            pause_s = poll_s
        except Fault as exc:
            pause_s = min(max(pause_s, poll_s) * BACKOFF_FACTOR, BACKOFF_MAX_S)
            log_event(log, "fault", level=logging.WARNING, cause=str(exc), retry_in_s=pause_s)
            acted = False
        if not acted:
            stop.wait(pause_s)
    return 0


def guarded(main: Callable[[], int]) -> int:
    """Runs a ``main`` and turns our errors into one line on standard error and their exit code."""
    try:
        return main()
    except DomicileError as exc:
        print(f"domicile: {exc}", file=sys.stderr)
        return exc.exit_code
