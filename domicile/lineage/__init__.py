"""Replaying a job's record: from the chain's events alone, and from every payload that is still stored.

Needs no key. The contracts' pure twin is driven by the events, so that each event must be what the rules tell after
those before it; where that leads must be what the contracts hold. A missing or altered event shows as a difference, and
the difference names its place.
"""

from __future__ import annotations

from collections.abc import Mapping

from domicile.chain import events as ev
from domicile.chain.client import Chain
from domicile.chain.deployment import Deployment
from domicile.errors import ChainFault
from domicile.history import history_of
from domicile.lineage.gate import PastGate
from domicile.lineage.payloads import PayloadReader
from domicile.lineage.record import Record, read_record
from domicile.lineage.replay import Replayed, replay
from domicile.lineage.state import Contracts, compare_board, compare_job, compare_ledger, compare_registries
from domicile.lineage.verdict import Findings, GlobalLineage, Lineage, RegionalLineage, RegionLineage
from domicile.participation import GlobalParticipation
from domicile.protocol.job import Job
from domicile.roll_call import call_roll
from domicile.storage.store import Store
from domicile.types import JobId

__all__ = ["GlobalLineage", "Lineage", "RegionLineage", "RegionalLineage", "verify_lineage"]


def verify_lineage(chain: Chain, deployment: Deployment, job: JobId, stores: Mapping[str, Store]) -> Lineage:
    """Replays one job up to the chain's newest block and reads every payload that is still in one of the stores.

    Raises:
        LineageError: the job's creation is not among the chain's events.
        ChainFault, StoreFault: the chain or a store cannot be reached.
    """
    block = chain.block_number()
    block_hash = chain.hash_of(block)
    pinned = chain.at(block)
    record = read_record(pinned, deployment, job)
    findings = Findings()
    replayed = replay(record, findings)
    if replayed.job is not None:
        compared = _compared(record, replayed, pinned, deployment)
        # While anvil mines, it answers for its newest block from the state of the next one already.
        if compared.problems and chain.block_number() > block:
            compared = _compared(record, replayed, pinned, deployment)
        findings.include(compared)
    if chain.hash_of(block) != block_hash:
        raise ChainFault(f"the chain was reorganised at block {block} while it was replayed; run it again")
    reader = PayloadReader(stores, findings)
    reader.read_all(record, replayed)
    return Lineage(
        job=job,
        block=block,
        verified=not findings.problems,
        num_checks=findings.num_checks,
        problems=tuple(findings.problems),
        remarks=tuple(findings.remarks),
        models=tuple(replayed.ancestry.models),
        participation=() if replayed.job is None else _participation(record, replayed.job),
        payloads_checked=reader.num_checked,
        payloads_gone=reader.num_gone,
    )


def _compared(record: Record, replayed: Replayed, pinned: Chain, deployment: Deployment) -> Findings:
    """What the contracts hold at the record's last block, against where the record leads."""
    findings, contracts = Findings(), Contracts.at(pinned, deployment)
    compare_registries(record, replayed.registry, contracts, findings)
    if replayed.job is not None:
        compare_job(record, replayed.job, contracts, findings)
        compare_board(record, replayed.job, contracts, findings)
        compare_ledger(replayed.job, replayed.ledger, contracts, findings)
    return findings


def _participation(record: Record, job: Job) -> tuple[GlobalParticipation, ...]:
    history = history_of(record.of_job())
    registries = [event for event in record.events if not isinstance(event, ev.JobEvent)]
    gate = PastGate(registries, record.times_s.__getitem__)
    return call_roll(history, gate.of_shards([job.requirement(index) for index in range(len(job.shards))]))
