"""The claim says no more than is kept."""

from __future__ import annotations

from typing import Any

import pytest

from domicile.learning.settings import TrainingSettings
from domicile.privacy.claim import NODES_OWN, REPRODUCIBLE, SECURE, Claim, claim_of
from domicile.privacy.settings import PrivacySettings

ROUNDS = (4, 3, 1)


def claim(*, training: TrainingSettings | None = None, randomness: str = SECURE, **settings: Any) -> Claim:
    return claim_of(
        PrivacySettings(**{"epsilon": 4.0, "delta": 1e-6, "max_grad_norm": 0.5} | settings),
        training or TrainingSettings(steps=5, batch_size=16),
        rounds=ROUNDS,
        epsilon=3.99,
        randomness=randomness,
    )


def test_every_point_that_nist_sp_800_226_asks_for_is_stated() -> None:
    told = dict(claim().lines())
    points = ("ε, δ", "unit of privacy", "neighbouring relation", "trust model", "accountant", "horizon", "sampling")
    assert all(told[point] for point in (*points, "mechanism", "randomness", "implementation"))
    assert told["ε, δ"] == "3.99, 1e-06"
    assert told["horizon"] == "24 regional rounds at most (4 global x 3 regional x 2 tries) of 5 steps: 120 steps"
    assert "Opacus 1.6" in told["implementation"]
    assert "L2 norm 0.5" in told["mechanism"]


def test_figures_of_held_out_rows_that_leave_are_told_and_their_rows_are_not_in_the_unit() -> None:
    closed, opened = claim(), claim(held_out_figures="open")
    assert closed.unit.startswith("one row of a node's data;")
    assert opened.unit.startswith("one row of a node's training part;")
    assert [told for told in opened.not_covered if told not in closed.not_covered] == [
        "loss and accuracy on held-out rows, which go to the shard's committee without noise"
    ]


def test_steps_that_follow_from_a_nodes_rows_are_not_guessed() -> None:
    found = claim(training=TrainingSettings(epochs=2))
    assert (found.num_rounds, found.num_steps) == (24, None)
    assert "steps" not in found.horizon


@pytest.mark.parametrize("randomness", [SECURE, NODES_OWN, REPRODUCIBLE])
def test_noise_that_protects_nobody_is_called_that(randomness: str) -> None:
    told = claim(randomness=randomness).randomness
    assert ("nothing is protected" in told) == (randomness is REPRODUCIBLE)
