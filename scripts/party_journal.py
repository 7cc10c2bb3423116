"""What a party's journal remarks about its jobs, read beside the daemon that writes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass

from aggregator.config import AggregatorConfig
from aggregator.journal import GLOBAL, AggregatorJournal, LeftOut, StoredPayload, Unmerged
from domicile.errors import ConfigurationError, DiskFault
from domicile.types import JobId
from node.config import NodeConfig
from node.journal import NodeJournal
from scripts.wording import spaced

NUM_REMARKS = 3
"""Of each kind and job; the newest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Remarks:
    """About one job. `stays_out`: why this party does not take part, or `None` if nothing speaks against it. `sealed`
    and `given_up`: global and regional rounds whose update a node has sealed, or will not make any more.
    """

    stays_out: str | None
    notes: tuple[str, ...]
    sealed: frozenset[tuple[int, int]] = frozenset()
    given_up: frozenset[tuple[int, int]] = frozenset()


SILENT = Remarks(stays_out=None, notes=())


@dataclass(frozen=True, kw_only=True, slots=True)
class Diary:
    """`problem`: why the journal tells nothing, or `None` if it does."""

    remarks: dict[JobId, Remarks]
    problem: str | None


def read_journal(config: NodeConfig | AggregatorConfig, deployment: str, jobs: Iterable[JobId]) -> Diary:
    """Makes no journal where there is none. One that is damaged, or of another deployment, keeps nobody from hearing
    what the chain says.
    """
    if not config.journal.exists():
        return Diary(remarks={}, problem="there is none yet, its daemon makes it")
    try:
        if isinstance(config, NodeConfig):
            with closing(NodeJournal(config.journal)) as of_node:
                of_node.check_deployment(deployment)
                remarks = {job: _of_node(of_node, job) for job in jobs}
        else:
            with closing(AggregatorJournal(config.journal)) as of_member:
                of_member.check_deployment(deployment)
                remarks = {job: _of_member(of_member, job) for job in jobs}
    except (ConfigurationError, DiskFault) as exc:
        return Diary(remarks={}, problem=f"{exc}")
    return Diary(remarks=remarks, problem=None)


def _of_node(journal: NodeJournal, job: JobId) -> Remarks:
    """People count rounds from 1."""
    updates, skipped = journal.updates(job), journal.skipped(job)
    notes = [f"last trained: round {_round(one.global_round, one.regional_round)}" for one in updates[-1:]]
    notes += [f"last measured: global model of round {one.global_round + 1}" for one in journal.evaluations(job)[-1:]]
    notes += [
        f"gave up to {one.act} in round {_round(one.global_round, one.regional_round)}: {one.reason}"
        for one in skipped[-NUM_REMARKS:]
    ]
    notes += [f"refused by the contract, {action}: {reason}" for action, reason in journal.refusals(job)[-NUM_REMARKS:]]
    return Remarks(
        stays_out="left by hand" if journal.has_left(job) else journal.declined(job),
        notes=(*notes, *_locked_out(journal, job)),
        sealed=frozenset((one.global_round, one.regional_round) for one in updates),
        given_up=frozenset((one.global_round, one.regional_round) for one in skipped),
    )


def _of_member(journal: AggregatorJournal, job: JobId) -> Remarks:
    notes = [f"last sealed: {one.kind} model of round {_round_of(one)}" for one in journal.payloads(job)[-1:]]
    notes += [
        f"left out in round {_round_of(left_out)}: {left_out.subject} ({spaced(left_out.reason)})"
        for left_out in journal.left_out(job)[-NUM_REMARKS:]
    ]
    notes += [f"no model of round {_round_of(one)}: {one.reason}" for one in journal.unmerged(job)[-NUM_REMARKS:]]
    return Remarks(stays_out=journal.declined(job), notes=(*notes, *_locked_out(journal, job)))


def _round_of(one: StoredPayload | LeftOut | Unmerged) -> str:
    return _round(one.global_round, GLOBAL if one.shard == GLOBAL else one.regional_round)


def _round(global_round: int, regional_round: int) -> str:
    """A regional round, or a global one where there is no regional one."""
    return f"{global_round + 1}" if regional_round < 0 else f"{global_round + 1}.{regional_round + 1}"


def _locked_out(journal: NodeJournal | AggregatorJournal, job: JobId) -> Iterator[str]:
    for one in journal.locked_out(job)[-NUM_REMARKS:]:
        yield f"{one.recipient} cannot open the {one.payload}: {one.reason}"
