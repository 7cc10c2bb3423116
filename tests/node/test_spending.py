"""What sealed updates cost, by what the journal keeps of them; `test_reservation` has it said on a chain."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from domicile.privacy.node_level.accountant import epsilon_of
from domicile.protocol.budget import NOTHING, Budget
from domicile.protocol.round import Member
from domicile.types import DatasetId, Digest, ShardIndex
from node.journal import SealedUpdate
from node.reservation import SpendingUnknown, spent_by
from tests.protocol.test_budget import PARAMETERS

MEMBER = Member(
    joined=True,
    has_committed=False,
    shard=ShardIndex(0),
    last_global_round=0,
    last_regional_round=0,
    dataset=DatasetId(1),
)
DELTA = PARAMETERS.delta_attos / 10**18


def sealed(sums: Sequence[float | None]) -> list[SealedUpdate]:
    return [
        SealedUpdate(
            global_round=turn,
            regional_round=0,
            digest=Digest(bytes([turn]) * 32),
            num_steps=50,
            sealed_bytes=9,
            noise_multiplier=noise,
        )
        for turn, noise in enumerate(sums)
    ]


def test_updates_in_noised_sums_cost_one_sum_each_whatever_steps_they_took() -> None:
    spent = spent_by(sealed([90.0, 45.0]), MEMBER, PARAMETERS)
    epsilon = epsilon_of(1 / (2 * 90.0**2) + 1 / (2 * 45.0**2), DELTA)
    assert 0 < epsilon < PARAMETERS.epsilon_micros / 1_000_000
    assert spent == Budget(epsilon_micros=math.ceil(epsilon * 1_000_000), delta_attos=PARAMETERS.delta_attos)


def test_nothing_sealed_costs_nothing() -> None:
    assert spent_by([], MEMBER, PARAMETERS) == NOTHING


def test_one_update_of_unknown_noise_makes_all_unknown() -> None:
    with pytest.raises(SpendingUnknown, match=r"the noise of round 1\.0 is in no journal"):
        spent_by(sealed([90.0, None]), MEMBER, PARAMETERS)
