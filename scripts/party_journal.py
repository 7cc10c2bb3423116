"""What a party's journal remarks about its jobs, read beside the daemon that writes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

from aggregator.config import AggregatorConfig
from aggregator.journal import AggregatorJournal, LeftOut, StoredPayload
from domicile.errors import ConfigurationError, DiskFault
from domicile.types import JobId
from node.config import NodeConfig
from node.journal import NodeJournal, SealedUpdate
from scripts.wording import spaced

NUM_REMARKS = 3
"""Of each kind and job; the newest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Remarks:
    """About one job. `stays_out`: why this party does not take part, or `None` if nothing speaks against it."""

    stays_out: str | None
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Diary:
    """`problem`: why the journal tells nothing, or `None` if it does."""

    remarks: dict[JobId, Remarks]
    problem: str | None


def read_journal(config: NodeConfig | AggregatorConfig, jobs: Iterable[JobId]) -> Diary:
    """Makes no journal where there is none. One that is damaged keeps nobody from hearing what the chain says."""
    if not config.journal.exists():
        return Diary(remarks={}, problem="there is none yet, its daemon makes it")
    try:
        if isinstance(config, NodeConfig):
            with closing(NodeJournal(config.journal)) as of_node:
                remarks = {job: _of_node(of_node, job) for job in jobs}
        else:
            with closing(AggregatorJournal(config.journal)) as of_member:
                remarks = {job: _of_member(of_member, job) for job in jobs}
    except (ConfigurationError, DiskFault) as exc:
        return Diary(remarks={}, problem=f"{exc}")
    return Diary(remarks=remarks, problem=None)


def _of_node(journal: NodeJournal, job: JobId) -> Remarks:
    """People count rounds from 1."""
    notes = [f"last trained: round {_round(update)}" for update in journal.updates(job)[-1:]]
    notes += [
        f"gave up to {skipped.act} in round {skipped.global_round + 1}: {skipped.reason}"
        for skipped in journal.skipped(job)[-NUM_REMARKS:]
    ]
    notes += [f"refused by the contract, {action}: {reason}" for action, reason in journal.refusals(job)[-NUM_REMARKS:]]
    stays_out = "left by hand" if journal.has_left(job) else journal.declined(job)
    return Remarks(stays_out=stays_out, notes=(*notes, *_locked_out(journal, job)))


def _of_member(journal: AggregatorJournal, job: JobId) -> Remarks:
    notes = [f"last sealed: {payload.kind} model of round {_round(payload)}" for payload in journal.payloads(job)[-1:]]
    notes += [
        f"left out in round {_round(left_out)}: {left_out.subject} ({spaced(left_out.reason)})"
        for left_out in journal.left_out(job)[-NUM_REMARKS:]
    ]
    return Remarks(stays_out=journal.declined(job), notes=(*notes, *_locked_out(journal, job)))


def _round(of: SealedUpdate | StoredPayload | LeftOut) -> str:
    return f"{of.global_round + 1}.{of.regional_round + 1}"


def _locked_out(journal: NodeJournal | AggregatorJournal, job: JobId) -> Iterator[str]:
    for one in journal.locked_out(job)[-NUM_REMARKS:]:
        yield f"{one.recipient} cannot open the {one.payload}: {one.reason}"
