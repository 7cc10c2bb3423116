"""What a sandbox's job says of its privacy, and reference models that keep the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING

from domicile.learning.references import Training
from domicile.learning.training import train
from domicile.privacy.node_level.claim import claim_under
from domicile.privacy.settings import PrivacySettings
from scripts.report.schema import CurveRecord, NodePrivacyRecord, PrivacyRecord
from scripts.sandbox.plan import Plan
from scripts.view import DatasetView, PrivacyCost

if TYPE_CHECKING:
    from domicile.privacy.calibration import Calibration


def privacy_of(
    plan: Plan, rounds_trained: Mapping[str, int], datasets: Iterable[DatasetView], curve: CurveRecord | None
) -> PrivacyRecord | None:
    """`rounds_trained`: regional rounds in which each node sealed an update."""
    if plan.job.privacy is None:
        return None
    from domicile.privacy.claim import REPRODUCIBLE

    budgets = {name: plan.node_budget or plan.budgets[name] for name in rounds_trained}
    spent = {name: budget.spent(rounds_trained[name]) for name, budget in budgets.items()}
    return PrivacyRecord(
        claim=claim_under(
            plan.job.privacy,
            plan.job.training,
            rounds=plan.job.horizon_rounds,
            min_survivors=plan.job.participation.min_survivors,
            max_update_norm=plan.job.max_update_norm,
            epsilon=max((one.epsilon for one in budgets.values()), default=plan.job.privacy.epsilon),
            randomness=REPRODUCIBLE,
        ),
        nodes=[
            NodePrivacyRecord(
                node=name,
                num_rows=len(plan.data[name].train[0]),
                sample_rate=budget.mechanism.sample_rate,
                noise_multiplier=budget.mechanism.noise_multiplier,
                epsilon=budget.epsilon,
                num_rounds=rounds_trained[name],
                num_steps=rounds_trained[name] * budget.horizon.steps_per_round,
                max_steps=budget.horizon.num_steps,
                epsilon_spent=spent[name],
            )
            for name, budget in budgets.items()
        ],
        epsilon_spent=max(spent.values(), default=0.0),
        datasets=list(datasets),
        curve=curve,
    )


class RunningCosts:
    """What privacy costs while a job runs. The accountant takes half a second for a figure, and a view shall not stand
    still: each is computed once, at most one a look, and told when those of all nodes are there.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._known: dict[tuple[str, int], float] = {}
        self._told: tuple[PrivacyCost, ...] = ()

    def after(self, rounds_trained: Mapping[str, int]) -> tuple[PrivacyCost, ...]:
        """`rounds_trained`: regional rounds in which each node sealed an update."""
        if self._plan.job.privacy is None:
            return ()
        unknown = [one for one in rounds_trained.items() if one not in self._known]
        for name, num_rounds in unknown[:1]:
            budget = self._plan.node_budget or self._plan.budgets[name]
            self._known[name, num_rounds] = budget.spent(num_rounds) if num_rounds else 0.0
        if not unknown[1:]:
            self._told = tuple(
                PrivacyCost(node=name, num_rounds=num_rounds, epsilon=self._known[name, num_rounds])
                for name, num_rounds in rounds_trained.items()
            )
        return self._told


def training_under(budget: Calibration | None, seed: int) -> Training:
    """How a node trains; without a budget, as in a job that asks for no privacy of rows."""
    if budget is None:
        return train
    from domicile.privacy.randomness import SeededRandomness
    from domicile.privacy.training import train_privately

    return partial(
        train_privately,
        mechanism=budget.mechanism,
        max_grad_norm=budget.settings.max_grad_norm,
        randomness=SeededRandomness(seed),
    )


def pooled_budget(plan: Plan, num_rows: int) -> Calibration | None:
    """What the job means where all rows lie in one place, under the same ε of a row."""
    if not isinstance(plan.job.privacy, PrivacySettings):
        return None
    from domicile.privacy.calibration import calibrate

    return calibrate(plan.job.privacy, plan.job.training, num_rows=num_rows, rounds=plan.job.horizon_rounds)
