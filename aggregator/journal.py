"""What a committee member has derived, proposed and stored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from domicile.journal import Journal
from domicile.types import Digest, JobId

GLOBAL = -1
"""Stands for *the global committee* where a shard's index is stored."""

VERSION = 3
_SCHEMA = """
CREATE TABLE IF NOT EXISTS payloads (
    job INTEGER, shard INTEGER, global_round INTEGER, regional_round INTEGER, kind TEXT,
    model BLOB NOT NULL, digest BLOB NOT NULL, sealed_bytes INTEGER NOT NULL,
    pinned INTEGER NOT NULL DEFAULT 1, settled INTEGER NOT NULL, PRIMARY KEY (job, digest));
CREATE TABLE IF NOT EXISTS exclusions (
    job INTEGER, shard INTEGER, global_round INTEGER, regional_round INTEGER, subject TEXT, reason TEXT, detail TEXT,
    PRIMARY KEY (job, shard, global_round, regional_round, subject));
CREATE TABLE IF NOT EXISTS unmerged (
    job INTEGER, shard INTEGER, global_round INTEGER, regional_round INTEGER, reason TEXT,
    PRIMARY KEY (job, shard, global_round, regional_round));
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredPayload:
    """A sealed model that this member puts into a store. It is journaled before, and `settled` when nobody is
    to read it any more: until then, the outbox holds it too.
    """

    shard: int
    global_round: int
    regional_round: int
    kind: str
    model: Digest
    digest: Digest
    sealed_bytes: int
    settled: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """Why this member left an update (or a reported model) out of a merge; `detail` is for people."""

    shard: int
    global_round: int
    regional_round: int
    subject: str
    reason: str
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Unmerged:
    """Why this member makes no model of a round, for people."""

    shard: int
    global_round: int
    regional_round: int
    reason: str


class AggregatorJournal(Journal):
    """SQLite file of one committee member."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _SCHEMA, version=VERSION)

    def record_payload(self, job: JobId, payload: StoredPayload) -> None:
        self._write(
            "INSERT INTO payloads VALUES (?, ?, ?, ?, ?, ?, ?, ?, 1, ?)",
            (
                job,
                payload.shard,
                payload.global_round,
                payload.regional_round,
                payload.kind,
                payload.model,
                payload.digest,
                payload.sealed_bytes,
                payload.settled,
            ),
        )

    def payload(
        self, job: JobId, shard: int, global_round: int, regional_round: int, kind: str, model: Digest
    ) -> StoredPayload | None:
        """What this member has sealed of a model in one round, if anything."""
        where = (
            "job = ? AND shard = ? AND global_round = ? AND regional_round = ? AND kind = ? AND model = ? AND pinned"
        )
        rows = self._payloads(where, (job, shard, global_round, regional_round, kind, model))
        return rows[0] if rows else None

    def payloads(self, job: JobId) -> list[StoredPayload]:
        """Everything that this member sealed for a job, oldest first."""
        return self._payloads("job = ?", (job,))

    def pinned_payloads(self, job: JobId) -> list[StoredPayload]:
        """What is still kept in the stores."""
        return self._payloads("job = ? AND pinned", (job,))

    def unsettled_payloads(self, job: JobId) -> list[StoredPayload]:
        """What the outbox holds."""
        return self._payloads("job = ? AND NOT settled", (job,))

    def unsettled_digests(self) -> set[Digest]:
        """The same, of all jobs."""
        return {Digest(row[0]) for row in self._read("SELECT digest FROM payloads WHERE NOT settled")}

    def record_settled(self, job: JobId, payload: StoredPayload) -> None:
        self._write("UPDATE payloads SET settled = 1 WHERE job = ? AND digest = ?", (job, payload.digest))

    def record_unpinned(self, job: JobId, payload: StoredPayload) -> None:
        self._write("UPDATE payloads SET pinned = 0 WHERE job = ? AND digest = ?", (job, payload.digest))

    def record_left_out(self, job: JobId, left_out: LeftOut) -> None:
        self._write(
            "INSERT OR REPLACE INTO exclusions VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                job,
                left_out.shard,
                left_out.global_round,
                left_out.regional_round,
                left_out.subject,
                left_out.reason,
                left_out.detail,
            ),
        )

    def forget_left_out(self, job: JobId, shard: int, global_round: int, regional_round: int) -> None:
        """Makes room for what a newer merge of the same round leaves out."""
        self._write(
            "DELETE FROM exclusions WHERE job = ? AND shard = ? AND global_round = ? AND regional_round = ?",
            (job, shard, global_round, regional_round),
        )

    def left_out(self, job: JobId) -> list[LeftOut]:
        """All that this member left out in a job, oldest first."""
        rows = self._read(
            "SELECT shard, global_round, regional_round, subject, reason, detail FROM exclusions WHERE job = ? "
            "ORDER BY rowid",
            (job,),
        )
        return [
            LeftOut(shard=s, global_round=g, regional_round=r, subject=a, reason=w, detail=d)
            for s, g, r, a, w, d in rows
        ]

    def record_unmerged(self, job: JobId, one: Unmerged) -> None:
        self._write(
            "INSERT OR REPLACE INTO unmerged VALUES (?, ?, ?, ?, ?)",
            (job, one.shard, one.global_round, one.regional_round, one.reason),
        )

    def forget_unmerged(self, job: JobId, shard: int, global_round: int, regional_round: int) -> None:
        """A newer look at the round made a model of it."""
        self._write(
            "DELETE FROM unmerged WHERE job = ? AND shard = ? AND global_round = ? AND regional_round = ?",
            (job, shard, global_round, regional_round),
        )

    def unmerged(self, job: JobId) -> list[Unmerged]:
        """All rounds of a job of which this member made no model, oldest first."""
        rows = self._read(
            "SELECT shard, global_round, regional_round, reason FROM unmerged WHERE job = ? ORDER BY rowid", (job,)
        )
        return [Unmerged(shard=s, global_round=g, regional_round=r, reason=w) for s, g, r, w in rows]

    def _payloads(self, where: str, arguments: tuple[int | str | bytes, ...]) -> list[StoredPayload]:
        rows = self._read(
            "SELECT shard, global_round, regional_round, kind, model, digest, sealed_bytes, settled "  # noqa: S608
            f"FROM payloads WHERE {where} ORDER BY global_round, regional_round, rowid",
            arguments,
        )
        return [
            StoredPayload(
                shard=s,
                global_round=g,
                regional_round=r,
                kind=k,
                model=Digest(m),
                digest=Digest(d),
                sealed_bytes=b,
                settled=bool(e),
            )
            for s, g, r, k, m, d, b, e in rows
        ]
