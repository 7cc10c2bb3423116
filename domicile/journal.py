"""The base of the daemons' journals: SQLite that survives a kill at any instant."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from domicile.errors import ConfigurationError


def open_journal(path: Path, schema: str, version: int) -> sqlite3.Connection:
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
