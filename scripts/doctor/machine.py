"""The machine: room on its disks, the journal, and the port for metrics."""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from aggregator.journal import VERSION as AGGREGATOR_VERSION
from domicile.errors import ChainFault, ConfigurationError, PeerError, StoreFault
from domicile.journal import other_deployment
from node.journal import VERSION as NODE_VERSION
from scripts.doctor.case import Case, OwnJob
from scripts.doctor.finding import Finding, ok, problem, warning
from scripts.doctor.stores import folder_of

RESERVE_BYTES = 256 << 20
"""For the journal, logs, and whatever else writes to the disk."""

BYTES_A_PARAMETER = 4
MODELS_A_ROUND = 3
"""Beside an update of each member: the regional model, its export, and the global model."""

HTTP_TIMEOUT_S = 5.0


def disk(case: Case) -> Iterator[Finding]:
    """Whether there is room for so many rounds of payloads, and for the journal."""
    of_jobs = max((_round_bytes(case, own) for own in case.own_jobs), default=0)
    yield from _room(case, of_jobs or _largest_round_bytes(case), "are needed")


def disk_without_jobs(case: Case) -> Iterator[Finding]:
    """The same where the account's jobs cannot be looked at: their models come on top."""
    yield from _room(case, _largest_round_bytes(case), "are needed, running jobs apart,")


def _room(case: Case, round_bytes: int, needs: str) -> Iterator[Finding]:
    needed = {case.config.journal.absolute().parent: RESERVE_BYTES}
    for location in (case.config.stores.region, case.config.stores.border):
        folder = None if location is None else folder_of(location)
        if folder is not None:
            needed[folder] = RESERVE_BYTES + case.disk_rounds * round_bytes
    for folder, wanted in needed.items():
        free = case.free_bytes(folder)
        if free < wanted:
            yield problem(
                f"{folder}: {_mib(free)} MiB are free, {_mib(wanted)} MiB {needs} for {case.disk_rounds} rounds; "
                "free some space"
            )
        else:
            yield ok(f"{folder}: {_mib(free)} MiB are free, {_mib(wanted)} MiB {needs} for {case.disk_rounds} rounds")


def _largest_round_bytes(case: Case) -> int:
    """A round of the largest model that is taken on, as far as the configuration says."""
    return BYTES_A_PARAMETER * (case.config.limits.max_parameters or 0) * (1 + MODELS_A_ROUND)


def _round_bytes(case: Case, own: OwnJob) -> int:
    """Bytes that one round of a job leaves in the stores at most; 0 where its model cannot be looked at."""
    from domicile.exchange import fetch_layout

    try:
        layout = fetch_layout(case.border, case.spec(own))
    except (PeerError, StoreFault):
        return 0
    members = max((len(own.history.members_of(shard)) for shard in own.shards), default=1)
    return layout.file_bytes_max * (members + MODELS_A_ROUND)


def _mib(num_bytes: int) -> str:
    return f"{-(-num_bytes >> 20):,}"


def journal(case: Case) -> Iterator[Finding]:
    """Whether the journal can be opened, and is of this version and this deployment."""
    path = case.config.journal
    version = NODE_VERSION if case.role == "node" else AGGREGATOR_VERSION
    if not path.parent.is_dir():
        yield problem(f"the folder {path.parent} does not exist; create it")
    elif not os.access(path if path.exists() else path.parent, os.R_OK | os.W_OK):
        yield problem(f"{path} cannot be written by this user; run the doctor as the user who runs the daemon")
    elif not path.exists():
        yield ok(f"{path} will be made at the first start")
    else:
        with contextlib.closing(open_read_only(path)) as connection:
            try:
                found = int(connection.execute("PRAGMA user_version").fetchone()[0])
                connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
                owner = _deployment_in(connection) if found == version else None
            except sqlite3.DatabaseError as exc:
                yield problem(f"{path} cannot be read ({exc}); restore it from a copy, or move it away")
                return
        wanted = None if owner is None else _deployment_of(case)
        if owner is not None and wanted is not None and owner != wanted:
            yield problem(f"{path} {other_deployment(owner, wanted)}")
        elif found in (0, version):
            yield ok(f"{path}, of version {version}")
        else:
            yield problem(
                f"{path} has version {found}, this software writes {version}; run the version of Domicile that wrote it"
            )


def _deployment_in(connection: sqlite3.Connection) -> str | None:
    """Which deployment a journal belongs to; `None` before its daemon's first start."""
    row = connection.execute("SELECT identity FROM deployment").fetchone()
    return None if row is None else str(row[0])


def _deployment_of(case: Case) -> str | None:
    """This party's deployment; `None` where another check tells why it cannot be known."""
    try:
        case.deployment.check(case.chain)
        return case.deployment.identity(case.chain)
    except (ConfigurationError, ChainFault):
        return None


def open_read_only(path: Path) -> sqlite3.Connection:
    """A journal as it stands. One that nobody has open is read as an unchanging file, since SQLite would make files
    beside it.
    """
    log = path.with_name(path.name + "-wal")
    mode = "mode=ro" if log.exists() else "mode=ro&immutable=1"
    return sqlite3.connect(f"{path.absolute().as_uri()}?{mode}", uri=True, isolation_level=None)


def metrics_port(case: Case) -> Iterator[Finding]:
    """Whether the port is free, or this party's daemon listens there already."""
    host, port = case.config.metrics.host, case.config.metrics.port
    if port is None:
        yield ok("none is asked for")
        return
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
            # As the daemon will do it: what lingers of closed connections is no hindrance.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as exc:
        if _serves_figures(host, port, case.config.name):
            yield ok(f"{host}:{port} serves the figures of this party's daemon")
        else:
            yield problem(f"{host}:{port} cannot be listened on ({exc.strerror}); choose another metrics.port")
        return
    yield (
        ok(f"{host}:{port} is free")
        if host in ("127.0.0.1", "::1", "localhost")
        else warning(f"{host}:{port} is free, but other machines may read it; keep it behind a firewall")
    )


def _serves_figures(host: str, port: int, party: str) -> bool:
    named = f"[{host}]" if ":" in host else host
    # No proxy stands between this machine and itself.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"http://{named}:{port}/metrics", timeout=HTTP_TIMEOUT_S) as answer:
            text = answer.read(1 << 20).decode(errors="replace")
    except (OSError, ValueError):
        return False
    return any(line.startswith("domicile_build_info{") and f'party="{party}"' in line for line in text.splitlines())
