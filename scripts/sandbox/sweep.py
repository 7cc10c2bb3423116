"""The finished job once more, at other values of ε: what privacy costs its model, and what it costs each node alone.

The same rounds with the same contributors, in this process: with the job's own seed and ε, the global model is that of
the job to the bit, where its committees merge updates as they are.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch

from domicile.learning.federation import GlobalRounds, train_federated
from domicile.learning.model import flatten, load_flat
from domicile.learning.references import train_local_only
from domicile.learning.training import TrainingResult, evaluate
from domicile.participation import GlobalParticipation
from domicile.participation import Outcome as RoundOutcome
from node.training import training_seed
from scripts.initial_model import fresh_model
from scripts.report.schema import CurvePoint, CurveRecord
from scripts.sandbox.privacy import training_under
from scripts.sandbox.run import Outcome

if TYPE_CHECKING:
    from domicile.privacy.calibration import Calibration

FIGURES = ("accuracy", "rmse", "loss")
"""The first that the job's task has is shown."""


def train_sweep(outcome: Outcome, num_steps: Mapping[str, int]) -> CurveRecord | None:
    """`num_steps` that each node took in the job; `None` where no curve is asked for, or no model was made."""
    curve = outcome.plan.curve
    rounds = _rounds_of(outcome.observer.participation(), outcome)
    if curve is None or not rounds:
        return None
    sweep = _Sweep(outcome, rounds, num_steps)
    points = []
    for epsilon, budgets in curve.budgets.items():
        runs = [sweep.run(budgets, seed) for seed in curve.seeds]
        points.append(
            CurvePoint(
                epsilon=epsilon,
                noise_multiplier=max((budgets[name].mechanism.noise_multiplier for name in budgets), default=0.0),
                global_=[one for one, _ in runs],
                local=[one for _, one in runs],
            )
        )
    return CurveRecord(figure=sweep.figure, seeds=list(curve.seeds), points=points)


class _Sweep:
    def __init__(self, outcome: Outcome, rounds: GlobalRounds, num_steps: Mapping[str, int]) -> None:
        self._outcome = outcome
        self._plan = outcome.plan
        self._rounds = rounds
        self._num_steps = num_steps
        self._module = outcome.plan.task.build_model()
        initial_P = flatten(self._module)
        name = next(iter(num_steps))
        known = self._metrics(initial_P, name)
        self.figure = next(one for one in FIGURES if one in known)

    def run(self, budgets: Mapping[str, Calibration], seed: int) -> tuple[float, float]:
        """The figure of the global model and of the local-only ones, means over the nodes."""
        job, spec = self._plan.job, self._outcome.models.spec.model_copy(update={"seed": seed})
        initial_P = flatten(fresh_model(self._plan.task, seed))

        def seed_of(node: str, global_round: int, regional_round: int) -> int:
            return training_seed(spec, self._outcome.ground.addresses[node], global_round, regional_round)

        def update(node: str, base_P: torch.Tensor, global_round: int, regional_round: int) -> TrainingResult:
            load_flat(self._module, base_P)
            own_seed = seed_of(node, global_round, regional_round)
            training = training_under(budgets.get(node), own_seed)
            return training(self._plan.task, self._module, self._plan.data[node].train, job.training, seed=own_seed)

        global_P = train_federated(
            initial_P, self._rounds, update, regional=spec.regional_merging, worldwide=spec.global_merging
        )
        local = []
        for node, num_steps in self._num_steps.items():
            own_seed = seed_of(node, 0, 0)
            local_P = train_local_only(
                self._plan.task,
                initial_P,
                self._plan.data[node],
                job.training,
                num_steps=num_steps,
                seed=own_seed,
                training=training_under(budgets.get(node), own_seed),
            )
            local.append(self._metrics(local_P, node)[self.figure])
        merged = [self._metrics(global_P, node)[self.figure] for node in self._num_steps]
        return statistics.mean(merged), statistics.mean(local)

    def _metrics(self, values_P: torch.Tensor, node: str) -> Mapping[str, float]:
        load_flat(self._module, values_P)
        return evaluate(self._plan.task, self._module, self._plan.data[node].test).metrics


def _rounds_of(participation: tuple[GlobalParticipation, ...], outcome: Outcome) -> GlobalRounds:
    """What went into the job's global models, in the order in which committees merge it."""

    def in_order(nodes: tuple[str, ...]) -> list[str]:
        return sorted(nodes, key=lambda name: outcome.ground.addresses[name].lower())

    return [
        [
            {one.regional_round: in_order(one.contributed) for one in shard.rounds if not one.stall}
            for shard in whole.shards
            if shard.outcome is RoundOutcome.MERGED
        ]
        for whole in participation
        if whole.outcome is RoundOutcome.MERGED
    ]
