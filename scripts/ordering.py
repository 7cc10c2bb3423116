"""Ordering a job: its documents go to the border store, its parameters to the contract."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from domicile.chain.events import JobCreated, read_events
from domicile.errors import ChainFault
from domicile.learning.model import ModelFile, flatten, layout_of
from domicile.party import Party
from domicile.protocol.eligibility import Safeguard
from domicile.protocol.round import Committee, JobParameters, ShardParameters
from domicile.spec import JobSpec, ModelReference, TaskReference
from domicile.types import Digest, JobId, JurisdictionCode
from scripts.job_file import JobFile

MICROS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Order:
    """One job with everything that it takes; `options` are the task's, resolved."""

    job: JobFile
    options: dict[str, object]
    task_digest: str
    initial: torch.nn.Module
    committees: dict[str, Committee]
    global_committee: Committee


def order_job(party: Party, order: Order) -> JobId:
    """Publishes the initial model and the specification, and creates the job.

    Raises:
        Refused: the contract refuses, by name.
        ChainFault, StoreFault: a door is shut for now.
    """
    spec = _publish(party, order)
    receipt = party.sender.act(
        party.jobs.create_job(_parameters(order.job, spec), _shards(order), order.global_committee)
    )
    for event in read_events(party.chain, party.deployment, receipt.block, receipt.block):
        if isinstance(event, JobCreated) and event.transaction == receipt.transaction:
            return event.job
    raise ChainFault("the new job's event is not in its block; is the endpoint a node of this chain?")


def _publish(party: Party, order: Order) -> Digest:
    values_P = flatten(order.initial)
    file = ModelFile(layout=layout_of(order.initial))
    with party.border.writer() as writer:
        for chunk in file.chunks(values_P):
            writer.write(chunk)
        payload = writer.commit()
    job = order.job
    spec = JobSpec(
        name=job.name,
        seed=job.seed,
        task=TaskReference.model_validate({"use": job.task.use, "digest": order.task_digest, "options": order.options}),
        initial_model=ModelReference(payload=payload.hex(), model=file.digest(values_P).hex()),
        data=job.data,
        training=job.training,
        regional_merging=job.merging.regional,
        global_merging=job.merging.global_,
        max_update_norm=job.max_update_norm,
    )
    return party.border.put_bytes(spec.to_bytes())


def _parameters(job: JobFile, spec: Digest) -> JobParameters:
    return JobParameters(
        spec=spec,
        join_window_s=job.rounds.join_window_s,
        collect_window_s=job.rounds.collect_window_s,
        global_rounds=job.rounds.global_rounds,
        min_regional_rounds=job.rounds.regional_min,
        max_regional_rounds=job.rounds.regional_max,
        patience=job.rounds.patience,
        min_delta_micros=round(job.rounds.min_delta * MICROS),
        max_retries=job.rounds.max_retries,
        min_nodes=job.participation.min_nodes,
        min_contributors=job.participation.min_contributors,
        min_shards=job.participation.min_shards,
        sensitivity=job.sensitivity_class,
        max_tier=job.strictest_tier,
        safeguards=Safeguard.NONE,
        denied=tuple(JurisdictionCode(code) for code in job.denied),
    )


def _shards(order: Order) -> list[ShardParameters]:
    return [
        ShardParameters(jurisdiction=JurisdictionCode(code), committee=order.committees[code])
        for code in order.job.shards
    ]
