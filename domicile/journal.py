"""The base of the daemons' journals: SQLite that survives a kill at any instant."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domicile.errors import ConfigurationError, DiskFault
from domicile.types import Address, JobId

_SCHEMA = """
CREATE TABLE IF NOT EXISTS deployment (only_row INTEGER PRIMARY KEY CHECK (only_row = 1), identity TEXT NOT NULL);
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


_REPEATABLE = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,  # The log that a write needs could not be made.
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
    }
)
_MENDS = {
    sqlite3.SQLITE_CORRUPT: "move it away: a new one is built from chain and store, and a node sits the round out",
    sqlite3.SQLITE_NOTADB: "move it away: a new one is built from chain and store, and a node sits the round out",
    sqlite3.SQLITE_READONLY: "give this account the right to write it, or bring it back to its place",
}


class Journal:
    """What every daemon keeps, whatever else it journals.

    A statement that fails changes nothing; `path` names the file in errors.
    """

    def __init__(self, path: Path, schema: str, *, version: int) -> None:
        self.path = path
        self._db = _open(path, _SCHEMA + schema, version)

    def close(self) -> None:
        self._db.close()

    def bind(self, deployment: str) -> None:
        """Keeps which deployment the jobs are of, whose numbers every deployment counts from 1. Before anything is done
        by what the journal holds.

        Raises:
            ConfigurationError: it belongs to another one.
        """
        self._write("INSERT OR IGNORE INTO deployment VALUES (1, ?)", (deployment,))
        self.check_deployment(deployment)

    def check_deployment(self, deployment: str) -> None:
        """The same, writing nothing: a journal that is new belongs to none yet."""
        rows = self._read("SELECT identity FROM deployment")
        if rows and rows[0][0] != deployment:
            raise ConfigurationError(f"journal: {self.path} {other_deployment(str(rows[0][0]), deployment)}")

    def record_declined(self, job: JobId, reason: str) -> None:
        self._write("INSERT OR REPLACE INTO declined VALUES (?, ?)", (job, reason))

    def declined(self, job: JobId) -> str | None:
        """Why this party does not take part in a job, or `None` if nothing speaks against it."""
        rows = self._read("SELECT reason FROM declined WHERE job = ?", (job,))
        return str(rows[0][0]) if rows else None

    def forget_declined(self) -> None:
        """Looks at every job anew. For the start of a daemon: its operator may have mended what a reason named."""
        self._write("DELETE FROM declined")

    def record_locked_out(self, job: JobId, one: LockedOut) -> bool:
        """Keeps who cannot open a payload; `False` if it was known already."""
        row = (job, one.payload, one.recipient, one.reason)
        return self._write("INSERT OR IGNORE INTO locked_out VALUES (?, ?, ?, ?)", row) == 1

    def locked_out(self, job: JobId) -> list[LockedOut]:
        """All who were locked out in a job, oldest first."""
        query = "SELECT payload, recipient, reason FROM locked_out WHERE job = ? ORDER BY rowid"
        return [LockedOut(payload=p, recipient=Address(r), reason=w) for p, r, w in self._read(query, (job,))]

    def _write(self, statement: str, arguments: Sequence[Any] = ()) -> int:
        """Runs one statement, which is on disk when this returns; how many rows it changed."""
        with _translated(self.path):
            return self._db.execute(statement, arguments).rowcount

    def _read(self, query: str, arguments: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with _translated(self.path):
            return self._db.execute(query, arguments).fetchall()


def other_deployment(found: str, wanted: str) -> str:
    """What is wrong with a journal of another deployment, and the mend."""
    return (
        f"belongs to another deployment, {found}, and not to {wanted}; move it away (a new one is made), or name its "
        "deployment in chain.deployment"
    )


@contextmanager
def _translated(path: Path) -> Iterator[None]:
    """Raises:
    DiskFault: there is no room, or the disk fails; ConfigurationError: the file is no journal, or damaged.
    """
    try:
        yield
    except sqlite3.DatabaseError as exc:
        code = getattr(exc, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in _REPEATABLE:
            raise DiskFault(f"journal: {path} cannot be written ({exc}); make room for it, it is tried again") from exc
        if code in _MENDS:
            raise ConfigurationError(f"journal: {path} cannot be used ({exc}); {_MENDS[code]}") from exc
        raise


def _open(path: Path, schema: str, version: int) -> sqlite3.Connection:
    """Opens (or creates) a journal. Each statement commits by itself; a write is on disk when it returns.

    Raises:
        ConfigurationError: the folder is missing, or the file is no journal of this version.
        DiskFault: there is no room for it.
    """
    if not path.parent.is_dir():
        raise ConfigurationError(f"journal: the folder {path.parent} does not exist; create it")
    if path.exists() and not path.is_file():
        raise ConfigurationError(f"journal: {path} is no file; name another one")
    with _translated(path):
        connection = sqlite3.connect(path, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        found = int(connection.execute("PRAGMA user_version").fetchone()[0])
        if found not in (0, version):
            raise ConfigurationError(
                f"journal: {path} has version {found}, this software writes {version}; end its jobs with the software "
                "that wrote it, or move it away: a new one is built from chain and store, and a node sits the round "
                "out"
            )
        if not found:
            connection.executescript(f"BEGIN IMMEDIATE; {schema} PRAGMA user_version = {version}; COMMIT;")
    return connection
