"""What a sandbox's job says of its privacy, and reference models that keep the same."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial

from domicile.learning.references import Training
from domicile.learning.training import train
from domicile.privacy.node_level.claim import claim_under
from domicile.privacy.settings import PrivacySettings
from scripts.report.schema import NodePrivacyRecord, PrivacyRecord
from scripts.sandbox.plan import Plan
from scripts.view import DatasetView


def privacy_of(plan: Plan, rounds_trained: Mapping[str, int], datasets: Iterable[DatasetView]) -> PrivacyRecord | None:
    """`rounds_trained`: regional rounds in which each node sealed an update."""
    if plan.job.privacy is None:
        return None
    from domicile.privacy.claim import REPRODUCIBLE

    budgets = {name: plan.node_budget or plan.budgets[name] for name in rounds_trained}
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
                epsilon_spent=budget.spent(rounds_trained[name]),
            )
            for name, budget in budgets.items()
        ],
        datasets=list(datasets),
    )


def local_training(plan: Plan, name: str, seed: int) -> Training:
    """How a node trains, for the reference that it reaches alone: privacy of nodes asks nothing of what stays there."""
    if not isinstance(plan.job.privacy, PrivacySettings):
        return train
    from domicile.privacy.randomness import SeededRandomness
    from domicile.privacy.training import train_privately

    return partial(
        train_privately,
        mechanism=plan.budgets[name].mechanism,
        max_grad_norm=plan.job.privacy.max_grad_norm,
        randomness=SeededRandomness(seed),
    )


def pooled_training(plan: Plan, num_rows: int, seed: int) -> Training:
    """The same of all rows in one place, under the same ε of a row."""
    if not isinstance(plan.job.privacy, PrivacySettings):
        return train
    from domicile.privacy.calibration import calibrate
    from domicile.privacy.randomness import SeededRandomness
    from domicile.privacy.training import train_privately

    pooled = calibrate(plan.job.privacy, plan.job.training, num_rows=num_rows, rounds=plan.job.horizon_rounds)
    return partial(
        train_privately,
        mechanism=pooled.mechanism,
        max_grad_norm=plan.job.privacy.max_grad_norm,
        randomness=SeededRandomness(seed),
    )
