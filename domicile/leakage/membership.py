"""Membership inference against a job: the models that were released, and what others could see meanwhile.

Shapes: S shadow models, N rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from domicile.leakage.likelihood import each_against_the_others, log_ratios
from domicile.leakage.roc import Array, Interval, Roc, area_of, area_with_interval, roc_of, true_positives_at
from domicile.leakage.shadows import ReleasedRound, ShadowFederation

LOW_RATES = (0.01, 0.001)
"""False positive rates at which an attack is judged: one that names a few rows for certain does harm already."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AttackResult:
    """`at_low_rates`: true positive rate at each of `LOW_RATES`. `least_rate`: the lowest rate of false positives above
    0 that so many outsiders can show; below it, a rate means none at all.
    """

    area: Interval
    roc: Roc
    at_low_rates: tuple[float, ...]
    least_rate: float
    num_scores: int

    @classmethod
    def of(cls, scores_TN: Array, member_TN: Array, *, confidence: float, seed: int) -> AttackResult:
        roc = roc_of(scores_TN, member_TN)
        return cls(
            area=area_with_interval(scores_TN, member_TN, confidence=confidence, seed=seed),
            roc=roc,
            at_low_rates=tuple(true_positives_at(roc, rate) for rate in LOW_RATES),
            least_rate=1 / int((~member_TN).sum()),
            num_scores=member_TN.size,
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class MembershipFindings:
    """`released`: the job's own models, all rounds together; `area_by_round` each of them alone.

    `update`: one node's updates, as its committee sees them where nothing sums them first. `merged`: global models of a
    federation whose other nodes are known as well as this one: what the attack on `released` could be at best. Both are
    of shadow models, each attacked by all others.
    """

    num_members: int
    num_outsiders: int
    num_shadows: int
    released: AttackResult
    area_by_round: tuple[tuple[int, float], ...]
    update: AttackResult
    merged: AttackResult


def infer_membership(
    federation: ShadowFederation,
    rounds: Sequence[ReleasedRound],
    is_member_N: Array,
    *,
    confidence: float,
    step: Callable[[], None],
) -> MembershipFindings:
    """Attacks every round; log likelihood ratios of rounds add up, as if rounds were independent.

    Raises:
        Divergence: a shadow model is not finite.
    """
    member_SN = federation.member_SN
    released_N = np.zeros(len(is_member_N))
    update_SN, merged_SN = np.zeros(member_SN.shape), np.zeros(member_SN.shape)
    by_round = []
    for released in rounds:
        found = federation.replay(released, step)
        scores_N = log_ratios(found.released_N, found.merged_SN, member_SN)
        by_round.append((released.global_round, area_of(scores_N[None], is_member_N[None])))
        released_N += scores_N
        update_SN += each_against_the_others(found.updated_SN, member_SN)
        merged_SN += each_against_the_others(found.merged_SN, member_SN)

    def result(scores_TN: Array, member_TN: Array) -> AttackResult:
        return AttackResult.of(scores_TN, member_TN, confidence=confidence, seed=federation.seed)

    return MembershipFindings(
        num_members=int(is_member_N.sum()),
        num_outsiders=int((~is_member_N).sum()),
        num_shadows=len(member_SN),
        released=result(released_N[None], is_member_N[None]),
        area_by_round=tuple(by_round),
        update=result(update_SN, member_SN),
        merged=result(merged_SN, member_SN),
    )
