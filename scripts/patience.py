"""Looking on where an endpoint or a store fails for a while: said once, and gone on."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from domicile.daemon import Backoff
from domicile.errors import Fault

Seen = TypeVar("Seen")


def patiently(look: Callable[[], Seen], say: Callable[[str], None], *, poll_s: float) -> Seen:
    """The first look that succeeds; between two tries lies a pause that grows."""
    backoff = Backoff(poll_s)
    while True:
        try:
            seen = look()
        except Fault as exc:
            if not backoff.pending:
                say(f"trying again until it answers (Ctrl-C ends that): {exc}")
            time.sleep(backoff.failed())
            continue
        if backoff.pending:
            say("answered again")
        return seen
