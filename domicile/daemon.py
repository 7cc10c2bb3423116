"""The loop that every daemon is: observe, decide, act, until asked to leave."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

from domicile import metrics
from domicile.clock import DEFAULT_CLOCK, JobClock
from domicile.errors import Fault, Overtaken, PeerError, Refused
from domicile.log import log_event

log = logging.getLogger(__name__)

BACKOFF_FACTOR = 2.0


class Backoff:
    """Growing pauses between attempts at what fails for now. `clock` counts seconds, as ``time.monotonic`` does."""

    def __init__(
        self,
        poll_s: float,
        *,
        job_clock: JobClock = DEFAULT_CLOCK,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._poll_s = poll_s
        self._max_s = max(job_clock.longest_pause_s, poll_s)
        self._clock = clock
        self._pause_s = poll_s
        self._until_s = 0.0

    @property
    def resting(self) -> bool:
        return self._clock() < self._until_s

    @property
    def pending(self) -> bool:
        """Whether the last attempt failed, so that there is another one to come."""
        return self._until_s > 0

    def failed(self) -> float:
        """Begins the next pause and returns its length in seconds."""
        self._pause_s = min(self._pause_s * BACKOFF_FACTOR, self._max_s)
        self._until_s = self._clock() + self._pause_s
        return self._pause_s

    def succeeded(self) -> None:
        self._pause_s, self._until_s = self._poll_s, 0.0


class Confined:
    """Acts of one job: what its content, its members or its stores break rests here, and all other jobs go on.

    `where` stands on each log line. Errors of ours and of the operator pass through.
    """

    def __init__(self, backoff: Backoff, **where: Any) -> None:
        self._backoff = backoff
        self._where = where

    @property
    def pending(self) -> bool:
        """Whether an act failed and is to be tried again, whatever happens on chain."""
        return self._backoff.pending

    def run(self, act: Callable[[], bool]) -> bool:
        """Whether the act did something; `False` while it rests."""
        if self._backoff.resting:
            return False
        try:
            acted = act()
        except Overtaken:
            return False
        except Refused as exc:
            # Another party was faster, or a window closed in between: the next look at the chain tells.
            log_event(log, "refused", **self._where, reason=str(exc))
            return False
        except (Fault, PeerError) as exc:
            event = "fault" if isinstance(exc, Fault) else "peer_error"
            metrics.FAULTS.labels(type(exc).__name__).inc()
            retry_in_s = self._backoff.failed()
            log_event(log, event, level=logging.WARNING, **self._where, cause=str(exc), retry_in_s=retry_in_s)
            return False
        self._backoff.succeeded()
        return acted


def run(step: Callable[[], bool], *, poll_s: float, clock: Callable[[], JobClock]) -> int:
    """Calls `step` until SIGTERM or SIGINT; a step that acted is followed by the next one at once.

    The act in progress when a signal comes is finished. Faults that are no single job's are waited out with a growing
    pause, no longer than the present `clock` allows; everything else ends the daemon.

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
    backoff = Backoff(poll_s)
    while not stop.is_set():
        try:
            acted, pause_s = step(), poll_s
            backoff.succeeded()
        except Fault as exc:
            acted, pause_s = False, min(backoff.failed(), max(clock().longest_pause_s, poll_s))
            metrics.FAULTS.labels(type(exc).__name__).inc()
            log_event(log, "fault", level=logging.WARNING, cause=str(exc), retry_in_s=pause_s)
        if not acted:
            stop.wait(pause_s)
    return 0
