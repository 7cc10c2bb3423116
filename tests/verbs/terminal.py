"""A command at a terminal, whose questions somebody answers."""

from __future__ import annotations

import os
import pty
import select
import sys
from collections.abc import Sequence

PATIENCE_S = 120


def at_a_terminal(command: Sequence[object], answers: Sequence[tuple[str, str]]) -> tuple[int, str]:
    """Exit code and screen; each answer is given once its question is on the screen, in this order."""
    child, terminal = pty.fork()
    if not child:
        os.environ.pop("DOMICILE_PASSWORD", None)
        os.execv(sys.executable, [sys.executable, "-m", "scripts.main", *map(str, command)])  # noqa: S606
    screen, waiting = "", list(answers)
    while select.select([terminal], [], [], PATIENCE_S)[0]:
        try:
            screen += os.read(terminal, 1000).decode()
        except OSError:
            break
        if waiting and waiting[0][0] in screen:
            os.write(terminal, f"{waiting.pop(0)[1]}\n".encode())
    # Hangs up on a command that still asks, which ends it.
    os.close(terminal)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), screen
