"""The base of the daemons' journals: SQLite that survives a kill at any instant."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path

from domicile.errors import ConfigurationError
from domicile.types import Address, JobId

_SCHEMA = """
CREATE TABLE IF NOT EXISTS declined (job INTEGER PRIMARY KEY, reason TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS locked_out (
    job INTEGER, payload TEXT, recipient TEXT, reason TEXT NOT NULL, PRIMARY KEY (job, payload, recipient));
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class LockedOut:
    """Somebody who cannot open a payload of this party's, since its key card is of no use; `payload` is in words."""

    payload: str
    recipient: Address
    reason: str


class Journal:
    """What every daemon keeps, whatever else it journals."""

    def __init__(self, path: Path, schema: str, *, version: int) -> None:
        self._db = _open(path, _SCHEMA + schema, version)

    def close(self) -> None:
        self._db.close()

    def record_declined(self, job: JobId, reason: str) -> None:
        self._db.execute("INSERT OR REPLACE INTO declined VALUES (?, ?)", (job, reason))

    def declined(self, job: JobId) -> str | None:
        """Why this party does not take part in a job, or `None` if nothing speaks against it."""
        row = self._db.execute("SELECT reason FROM declined WHERE job = ?", (job,)).fetchone()
        return str(row[0]) if row else None

    def forget_declined(self) -> None:
        """Looks at every job anew. For the start of a daemon: its operator may have mended what a reason named."""
        self._db.execute("DELETE FROM declined")

    def record_locked_out(self, job: JobId, one: LockedOut) -> bool:
        """Keeps who cannot open a payload; `False` if it was known already."""
        row = (job, one.payload, one.recipient, one.reason)
        return self._db.execute("INSERT OR IGNORE INTO locked_out VALUES (?, ?, ?, ?)", row).rowcount == 1

    def locked_out(self, job: JobId) -> list[LockedOut]:
        """All who were locked out in a job, oldest first."""
        query = "SELECT payload, recipient, reason FROM locked_out WHERE job = ? ORDER BY rowid"
        return [LockedOut(payload=p, recipient=Address(r), reason=w) for p, r, w in self._db.execute(query, (job,))]


def _open(path: Path, schema: str, version: int) -> sqlite3.Connection:
    """Opens (or creates) a journal. Each statement commits by itself; a write is on disk when it returns.

    Raises:
        ConfigurationError: the folder is missing, or the file is no journal of this version.
    """
    if not path.parent.is_dir():
        raise ConfigurationError(f"journal: the folder {path.parent} does not exist; create it")
    try:
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        found = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if found not in (0, version):
            raise ConfigurationError(f"journal: {path} has version {found}, this software writes {version}")
        connection.executescript(schema)
        connection.execute(f"PRAGMA user_version = {version}")
    except sqlite3.DatabaseError as exc:
        raise ConfigurationError(f"journal: {path} cannot be opened ({exc}); mend or remove it") from exc
    return connection
