"""Log lines as events: one JSON object a line, with job and round wherever there is one.

Never a key, a password, a URL's query or anything of a plain update. Handlers are set in a daemon's ``main`` alone.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime


class _JsonLines(logging.Formatter):
    def __init__(self, party: str) -> None:
        super().__init__()
        self._party = party

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "party": self._party,
            "event": record.getMessage(),
        }
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure_logging(party: str, level: int = logging.INFO) -> None:
    """Sends all events of this process to standard output. Called once, in a ``main``."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(_JsonLines(party))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for chatty in ("web3", "urllib3", "matplotlib"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def log_event(logger: logging.Logger, event: str, *, level: int = logging.INFO, **fields: object) -> None:
    """Logs one event with its fields; bytes are shown as hexadecimal."""
    shown = {key: "0x" + value.hex() if isinstance(value, bytes) else value for key, value in fields.items()}
    logger.log(level, event, extra={"fields": shown})
