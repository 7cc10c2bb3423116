"""Watching a job from outside: what the chain alone tells, and what its owner may open."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import torch

from domicile.chain.client import Chain
from domicile.chain.contracts import Budgets, Jobs
from domicile.chain.deployment import Deployment
from domicile.chain.gas import GasMeter
from domicile.errors import PeerError, StoreFault
from domicile.history import Histories, JobHistory
from domicile.lineage.gate import PastGate
from domicile.models import JobModels
from domicile.participation import GlobalParticipation
from domicile.privacy.claim import NODES_OWN, Claim
from domicile.privacy.node_level.claim import claim_under
from domicile.protocol.budget import budget_of
from domicile.protocol.eligibility import Requirement
from domicile.roll_call import call_roll
from domicile.spec import JobSpec
from domicile.types import Address, JobId
from scripts.view import DatasetView, GlobalFigure, JobView
from scripts.viewing import Sight, aggregation_of, named


class BlockTimes:
    """The chain's time of each block in seconds, asked for once."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._known_s: dict[int, int] = {}

    def at(self, block: int) -> int:
        self.read([block])
        return self._known_s[block]

    def read(self, blocks: Iterable[int]) -> None:
        """Asks for many at once."""
        self._known_s |= self._chain.timestamps_of(set(blocks) - self._known_s.keys())


class Observer:
    """Builds views of one job. `names` maps accounts to names where they are known.

    Gas is that of all acts on the network, since its contracts lie there or since the job's creation: on a chain that
    has run for months, only the latter is soon read.
    """

    def __init__(
        self,
        chain: Chain,
        deployment: Deployment,
        job: JobId,
        name: str,
        names: Mapping[Address, str],
        *,
        gas_since_creation: bool = False,
    ) -> None:
        self._chain = chain
        self._deployment = deployment
        self._jobs = Jobs(chain, deployment)
        self._job = job
        self._name = name
        self._names = names
        self._gas_since_creation = gas_since_creation
        self._histories = Histories(chain, deployment)
        self._folds = self._histories.folds
        self._begin()
        self.models: JobModels | None = None
        """Access to the job's models; set where the observer may open them, so that it sees their figures too."""

        self.spec: JobSpec | None = None
        """The job's specification; set where it can be had, so that what it asks for is told."""

    def _begin(self) -> None:
        """What is built on the record; anew where a reorganisation made it another one."""
        self._requirements: list[Requirement] = []
        self._datasets: tuple[DatasetView, ...] = ()
        self._told_of_datasets = 0
        self.times = BlockTimes(self._chain)
        self._gate = PastGate(self._histories.registry_events, self.times.at)
        self._gas: GasMeter | None = None
        self.figures: dict[int, GlobalFigure] = {}

    @property
    def history(self) -> JobHistory:
        return self._histories.jobs[self._job]

    @property
    def gas(self) -> GasMeter:
        if self._gas is None:
            first = self.history.created.block if self._gas_since_creation else self._deployment.first_block
            self._gas = GasMeter(self._chain, self._deployment, first_block=first)
        return self._gas

    def look(self, refusals: tuple[tuple[str, str], ...] = ()) -> JobView:
        """The job now."""
        state, shards = self._histories.snapshot(self._job, self._update)
        self.gas.update(self._histories.block)
        if self.models is not None:
            self._open_figures(self.models)
        sight = Sight(
            history=self.history,
            state=state,
            shards=shards,
            requirements=self._requirements,
            gate=self._gate,
            time_of=self.times.at,
            block=self._histories.block,
            now_s=self._histories.now_s,
            names=self._names,
        )
        figures = tuple(self.figures[key] for key in sorted(self.figures))
        view = sight.view(self._name)
        return replace(
            view,
            shards=tuple(replace(shard, losses=()) for shard in view.shards) if self._withholds else view.shards,
            gas_used=self.gas.total,
            figures=figures,
            refusals=refusals,
            aggregation=None if self.spec is None else aggregation_of(self.spec.aggregation, self.spec.robust),
            claim=self._claim(),
            datasets=self.datasets(),
        )

    def datasets(self) -> tuple[DatasetView, ...]:
        """What members' datasets grant and what the job spends of them, read anew when an event may have changed it."""
        told = len(self._histories.registry_events) + sum(
            len(one.membership) + len(one.unspent) for one in self._histories.jobs.values()
        )
        if self.history.datasets and told != self._told_of_datasets:
            self._datasets, self._told_of_datasets = self._read_datasets(), told
        return self._datasets

    def _read_datasets(self) -> tuple[DatasetView, ...]:
        budgets = Budgets(self._chain, self._deployment).at(self._histories.block)
        history, reserved = self.history, budget_of(self.history.created.parameters)
        found = []
        for node, number in sorted(history.datasets.items(), key=lambda one: one[1]):
            dataset, unspent = budgets.dataset_at(number), history.unspent.get(node)
            view = DatasetView(
                dataset=number,
                node=self._names.get(node, node),
                granted=dataset.granted,
                reserved=reserved,
                spent=None if unspent is None else reserved - unspent,
                remaining=dataset.remaining,
            )
            found.append(view)
        return tuple(found)

    @property
    def _withholds(self) -> bool:
        return self.spec is not None and self.spec.privacy is not None and self.spec.privacy.withholds

    def _claim(self) -> Claim | None:
        """What the job asks of each node; what a node makes of it follows from its number of rows."""
        if self.spec is None or self.spec.privacy is None:
            return None
        parameters = self.history.created.parameters
        return claim_under(
            self.spec.privacy,
            self.spec.training,
            rounds=(parameters.global_rounds, parameters.max_regional_rounds, parameters.max_retries),
            min_survivors=parameters.min_survivors,
            max_update_norm=self.spec.max_update_norm,
            epsilon=self.spec.privacy.epsilon,
            randomness=NODES_OWN,
        )

    def participation(self) -> tuple[GlobalParticipation, ...]:
        """Who took part until now, with names in full."""
        self._update()
        roll = call_roll(self.history, self._gate.of_shards(self._requirements))
        return tuple(named(one, lambda account: self._names.get(Address(account), account)) for one in roll)

    def _update(self) -> None:
        """What the gate demands never changes while a job lives."""
        self._histories.update()
        if self._folds != self._histories.folds:
            self._folds = self._histories.folds
            self._begin()
            if self.models is not None:
                self.models = replace(self.models, history=self.history)
        self.times.read(event.block for event in self._histories.registry_events)
        if not self._requirements:
            shards = [self._jobs.requirement_of(self._job, shard.shard) for shard in self.history.shards]
            self._requirements = [*shards, self._jobs.global_requirement_of(self._job)]

    def _open_figures(self, models: JobModels) -> None:
        """Reads the figures that accepted global models carry.

        The model of round g tells how the model of round g-1 did on the nodes' held-out parts.
        """
        unread = [one for one in self.history.global_models if one and one - 1 not in self.figures]
        values_P = torch.empty(models.layout.num_parameters if unread else 0)
        for global_round in unread:
            try:
                test = models.global_model(global_round, values_P).metadata.test
            except (PeerError, StoreFault):
                continue
            if test is not None and test.count:
                self.figures[global_round - 1] = GlobalFigure(
                    global_round=global_round - 1,
                    loss=test.loss_sum / test.count,
                    accuracy=None if test.correct is None else test.correct / test.count,
                )
