"""Rounds in one process against the mean that they are, written out."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch

from domicile.learning.federation import GlobalRounds, train_federated
from domicile.learning.settings import MergingSettings
from domicile.learning.training import TrainingResult

NUM_ROWS = {"a": 10, "b": 30, "c": 20}
TARGETS = {"a": 1.0, "b": -2.0, "c": 5.0}


class Pulling:
    """Nodes that go a fixed part of the way from a round's model to a value of their own."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int, int]] = []

    def __call__(self, node: str, base_P: torch.Tensor, global_round: int, regional_round: int) -> TrainingResult:
        self.asked.append((node, global_round, regional_round))
        delta_P = (TARGETS[node] - base_P) * 0.25
        return TrainingResult(delta_P=delta_P, num_examples=NUM_ROWS[node], num_steps=1, training_loss=None)


def moved(model: float, nodes: Sequence[str], weights: dict[str, int]) -> float:
    total = sum(weights[node] for node in nodes)
    return model + sum(weights[node] * (TARGETS[node] - model) * 0.25 for node in nodes) / total


@pytest.mark.parametrize("weighting", ["samples", "uniform"])
def test_each_round_is_the_weighted_mean_of_its_contributors_and_shards_weigh_by_their_rows(weighting) -> None:
    settings = MergingSettings(weighting=weighting)
    weights = NUM_ROWS if weighting == "samples" else dict.fromkeys(NUM_ROWS, 1)
    update = Pulling()
    rounds: GlobalRounds = [[{0: ["a", "b"], 1: ["b"]}, {0: ["c"]}], [{2: ["a"]}]]
    got_P = train_federated(torch.zeros(2), rounds, update, regional=settings, worldwide=settings)
    left = moved(moved(0.0, ["a", "b"], weights), ["b"], weights)
    right = moved(0.0, ["c"], weights)
    # A shard weighs by the rows behind its last regional round.
    first = (weights["b"] * left + weights["c"] * right) / (weights["b"] + weights["c"])
    assert got_P.tolist() == pytest.approx([moved(first, ["a"], weights)] * 2)
    assert update.asked == [("a", 0, 0), ("b", 0, 0), ("b", 0, 1), ("c", 0, 0), ("a", 1, 2)]


def test_a_server_optimiser_keeps_its_state_over_the_rounds_in_which_the_committees_keep_it() -> None:
    """The global one over all, the regional one within a global round."""
    momentum = MergingSettings(strategy="fedavgm", momentum=0.5)
    plain = MergingSettings()
    rounds: GlobalRounds = [[{0: ["a"], 1: ["a"]}], [{0: ["a"], 1: ["a"]}]]

    def oracle(keep_regional: float, keep_worldwide: float) -> float:
        model, outer = 0.0, 0.0
        for _ in range(2):
            inner, region = 0.0, model
            for _ in range(2):
                inner = keep_regional * inner + (1.0 - region) * 0.25
                region += inner
            outer = keep_worldwide * outer + (region - model)
            model += outer
        return model

    for regional, worldwide in ((momentum, plain), (plain, momentum)):
        got_P = train_federated(torch.zeros(1), rounds, Pulling(), regional=regional, worldwide=worldwide)
        expected = oracle(0.5 * (regional is momentum), 0.5 * (worldwide is momentum))
        assert got_P.item() == pytest.approx(expected)


def test_the_model_that_it_starts_from_stays_as_it_is() -> None:
    initial_P = torch.ones(3)
    train_federated(
        initial_P, [[{0: ["c"]}]], Pulling(), regional=MergingSettings(), worldwide=MergingSettings(momentum=0.0)
    )
    assert initial_P.tolist() == [1.0, 1.0, 1.0]
