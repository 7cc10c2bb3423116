"""Replaying a record: pure, from events alone."""

from __future__ import annotations

from dataclasses import dataclass

from domicile.chain import events as ev
from domicile.errors import LineageError
from domicile.lineage.ancestry import Ancestry
from domicile.lineage.job import JobReplay
from domicile.lineage.ledger import LedgerReplay
from domicile.lineage.record import Record, place_of
from domicile.lineage.registry import follow_registry
from domicile.lineage.verdict import Findings
from domicile.protocol.budget import PrivacyLedger
from domicile.protocol.job import Job
from domicile.protocol.registry import Registry


@dataclass(frozen=True, kw_only=True, slots=True)
class Replayed:
    """Where the record leads; `job` is `None` if it breaks off before its end."""

    registry: Registry
    ledger: PrivacyLedger
    job: Job | None
    ancestry: Ancestry


def replay(record: Record, findings: Findings) -> Replayed:
    """Follows every event; where one cannot follow those before it, the replay ends and that place is a problem.

    What comes after such a place would be judged by a state that never was, so it is not judged at all.
    """
    registry = Registry()
    ledger_replay, job_replay = LedgerReplay(), JobReplay(record)
    job: Job | None = None
    before = (-1, -1)
    try:
        for event in record.events:
            if (event.block, event.log_index) <= before:
                raise LineageError(f"{place_of(event, ())}: not in the chain's order")
            before = (event.block, event.log_index)
            now_s = record.times_s[event.block]
            if isinstance(event, ev.JobEvent) and event.job == record.job:
                job_replay.follow(event, registry, ledger_replay.ledger, now_s)
            ledger_replay.follow(event, now_s)
            if not isinstance(event, ev.JobEvent):
                registry = follow_registry(registry, event, now_s)
            findings.check(True, "")
        job = job_replay.job
    except LineageError as exc:
        findings.check(False, f"{exc}; what comes after was not replayed")
    findings.include(job_replay.findings)
    return Replayed(registry=registry, ledger=ledger_replay.ledger, job=job, ancestry=job_replay.ancestry)
