"""Watching a job from outside: what the chain alone tells, and what its owner may open."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from domicile.chain.client import Chain
from domicile.chain.contracts import Jobs
from domicile.chain.deployment import Deployment
from domicile.chain.gas import GasMeter
from domicile.errors import PeerError, StoreFault
from domicile.history import Histories, JobHistory
from domicile.models import JobModels
from domicile.protocol.round import FINAL_PHASES, NO_LOSS, JobPhase, JobState, ShardPhase, ShardState
from domicile.types import Address, JobId
from scripts.view import GlobalFigure, JobView, ShardLoss, ShardView

MICROS = 1_000_000

_WAITS_FOR = {
    ShardPhase.COLLECTING: "updates of its members",
    ShardPhase.AGGREGATING: "the votes of its committee",
    ShardPhase.MATURE: "its committee to export the model",
}


class Observer:
    """Builds views of one job. `names` maps accounts to names where they are known."""

    def __init__(
        self, chain: Chain, deployment: Deployment, job: JobId, name: str, names: Mapping[Address, str]
    ) -> None:
        self._chain = chain
        self._jobs = Jobs(chain, deployment)
        self._job = job
        self._name = name
        self._names = names
        self._histories = Histories(chain, deployment)
        self.gas = GasMeter(chain, deployment)
        self.figures: dict[int, GlobalFigure] = {}
        self.models: JobModels | None = None
        """Access to the job's models; set where the observer may open them, so that it sees their figures too."""

    @property
    def history(self) -> JobHistory:
        return self._histories.jobs[self._job]

    def look(self, refusals: tuple[tuple[str, str], ...] = ()) -> JobView:
        """The job now."""
        state, shards = self._jobs.snapshot(self._job)
        self._histories.update()
        self.gas.update(self._histories.block)
        now_s = self._histories.now_s
        history = self.history
        if self.models is not None:
            self._open_figures(self.models)
        views = tuple(self._shard(history, state, index, shard) for index, shard in enumerate(shards))
        return JobView(
            job=self._job,
            name=self._name,
            phase=state.phase,
            global_round=state.global_round,
            num_global_rounds=history.created.parameters.global_rounds,
            retries=state.retries,
            deadline_s=state.deadline_s,
            now_s=now_s,
            block=self._histories.block,
            gas_used=self.gas.total,
            shards=views,
            figures=tuple(self.figures[key] for key in sorted(self.figures)),
            refusals=refusals,
            waits_for=_waits_for(state, views),
        )

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

    def _shard(self, history: JobHistory, state: JobState, index: int, shard: ShardState) -> ShardView:
        parameters = history.shards[index].parameters
        key = (history.shards[index].shard, state.global_round, shard.regional_round)
        return ShardView(
            jurisdiction=parameters.jurisdiction,
            phase=shard.phase,
            stall=shard.stall,
            regional_round=shard.regional_round,
            retries=shard.retries,
            deadline_s=shard.deadline_s,
            members=tuple(sorted(self._known(node) for node in history.members_of(key[0]))),
            committed=tuple(self._known(event.node) for event in history.commits_of(key)),
            losses=tuple(
                ShardLoss(global_round=outer, regional_round=inner, loss=model.loss_micros / MICROS)
                for (of, outer, inner), model in history.regional_models.items()
                if of == index and model.loss_micros != NO_LOSS
            ),
            exports=tuple(number for number, exports in history.exports.items() if index in exports),
        )

    def _known(self, address: Address) -> str:
        return self._names.get(address, address[:8])


def _waits_for(state: JobState, shards: tuple[ShardView, ...]) -> str:
    if state.phase in FINAL_PHASES:
        return ""
    if state.phase is JobPhase.JOINING:
        return "members to join; its owner may start it, anyone may when the join window is over"
    if state.phase is JobPhase.MERGING:
        return "the votes of the global committee; anyone may end the wait at the deadline"
    waiting = [f"{one.jurisdiction}: {_WAITS_FOR[one.phase]}" for one in shards if one.phase in _WAITS_FOR]
    return "; ".join(waiting) + "; anyone may end a wait at its deadline"
