"""The end of a daemon's log, of which only what is known to be harmless is kept.

Code of a task may log what it likes, and errors over data quote it: events, fields and frames pass by name.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from scripts.doctor.masking import Masker, cause_of

NUM_LINES = 2_000
TAIL_BYTES = 2 << 20

EVENTS = frozenset(
    (
        *("answered", "budget_returned", "committed", "declined", "evaluated", "exported", "fault", "given_up"),
        *("job_ended", "joined", "left_out", "locked_out", "lost", "merged", "misled", "no_masking_key", "no_sheet"),
        *("not_merged", "peer_error", "privacy", "recovered", "refused", "registered", "reorganised"),
        *("restored", "sealed", "sealed_model", "spending_unknown", "started", "stopping", "stored", "summed"),
        *("taken_back", "unconfirmed", "unmasked", "voted", "voted_survivors"),
    )
)
"""All events of the daemons; a test compares."""

_FIELDS = frozenset(
    (
        *("time", "level", "party", "job", "shard", "subject", "global_round", "regional_round", "act", "action"),
        *("phase", "signal", "retry_in_s", "contributors", "shards", "address", "node", "recipient", "payload"),
        "survivors",
    )
)
_PROSE = {
    **dict.fromkeys(("fault", "no_masking_key", "no_sheet", "not_merged", "peer_error", "unconfirmed"), "cause"),
    **dict.fromkeys(("left_out", "locked_out", "misled", "refused"), "reason"),
}
"""Fields of text in which no row can stand."""

_MAY_QUOTE_DATA = {"declined": "cause", "given_up": "reason"}
_FRAME = re.compile(r'^\s+File "([^"]+)", line (\d+), in (\S+)$')


def log_tail(path: Path, masker: Masker) -> str:
    """The last lines, each an object again; frames of tracebacks stay, what other lines say does not."""
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - TAIL_BYTES))
        lines = file.read().decode(errors="replace").splitlines()[-NUM_LINES:]
    return "".join(json.dumps(_kept(line, masker), ensure_ascii=False) + "\n" for line in lines)


def _kept(line: str, masker: Masker) -> dict[str, Any]:
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        fields = None
    if not isinstance(fields, dict):
        frame = _FRAME.match(line)
        return {"frame": list(frame.groups())} if frame else {"left_out": "a line that is no event"}
    event = str(fields.get("event"))
    if event not in EVENTS:
        return {"left_out": "an event of other code"}
    kept = {name: value for name, value in fields.items() if name in _FIELDS and not isinstance(value, dict | list)}
    if event in _PROSE and _PROSE[event] in fields:
        kept[_PROSE[event]] = masker.prose(str(fields[_PROSE[event]]))
    if event in _MAY_QUOTE_DATA:
        kept["error"] = cause_of(str(fields.get(_MAY_QUOTE_DATA[event])))
    if "trace" in fields:
        kept["trace"] = [found.groups() for one in str(fields["trace"]).splitlines() if (found := _FRAME.match(one))]
    masked: dict[str, Any] = masker.every({"event": event, **kept})
    return masked
