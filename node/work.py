"""A node's work in one job: its data, the model at hand, and what it makes of it.

Shapes: P flat parameters.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

import torch

from domicile import metrics
from domicile.crypto.context import PayloadKind
from domicile.crypto.sealing import SealingWriter, sealed_size
from domicile.exchange import fetch_spec, note_locked_out
from domicile.history import JobHistory, RegionalKey
from domicile.learning.memory import planned_layout, within_memory
from domicile.learning.model import ModelMetadata, layout_of, load_flat
from domicile.learning.task import NodeData, Split, Task, find_task, require_approved
from domicile.learning.training import Evaluation, TrainingResult, evaluate
from domicile.learning.update import Update, encode_update, update_bytes
from domicile.log import log_event
from domicile.models import JobModels, open_job_models
from domicile.outbox import Outbox
from domicile.party import Party
from domicile.privacy.node_level.calibration import calibration_of
from domicile.privacy.randomness import SecureRandomness
from domicile.privacy.settings import NodePrivacySettings
from domicile.protocol.budget import budget_of
from domicile.protocol.round import JobParameters
from domicile.spec import JobSpec, TaskReference
from domicile.types import JobId, ShardIndex
from node.config import ApprovedTask, NodeConfig
from node.delivery import region_of
from node.journal import NodeJournal, SealedUpdate
from node.masking import Masking
from node.training import LocalJob, LocalPrivacy, Trainer, split_seed, training_seed

log = logging.getLogger(__name__)

GLOBAL = -1
"""Stands for *the global merge* where a regional round is named."""


class Sealable(Protocol):
    """An update as it goes to its committee: a head in the open, which may be empty, and what is sealed."""

    @property
    def head(self) -> bytes: ...

    @property
    def num_bytes(self) -> int:
        """Length of what is sealed."""
        ...

    def chunks(self) -> Iterator[memoryview]: ...


class JobWork:
    """One node in one job. Holds one model at a time."""

    def __init__(
        self,
        config: NodeConfig,
        party: Party,
        journal: NodeJournal,
        outbox: Outbox,
        job: JobId,
        history: JobHistory,
        trainer: Trainer,
    ) -> None:
        """Prepares task and data.

        Raises:
            ConfigurationError: the task is not approved, or the data does not fit it.
            PeerError: the job's documents do not hold.
        """
        self._party = party
        self._region = region_of(party)
        self._journal = journal
        self._outbox = outbox
        self._job = job
        self._trainer = trainer
        self._local, self._models = prepare(config, party, job, history)
        self._masking: Masking | None = None
        if self._local.spec.is_secure:
            self._masking = Masking(journal, outbox, self._models, self._region, party.sender.address)
        if self._local.privacy is not None:
            level = logging.WARNING if self._local.privacy.reproducible else logging.INFO
            log_event(log, "privacy", level=level, job=job, **self._local.privacy.told())
        with within_memory():
            self._model_P = torch.empty(self._local.layout.num_parameters)
        self._loaded: RegionalKey | None = None
        self._start = ModelMetadata()

    def evaluate(self, shard: ShardIndex, global_round: int) -> None:
        """Measures a global model on the node's held-out part and journals the figures."""
        self._load_global(shard, global_round)
        result = self._evaluate(self._local.data.test)
        self._journal.record_evaluation(self._job, global_round, result.metrics, result.count)
        log_event(log, "evaluated", job=self._job, global_round=global_round)

    def train(self, key: RegionalKey, first_round: int) -> None:
        """Trains one round and seals the update to the shard's committee, into the outbox.

        Raises:
            DiskFault: there is no room for it, which is looked at before anything is trained.
            ConfigurationError: the job has no privacy left.
        """
        shard, global_round, regional_round = key
        self._outbox.require_room(self._payload_bytes(key))
        if self._local.privacy is not None:
            self._local.privacy.budget.horizon.require_round(len(self._journal.updates(self._job)))
        starts_global = regional_round == first_round
        if starts_global:
            self._load_global(shard, global_round - 1)
        else:
            before = (shard, global_round, regional_round - 1)
            self._start = self._models.regional_model(self._region, before, self._model_P).metadata
            self._loaded = (shard, global_round, regional_round - 1)
        validation = self._evaluate(self._told(self._local.data.validation))
        test = self._evaluate(self._told(self._local.data.test)) if starts_global else None
        seed = training_seed(self._local.spec, self._party.sender.address, global_round, regional_round)
        result = self._trainer.train(self._local, self._model_P, seed)
        sealed = self._seal(self._encode(key, result, validation, test, seed), key, result.num_steps)
        self._journal.record_update(self._job, sealed)
        log_event(log, "sealed", job=self._job, shard=shard, global_round=global_round, regional_round=regional_round)

    def answer(self, key: RegionalKey, *, late: bool) -> None:
        """Answers to the agreed survivors of a masked round, into the outbox; see `Masking.answer`.

        Raises:
            UnmaskingRefused: this node does not answer to them.
        """
        assert self._masking is not None  # noqa: S101 - `prepare` declines a job that masks by one document alone
        self._masking.answer(key, late=late)

    def require_same_set(self, key: RegionalKey) -> None:
        """Whether an answer may still help to unmask its round; see `Masking.require_same_set`.

        Raises:
            UnmaskingRefused: it may not.
        """
        assert self._masking is not None  # noqa: S101
        self._masking.require_same_set(key)

    def _payload_bytes(self, key: RegionalKey) -> int:
        num_recipients = len(self._models.history.shards[key[0]].parameters.committee.members)
        if self._masking is not None:
            return self._masking.payload_bytes(key, num_recipients)
        return sealed_size(update_bytes(self._local.layout), num_recipients)

    def _encode(
        self, key: RegionalKey, result: TrainingResult, validation: Evaluation, test: Evaluation | None, seed: int
    ) -> Sealable:
        if self._masking is not None:
            privacy = self._local.privacy
            randomness = SecureRandomness() if privacy is None else privacy.randomness(seed)
            return self._masking.mask(key, result, validation, test, start=self._start, randomness=randomness)
        return encode_update(self._local.layout, Update.of(result, validation=validation, test=test))

    def _load_global(self, shard: ShardIndex, global_round: int) -> None:
        key = (shard, global_round, GLOBAL)
        if self._loaded != key:
            self._loaded = None
            self._start = self._models.global_model(global_round, self._model_P).metadata
            self._loaded = key

    def _told(self, split: Split) -> Split:
        """Held-out rows whose figures the committee may learn."""
        withheld = self._local.spec.privacy is not None and self._local.spec.privacy.withholds
        return (split[0][:0], split[1][:0]) if withheld else split

    def _evaluate(self, split: Split) -> Evaluation:
        if len(split[0]):
            load_flat(self._local.module, self._model_P)
        return evaluate(self._local.task, self._local.module, split)

    def _seal(self, encoded: Sealable, key: RegionalKey, num_steps: int) -> SealedUpdate:
        committee = self._models.history.shards[key[0]].parameters.committee
        recipients = self._models.cards.recipients(committee)
        payload = f"update of round {key[1]}.{key[2]}"
        note_locked_out(self._journal, self._job, payload, recipients)
        context = self._models.context(PayloadKind.UPDATE, *key, self._party.sender.address)
        with metrics.acting("seal"), self._outbox.writer() as writer:
            writer.write(encoded.head)
            sealing = SealingWriter(writer, recipients.cards, context, encoded.num_bytes)
            for chunk in encoded.chunks():
                sealing.write(chunk)
            sealing.close()
            digest = writer.commit()
        sealed_bytes = len(encoded.head) + sealed_size(encoded.num_bytes, len(recipients.cards))
        metrics.sealed(context.kind, sealed_bytes)
        privacy = self._local.privacy
        return SealedUpdate(
            global_round=key[1],
            regional_round=key[2],
            digest=digest,
            num_steps=num_steps,
            sealed_bytes=sealed_bytes,
            sample_rate=None if privacy is None else privacy.sample_rate,
            noise_multiplier=None if privacy is None else privacy.budget.mechanism.noise_multiplier,
        )


def approved_folder(task: TaskReference, approved: Sequence[ApprovedTask]) -> Path:
    """Where the operator keeps the code that a job names.

    Raises:
        TaskNotApproved: not with this digest, or only under another name: one file may hold several tasks.
    """
    of_name = [one for one in approved if one.use == task.use]
    require_approved(task.use, task.digest, [one.digest for one in of_name])
    return next(one.folder for one in of_name if one.digest == task.digest)


def prepare(config: NodeConfig, party: Party, job: JobId, history: JobHistory) -> tuple[LocalJob, JobModels]:
    """Task, data and models of a job, each checked.

    Raises:
        ConfigurationError: the task is not approved, or the data does not fit it.
        PeerError: the job's documents do not hold.
    """
    spec = fetch_spec(party.border, history.created.parameters.spec)
    spec.require_reserved(budget_of(history.created.parameters))
    spec.require_masked(history.created.parameters.safeguards)
    folder = approved_folder(spec.task, config.tasks)
    task = find_task(spec.task.use, spec.task.options, folder=folder, expected=spec.task.digest)
    models = open_job_models(party, job, history, spec, planned_layout(task))
    reader = task if spec.privacy is None else _reader(spec, folder)
    data = reader.load(config.data.train, config.data.test, spec.data, split_seed(spec.seed, config.name))
    with within_memory():
        module = task.build_model()
    privacy = _privacy(config, spec, task, module, data, history.created.parameters)
    return LocalJob(spec=spec, task=task, layout=models.layout, data=data, module=module, privacy=privacy), models


def _reader(spec: JobSpec, folder: Path) -> Task:
    """Another one of the task: what trains sees no rows but those that the sampler draws, so that it can keep none."""
    return find_task(spec.task.use, spec.task.options, folder=folder, expected=spec.task.digest)


def _privacy(
    config: NodeConfig,
    spec: JobSpec,
    task: Task,
    module: torch.nn.Module,
    data: NodeData,
    parameters: JobParameters,
) -> LocalPrivacy | None:
    if spec.privacy is None:
        return None
    reproducible = config.privacy.noise == "reproducible"
    if isinstance(spec.privacy, NodePrivacySettings):
        noise = calibration_of(spec, parameters, layout_of(module).num_parameters)
        assert noise is not None  # noqa: S101 - its unit is the node
        return LocalPrivacy(budget=noise, reproducible=reproducible)
    # Opacus takes seconds to import, which a job without privacy need not wait for.
    from domicile.privacy.admission import admit

    budget = admit(
        spec.privacy,
        spec.training,
        use=spec.task.use,
        task=task,
        module=module,
        rows=data.train,
        data=spec.data,
        rounds=(parameters.global_rounds, parameters.max_regional_rounds, parameters.max_retries),
    )
    return LocalPrivacy(budget=budget, reproducible=reproducible)
