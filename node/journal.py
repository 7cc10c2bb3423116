"""What a node has done: so that nothing is trained twice and nothing committed that was not sealed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from domicile.errors import PeerError
from domicile.journal import Journal
from domicile.types import Digest, JobId

VERSION = 6
_SCHEMA = """
CREATE TABLE IF NOT EXISTS memberships (job INTEGER PRIMARY KEY, global_round INTEGER, regional_round INTEGER);
CREATE TABLE IF NOT EXISTS left_by_hand (job INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS updates (
    job INTEGER, global_round INTEGER, regional_round INTEGER,
    digest BLOB NOT NULL, num_steps INTEGER NOT NULL, sealed_bytes INTEGER NOT NULL, pinned INTEGER NOT NULL DEFAULT 1,
    sample_rate REAL, noise_multiplier REAL,
    PRIMARY KEY (job, global_round, regional_round));
CREATE TABLE IF NOT EXISTS answers (
    job INTEGER, global_round INTEGER, regional_round INTEGER,
    survivors BLOB NOT NULL, digest BLOB NOT NULL, pinned INTEGER NOT NULL DEFAULT 1,
    PRIMARY KEY (job, global_round, regional_round));
CREATE TABLE IF NOT EXISTS evaluations (
    job INTEGER, global_round INTEGER, metrics TEXT NOT NULL, num_test INTEGER NOT NULL,
    PRIMARY KEY (job, global_round));
CREATE TABLE IF NOT EXISTS refusals (
    job INTEGER, action TEXT, reason TEXT, PRIMARY KEY (job, action, reason));
CREATE TABLE IF NOT EXISTS skipped (
    job INTEGER, act TEXT, global_round INTEGER, regional_round INTEGER, reason TEXT NOT NULL,
    PRIMARY KEY (job, act, global_round, regional_round));
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class SealedUpdate:
    """An update that was sealed here; `num_steps` is 0 where the journal that knew it was lost.

    `sample_rate`, `noise_multiplier`: by which its steps were private, so that what they cost does not depend on what
    rows lie here later; both are `None` where the job asks for no privacy, and where the journal was lost. The rate
    alone is `None` where the job asks for privacy of nodes: the update is one part of one sum.
    """

    global_round: int
    regional_round: int
    digest: Digest
    num_steps: int
    sealed_bytes: int
    sample_rate: float | None = None
    noise_multiplier: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SealedAnswer:
    """This node's shares for the survivors of one masked round. `survivors` is the digest of that set (`Agreed`):
    shares for two sets of one round would unmask single updates, so that there is never a second one.
    """

    global_round: int
    regional_round: int
    survivors: bytes
    digest: Digest


class AnotherSet(PeerError):
    """A round's survivors are not those that this node answered to."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Evaluation:
    """Figures of one global model on this node's held-out part. They never leave the node by themselves."""

    global_round: int
    metrics: dict[str, float]
    num_test: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Skipped:
    """An act that this node gave up in one round, and why; `regional_round` is -1 for an evaluation.

    `act` is ``evaluate``, ``train``, ``store`` for an update that was lost before it was committed, or ``answer`` where
    the node does not help to unmask the round.
    """

    act: str
    global_round: int
    regional_round: int
    reason: str


class NodeJournal(Journal):
    """SQLite file of one node."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, _SCHEMA, version=VERSION)

    def record_membership(self, job: JobId) -> None:
        """Before the node asks for membership: a member whose journal does not know of it has lost its journal."""
        self._write("INSERT OR IGNORE INTO memberships VALUES (?, NULL, NULL)", (job,))

    def record_recovered(self, job: JobId, global_round: int, regional_round: int) -> None:
        """Goes on as a member with a journal that was lost; what was done in this round nobody can tell."""
        self._write("INSERT OR IGNORE INTO memberships VALUES (?, ?, ?)", (job, global_round, regional_round))

    def knows_membership(self, job: JobId) -> bool:
        return bool(self._read("SELECT 1 FROM memberships WHERE job = ?", (job,)))

    def recovered_in(self, job: JobId) -> tuple[int, int] | None:
        """Global and regional round in which a lost journal was rebuilt; the last life may have acted up to it."""
        rows = self._read("SELECT global_round, regional_round FROM memberships WHERE job = ?", (job,))
        return (rows[0][0], rows[0][1]) if rows and rows[0][0] is not None else None

    def record_left(self, job: JobId) -> bool:
        """The operator takes the node out of a job, which it then never joins by itself; `False` if that was known."""
        return self._write("INSERT OR IGNORE INTO left_by_hand VALUES (?)", (job,)) == 1

    def forget_left(self, job: JobId) -> bool:
        """The operator wants the node in a job again; `False` if nothing was known to the contrary."""
        return self._write("DELETE FROM left_by_hand WHERE job = ?", (job,)) == 1

    def has_left(self, job: JobId) -> bool:
        return bool(self._read("SELECT 1 FROM left_by_hand WHERE job = ?", (job,)))

    def record_update(self, job: JobId, update: SealedUpdate) -> None:
        self._write(
            "INSERT INTO updates VALUES (?, ?, ?, ?, ?, ?, 1, ?, ?)",
            (
                *(job, update.global_round, update.regional_round),
                *(update.digest, update.num_steps, update.sealed_bytes),
                *(update.sample_rate, update.noise_multiplier),
            ),
        )

    def update(self, job: JobId, global_round: int, regional_round: int) -> SealedUpdate | None:
        """The sealed update of one round, if there is one."""
        rows = self._updates("job = ? AND global_round = ? AND regional_round = ?", (job, global_round, regional_round))
        return rows[0] if rows else None

    def updates(self, job: JobId) -> list[SealedUpdate]:
        """All updates of a job, oldest first."""
        return self._updates("job = ?", (job,))

    def record_answer(self, job: JobId, answer: SealedAnswer) -> None:
        """Before the answer leaves this node.

        Raises:
            AnotherSet: there is one for another set of survivors, or in other words for the same.
        """
        row = (job, answer.global_round, answer.regional_round, answer.survivors, answer.digest)
        self._write("INSERT OR IGNORE INTO answers VALUES (?, ?, ?, ?, ?, 1)", row)
        if self.answer(job, answer.global_round, answer.regional_round) != answer:
            raise AnotherSet(
                f"round {answer.global_round}.{answer.regional_round} of job {job}: this node answered to its "
                "survivors already, and never answers twice; ask the shard's committee what became of the round"
            )

    def answer(self, job: JobId, global_round: int, regional_round: int) -> SealedAnswer | None:
        """What this node answered in one round, if it did."""
        rows = self._answers("job = ? AND global_round = ? AND regional_round = ?", (job, global_round, regional_round))
        return rows[0] if rows else None

    def answers(self, job: JobId) -> list[SealedAnswer]:
        """All answers of a job, oldest first."""
        return self._answers("job = ?", (job,))

    def pinned_answers(self, job: JobId) -> list[SealedAnswer]:
        """Those that are still kept in the region store."""
        return self._answers("job = ? AND pinned", (job,))

    def record_answer_unpinned(self, job: JobId, answer: SealedAnswer) -> None:
        self._write(
            "UPDATE answers SET pinned = 0 WHERE job = ? AND global_round = ? AND regional_round = ?",
            (job, answer.global_round, answer.regional_round),
        )

    def sealed_digests(self) -> set[Digest]:
        """Digests of all updates and answers of all jobs."""
        return {Digest(row[0]) for row in self._read("SELECT digest FROM updates UNION SELECT digest FROM answers")}

    def pinned_updates(self, job: JobId) -> list[SealedUpdate]:
        """Those that are still kept in the region store."""
        return self._updates("job = ? AND pinned", (job,))

    def record_unpinned(self, job: JobId, update: SealedUpdate) -> None:
        self._write(
            "UPDATE updates SET pinned = 0 WHERE job = ? AND global_round = ? AND regional_round = ?",
            (job, update.global_round, update.regional_round),
        )

    def record_evaluation(self, job: JobId, global_round: int, metrics: Mapping[str, float], num_test: int) -> None:
        self._write(
            "INSERT OR REPLACE INTO evaluations VALUES (?, ?, ?, ?)",
            (job, global_round, json.dumps(dict(metrics)), num_test),
        )

    def evaluations(self, job: JobId) -> list[Evaluation]:
        """Figures of all evaluated global models, oldest first."""
        rows = self._read(
            "SELECT global_round, metrics, num_test FROM evaluations WHERE job = ? ORDER BY global_round", (job,)
        )
        return [Evaluation(global_round=r, metrics=json.loads(m), num_test=n) for r, m, n in rows]

    def record_refusal(self, job: JobId, action: str, reason: str) -> bool:
        """Keeps a refusal; `False` if it was known already."""
        return self._write("INSERT OR IGNORE INTO refusals VALUES (?, ?, ?)", (job, action, reason)) == 1

    def refusals(self, job: JobId) -> list[tuple[str, str]]:
        """``(action, reason)``, oldest first."""
        rows = self._read("SELECT action, reason FROM refusals WHERE job = ? ORDER BY rowid", (job,))
        return [(action, reason) for action, reason in rows]

    def record_skipped(self, job: JobId, one: Skipped) -> None:
        row = (job, one.act, one.global_round, one.regional_round, one.reason)
        self._write("INSERT OR REPLACE INTO skipped VALUES (?, ?, ?, ?, ?)", row)

    def skipped(self, job: JobId) -> list[Skipped]:
        """All that was given up in a job, oldest first."""
        rows = self._read(
            "SELECT act, global_round, regional_round, reason FROM skipped WHERE job = ? ORDER BY rowid", (job,)
        )
        return [Skipped(act=a, global_round=g, regional_round=r, reason=w) for a, g, r, w in rows]

    def _answers(self, where: str, arguments: tuple[int, ...]) -> list[SealedAnswer]:
        rows = self._read(
            f"SELECT global_round, regional_round, survivors, digest FROM answers WHERE {where} "  # noqa: S608
            "ORDER BY global_round, regional_round",
            arguments,
        )
        return [SealedAnswer(global_round=g, regional_round=r, survivors=s, digest=Digest(d)) for g, r, s, d in rows]

    def _updates(self, where: str, arguments: tuple[int, ...]) -> list[SealedUpdate]:
        rows = self._read(
            "SELECT global_round, regional_round, digest, num_steps, sealed_bytes, sample_rate, noise_multiplier "  # noqa: S608
            f"FROM updates WHERE {where} ORDER BY global_round, regional_round",
            arguments,
        )
        return [
            SealedUpdate(
                global_round=g,
                regional_round=r,
                digest=Digest(d),
                num_steps=s,
                sealed_bytes=b,
                sample_rate=q,
                noise_multiplier=n,
            )
            for g, r, d, s, b, q, n in rows
        ]
