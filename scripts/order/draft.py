"""An order and all that its checks look at: what is to be created, who orders it, and what the chain says now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from domicile.chain.client import Chain
from domicile.errors import ConfigurationError, Refused
from domicile.history import Histories, JobHistory
from domicile.learning.model import layout_of
from domicile.learning.task import Task, task_digest
from domicile.lineage.registry import follow_registry
from domicile.party import Party
from domicile.privacy.node_level.calibration import calibrate_nodes
from domicile.privacy.settings import NodePrivacySettings, PrivacySettings
from domicile.protocol.creation import create
from domicile.protocol.job import Job
from domicile.protocol.registry import Registry
from domicile.protocol.round import FINAL_PHASES, Committee
from domicile.settings import named
from domicile.types import Address, JobId
from scripts.access import Access
from scripts.initial_model import fitting_task, fresh_model
from scripts.order.file import GLOBAL, OrderFile, committees_of, load_order_file
from scripts.ordering import Order, PreparedOrder, prepare

BUILT_IN_TABLE = "tabular"


@dataclass(frozen=True, kw_only=True)
class Record:
    """What the chain says at its head: not behind it, so that what this account did last is seen."""

    registry: Registry
    jobs: Mapping[JobId, JobHistory]
    now_s: int


@dataclass(frozen=True, kw_only=True)
class Draft:
    """`committees` by their key in the file; `names` label accounts."""

    file: OrderFile
    order: PreparedOrder
    committees: Mapping[str, Committee]
    party: Party
    record: Record
    names: Mapping[str, str]

    @property
    def owner(self) -> Address:
        return self.party.sender.address

    @cached_property
    def job(self) -> Job | Refused:
        """The job that the contract would make of it now, or why it would make none."""
        try:
            return create(
                chain_id=self.party.deployment.chain_id,
                contract=self.party.deployment.training_jobs,
                number=JobId(len(self.record.jobs) + 1),
                owner=self.owner,
                parameters=self.order.parameters,
                shards=self.order.shards,
                global_committee=self.order.global_committee,
                law=self.record.registry.places,
                now_s=self.record.now_s,
            )
        except Refused as exc:
            return exc

    def name_of(self, account: Address) -> str:
        label = self.names.get(account)
        return account if label is None else f"{label} ({account})"

    def same(self) -> JobId | None:
        """The newest job that this owner ordered just so and that is not over."""
        found = [job for job, history in self.record.jobs.items() if self._is_same(history)]
        return max(found, default=None)

    def _is_same(self, history: JobHistory) -> bool:
        created = history.created
        ordered = (created.owner, created.parameters, created.global_committee)
        shards = tuple(shard.parameters for shard in history.shards)
        return (
            ordered == (self.owner, self.order.parameters, self.order.global_committee)
            and shards == self.order.shards
            and history.job_phases[-1].phase not in FINAL_PHASES
        )


def open_draft(path: Path, network: Access) -> Draft:
    """Reads SPEC and the chain; nothing is sent.

    Raises:
        ConfigurationError: names file, key, cause and mend; ChainFault, StoreFault: a door is shut.
    """
    file = load_order_file(path)
    names = network.settings.names
    committees = committees_of(path, file, names)
    order = _prepared(path, file, committees)
    party = network.party()
    # What this account left on its way may be this very order.
    party.sender.settle()
    record = read_record(network)
    return Draft(file=file, order=order, committees=committees, party=party, record=record, names=names)


def read_record(network: Access) -> Record:
    """Folds the events of the whole chain."""
    chain = Chain(network.settings.chain.rpc_url)
    histories = Histories(chain, network.deployment)
    histories.update()
    times_s = chain.timestamps_of(event.block for event in histories.registry_events)
    registry = Registry()
    for event in histories.registry_events:
        registry = follow_registry(registry, event, times_s[event.block])
    return Record(registry=registry, jobs=histories.jobs, now_s=histories.now_s)


def _prepared(path: Path, file: OrderFile, committees: Mapping[str, Committee]) -> PreparedOrder:
    options = _complete_options(path, file)
    task = fitting_task(path, file.task.use, options, file.seed)
    initial = fresh_model(task, file.seed)
    if file.privacy is not None:
        _check_privacy(path, file, file.privacy, task, initial)
    order = Order(
        job=file,
        options=options,
        task_digest=task_digest(file.task.use, folder=path.parent),
        initial=initial,
        committees={code: committees[f"committees.{code}"] for code in file.shards},
        global_committee=committees[GLOBAL],
    )
    return prepare(order)


def _check_privacy(
    path: Path,
    file: OrderFile,
    privacy: PrivacySettings | NodePrivacySettings,
    task: Task,
    initial: torch.nn.Module,
) -> None:
    """What every node would decline the job for; each asks besides whether its own rows are enough."""
    from domicile.privacy.admission import require_layers, require_row_wise

    with named(path):
        if isinstance(privacy, NodePrivacySettings):
            calibrate_nodes(
                privacy,
                rounds=file.horizon_rounds,
                min_survivors=file.participation.min_survivors,
                max_update_norm=file.max_update_norm,
                num_parameters=layout_of(initial).num_parameters,
            )
            return
        require_row_wise(file.task.use, task, file.data)
        require_layers(initial)


def _complete_options(path: Path, file: OrderFile) -> dict[str, object]:
    """The task's options. What a sandbox reads from the nodes' data, an owner who has none must write."""
    if file.task.use != BUILT_IN_TABLE:
        return dict(file.task.options)
    from domicile.learning.tabular import resolve_options

    if "features" not in file.task.options:
        raise ConfigurationError(
            f"{path}: task.options.features: missing; list the columns that every node's file has, in the order in "
            'which the model takes them: features = ["age", "dose"]'
        )
    try:
        return dict(resolve_options(file.task.options, {}))
    except ConfigurationError as exc:
        raise ConfigurationError(f"{path}: {exc}") from exc
