"""A job's record: all events that concern it, with the time of each block, up to one block."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass

from domicile.chain import events as ev
from domicile.chain.client import Chain
from domicile.chain.deployment import Deployment
from domicile.errors import LineageError
from domicile.protocol.round import NO_DATASET
from domicile.types import Address, JobId


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """`events`: those of the registries and of this job, and what the privacy ledger needs of all jobs, in the chain's
    order. `times_s`: chain time by block.
    """

    chain_id: int
    contract: Address
    job: JobId
    events: tuple[ev.Event, ...]
    times_s: Mapping[int, int]

    def of_job(self) -> tuple[ev.JobEvent, ...]:
        """The events of this job alone."""
        return tuple(event for event in self.events if isinstance(event, ev.JobEvent) and event.job == self.job)

    def parties(self) -> frozenset[Address]:
        """The job's owner, the members of its committees, and all who ever joined it."""
        found: set[Address] = set()
        for event in self.of_job():
            match event:
                case ev.JobCreated():
                    found.update((event.owner, *event.global_committee.members))
                case ev.ShardCreated():
                    found.update(event.parameters.committee.members)
                case ev.MemberJoined():
                    found.add(event.node)
                case _:
                    pass
        return frozenset(found)


def read_record(chain: Chain, deployment: Deployment, job: JobId) -> Record:
    """Reads the record up to the chain's newest block.

    Raises:
        LineageError: the job's creation is not among the chain's events.
        ChainFault: the endpoint cannot be reached, or tells what no contract of ours wrote.
    """
    told = tuple(ev.read_events(chain, deployment, deployment.first_block, chain.block_number()))
    spenders = {event.job for event in told if isinstance(event, ev.MemberJoined) and event.dataset != NO_DATASET}
    events = tuple(event for event in told if _concerns(event, job, spenders))
    if not any(isinstance(event, ev.JobCreated) and event.job == job for event in events):
        raise LineageError(f"job {job}: its creation is missing from the chain's events; ask another endpoint")
    return Record(
        chain_id=deployment.chain_id,
        contract=deployment.training_jobs,
        job=job,
        events=events,
        times_s=chain.timestamps_of(event.block for event in events),
    )


def _concerns(event: ev.Event, job: JobId, spenders: Set[JobId]) -> bool:
    """Datasets serve many jobs, so that what is left of one follows from the budgets of all of these."""
    if not isinstance(event, ev.JobEvent) or event.job == job:
        return True
    return event.job in spenders and isinstance(event, (ev.JobCreated, ev.MemberJoined, ev.BudgetReturned))


def place_of(event: ev.Event, shards: Sequence[str]) -> str:
    """Where in the record an event stands, in words, which count rounds from 1; `shards` are the job's, by name."""
    of_round = getattr(event, "proposal", event)
    index = getattr(event, "shard", None)
    parts = [
        f"block {event.block}, log {event.log_index}",
        *_numbered("global round", getattr(of_round, "global_round", None)),
        *_named("shard", shards[index] if index is not None and index < len(shards) else index),
        *_numbered("regional round", getattr(of_round, "regional_round", None)),
    ]
    accounts = (getattr(event, name, None) for name in ("node", "voter", "exporter", "account", "attester", "code"))
    who = next((account for account in accounts if account is not None), None)
    return f"{', '.join(parts)}: {type(event).__name__}" + (f" of {who}" if who else "")


def _numbered(name: str, index: int | None) -> tuple[str, ...]:
    return _named(name, None if index is None else index + 1)


def _named(name: str, value: object) -> tuple[str, ...]:
    return () if value is None else (f"{name} {value}",)
