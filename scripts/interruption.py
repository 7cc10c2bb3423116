"""Ctrl-C and SIGTERM: at any moment one line, exit code 130, and nothing left behind.

Until something is started, the process leaves at once: an interrupt that is raised in the middle of an import comes out
as whatever that import makes of it. While something is up, the interrupt is raised, so that everything can be ended.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self

SIGNALS = (signal.SIGINT, signal.SIGTERM)
EXIT_CODE = 130
CAUSE = "interrupted; the command may be repeated"
"""Of whatever started no process."""

ALL_ENDED = "interrupted; every process that was started has ended"


def leave_at_once() -> None:
    """From now on a signal ends this process, which has started no other."""
    for number in SIGNALS:
        signal.signal(number, _leave)


def _leave(_number: int, _frame: FrameType | None) -> None:
    os.write(2, f"domicile: {CAUSE}\n".encode())
    os._exit(EXIT_CODE)


class Interruption:
    """From ``with`` to the end of it, a signal raises `KeyboardInterrupt` in the main thread."""

    def __init__(self) -> None:
        self._num_holds = 0
        self.came = False

    def __enter__(self) -> Self:
        for number in SIGNALS:
            signal.signal(number, self._interrupt)
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        if not self.came:
            leave_at_once()
            return
        # The line is about to be printed, and it is printed once.
        for number in SIGNALS:
            signal.signal(number, signal.SIG_IGN)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Puts an interrupt off to the end of the block: in it, a process is started or ended that must not be lost."""
        self._num_holds += 1
        try:
            yield
        finally:
            self._num_holds -= 1
        if self.came and not self._num_holds:
            raise KeyboardInterrupt

    def _interrupt(self, _number: int, _frame: FrameType | None) -> None:
        self.came = True
        if not self._num_holds:
            raise KeyboardInterrupt
