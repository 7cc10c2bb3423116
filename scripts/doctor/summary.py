"""A journal's tables as data: which rounds, and what went wrong. No digest, no figure of this node, no row count."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

from scripts.doctor.machine import open_read_only
from scripts.doctor.masking import Masker, cause_of

COLUMNS = {
    "declined": ("job", "reason"),
    "locked_out": ("job", "payload", "recipient"),
    "memberships": ("job", "global_round", "regional_round"),
    "updates": ("job", "global_round", "regional_round", "pinned"),
    "evaluations": ("job", "global_round"),
    "refusals": ("job", "action", "reason"),
    "skipped": ("job", "act", "global_round", "regional_round", "reason"),
    "payloads": ("job", "shard", "global_round", "regional_round", "kind", "pinned"),
    "exclusions": ("job", "shard", "global_round", "regional_round", "subject", "reason"),
}
"""What may leave this machine; of other tables, only how long they are."""

_MAY_QUOTE_DATA = frozenset({("declined", "reason"), ("skipped", "reason")})


def journal_summary(path: Path, masker: Masker) -> dict[str, Any]:
    """All tables of a journal.

    Raises:
        sqlite3.DatabaseError: it cannot be read.
    """
    with contextlib.closing(open_read_only(path)) as connection:
        names = [name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        tables = {name: _table(connection, name, masker) for name in sorted(names) if not name.startswith("sqlite_")}
    return {"version": version, "tables": tables}


def _table(connection: sqlite3.Connection, name: str, masker: Masker) -> dict[str, Any]:
    quoted = '"' + name.replace('"', '""') + '"'
    count = connection.execute(f"SELECT count(*) FROM {quoted}").fetchone()[0]  # noqa: S608 - quoted
    present = {row[1] for row in connection.execute(f"PRAGMA table_info({quoted})")}
    columns = [column for column in COLUMNS.get(name, ()) if column in present]
    if not columns:
        return {"entries": count}
    rows = connection.execute(f"SELECT {', '.join(columns)} FROM {quoted} ORDER BY rowid")  # noqa: S608 - ours
    shown = [
        {
            column: cause_of(str(value)) if (name, column) in _MAY_QUOTE_DATA else masker.every(value)
            for column, value in zip(columns, row, strict=True)
        }
        for row in rows
    ]
    return {"entries": count, "rows": shown}
