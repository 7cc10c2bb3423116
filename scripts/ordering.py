"""Ordering a job: its documents go to the border store, its parameters to the contract."""

from __future__ import annotations

import io
from dataclasses import dataclass

import torch

from domicile.chain.contracts import Jobs
from domicile.chain.events import JobCreated, read_events
from domicile.chain.sender import Call
from domicile.errors import ChainFault
from domicile.learning.model import ModelFile, flatten, layout_of
from domicile.party import Party
from domicile.protocol.round import Committee, JobParameters, ShardParameters
from domicile.spec import JobSpec, ModelReference, TaskReference
from domicile.storage.store import PayloadWriter, root_of
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


@dataclass(frozen=True, kw_only=True)
class PreparedOrder:
    """An order as the contract will see it, before anything of it is published; `spec` is the specification's bytes."""

    model: ModelFile
    values_P: torch.Tensor
    spec: bytes
    parameters: JobParameters
    shards: tuple[ShardParameters, ...]
    global_committee: Committee

    def call(self, jobs: Jobs) -> Call:
        """What creates the job."""
        return jobs.create_job(self.parameters, self.shards, self.global_committee)


def prepare(order: Order) -> PreparedOrder:
    """Computes the digests that its documents will have."""
    values_P = flatten(order.initial)
    model = ModelFile(layout=layout_of(order.initial))
    writer = PayloadWriter(None)
    for chunk in model.chunks(values_P):
        writer.write(chunk)
    spec = _spec(order, payload=writer.commit(), model=model.digest(values_P))
    return PreparedOrder(
        model=model,
        values_P=values_P,
        spec=spec.to_bytes(),
        parameters=_parameters(order.job, spec),
        shards=_shards(order),
        global_committee=order.global_committee,
    )


def order_job(party: Party, order: PreparedOrder) -> JobId:
    """Publishes the initial model and the specification, and creates the job.

    Raises:
        Refused: the contract refuses, by name.
        ChainFault, StoreFault: a door is shut for now.
    """
    with party.border.writer() as writer:
        for chunk in order.model.chunks(order.values_P):
            writer.write(chunk)
        writer.commit()
    party.border.put_bytes(order.spec)
    receipt = party.sender.act(order.call(party.jobs))
    for event in read_events(party.chain, party.deployment, receipt.block, receipt.block):
        if isinstance(event, JobCreated) and event.transaction == receipt.transaction:
            return event.job
    raise ChainFault("the new job's event is not in its block; is the endpoint a node of this chain?")


def _spec(order: Order, *, payload: Digest, model: Digest) -> JobSpec:
    job = order.job
    return JobSpec(
        name=job.name,
        seed=job.seed,
        task=TaskReference.model_validate({"use": job.task.use, "digest": order.task_digest, "options": order.options}),
        initial_model=ModelReference(payload=payload.hex(), model=model.hex()),
        data=job.data,
        training=job.training,
        regional_merging=job.merging.regional,
        global_merging=job.merging.global_,
        max_update_norm=job.max_update_norm,
        privacy=job.privacy,
    )


def _parameters(job: JobFile, spec: JobSpec) -> JobParameters:
    return JobParameters(
        spec=root_of(io.BytesIO(spec.to_bytes())),
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
        safeguards=job.safeguards,
        epsilon_micros=spec.reserved.epsilon_micros,
        delta_attos=spec.reserved.delta_attos,
        denied=tuple(JurisdictionCode(code) for code in job.denied),
    )


def _shards(order: Order) -> tuple[ShardParameters, ...]:
    return tuple(
        ShardParameters(jurisdiction=JurisdictionCode(code), committee=order.committees[code])
        for code in order.job.shards
    )
