"""Server optimisers over several rounds, against the formulas of Reddi et al. 2021 (Algorithm 2) in plain Python.

Every round starts from the bytes of the model file that the round before left, as a committee member does after a
restart.
"""

from __future__ import annotations

import io
import math
import random
from typing import Any

import pytest
import torch

from aggregator.merging import MergedModel, merge_into
from domicile.learning.merging import Accumulator, apply_delta, new_state, weight_of
from domicile.learning.model import PIECE, ModelFile, ModelLayout, ModelMetadata
from domicile.learning.settings import MergingSettings

NUM_PARAMETERS = 6
LAYOUT = ModelLayout(entries=(("w", (2, 2)), ("b", (2,))))
ROUNDS = 5
STRATEGIES = ("fedavg", "fedavgm", "fedadam", "fedyogi", "fedadagrad")
OTHER = {"server_learning_rate": 0.3, "momentum": 0.6, "beta1": 0.7, "beta2": 0.9, "tau": 0.05}
"""Server parameters that are none of the defaults."""

Contribution = tuple[list[float], int]
"""A delta and the number of rows behind it."""


def contributions(seed: int) -> list[list[Contribution]]:
    rng = random.Random(seed)  # noqa: S311 - updates of a test, not keys
    return [
        [([rng.gauss(0, 1) for _ in range(NUM_PARAMETERS)], rng.randint(1, 500)) for _ in range(rng.randint(1, 5))]
        for _ in range(ROUNDS)
    ]


def oracle(settings: MergingSettings, rounds: list[list[Contribution]]) -> list[float]:
    """Parameter by parameter, in Python's own floats."""
    s = settings
    model = []
    for index in range(NUM_PARAMETERS):
        x, m, v = 0.5, 0.0, s.tau**2
        for updates in rounds:
            weights = [float(rows) if s.weighting == "samples" else 1.0 for _, rows in updates]
            d = sum(w * delta[index] for w, (delta, _) in zip(weights, updates, strict=True)) / sum(weights)
            if s.strategy == "fedavg":
                x += s.server_learning_rate * d
            elif s.strategy == "fedavgm":
                m = s.momentum * m + d
                x += s.server_learning_rate * m
            else:
                m = s.beta1 * m + (1 - s.beta1) * d
                if s.strategy == "fedadagrad":
                    v = v + d**2
                elif s.strategy == "fedyogi":
                    v = v - (1 - s.beta2) * d**2 * math.copysign(1.0, v - d**2)
                else:
                    v = s.beta2 * v + (1 - s.beta2) * d**2
                x += s.server_learning_rate * m / (math.sqrt(v) + s.tau)
        model.append(x)
    return model


def stored(model: MergedModel) -> bytes:
    return b"".join(bytes(chunk) for chunk in model.file.chunks(model.values_P))


def merged(settings: MergingSettings, rounds: list[list[Contribution]], *, keep_state: bool = True) -> torch.Tensor:
    """The model after all rounds, each from the stored bytes of the one before."""
    start_P = torch.full((NUM_PARAMETERS,), 0.5)
    raw = b"".join(bytes(chunk) for chunk in ModelFile(layout=LAYOUT).chunks(start_P))
    for updates in rounds:
        base_P = torch.empty(NUM_PARAMETERS)
        base = LAYOUT.read(io.BytesIO(raw), base_P)
        mean = Accumulator(NUM_PARAMETERS)
        for delta, rows in updates:
            mean.add(torch.tensor(delta), weight_of(settings, rows))
        raw = stored(merge_into(settings, base, base_P, mean.mean(), ModelMetadata(), keep_state=keep_state))
    final_P = torch.empty(NUM_PARAMETERS)
    LAYOUT.read(io.BytesIO(raw), final_P)
    return final_P


@pytest.mark.parametrize("weighting", ["samples", "uniform"])
@pytest.mark.parametrize("parameters", [{}, OTHER], ids=["defaults", "other parameters"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_several_rounds_are_what_the_formulas_say(strategy: str, parameters: dict[str, Any], weighting: str) -> None:
    settings = MergingSettings.model_validate({"strategy": strategy, "weighting": weighting, **parameters})
    for seed in range(5):
        rounds = contributions(seed)
        assert merged(settings, rounds).tolist() == pytest.approx(oracle(settings, rounds), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_two_weightings_are_not_the_same(strategy: str) -> None:
    by_rows, alike = (
        MergingSettings.model_validate({"strategy": strategy, "weighting": weighting})
        for weighting in ("samples", "uniform")
    )
    assert not torch.allclose(merged(by_rows, contributions(0)), merged(alike, contributions(0)), atol=1e-2)


@pytest.mark.parametrize("strategy", STRATEGIES[1:])
def test_an_optimizer_that_starts_anew_each_round_is_another_one(strategy: str) -> None:
    settings = MergingSettings.model_validate({"strategy": strategy})
    rounds = contributions(1)
    anew_P = merged(settings, rounds, keep_state=False)
    assert not torch.allclose(anew_P, merged(settings, rounds), atol=1e-2)


def test_state_of_another_strategy_is_refused() -> None:
    settings = MergingSettings(strategy="fedadam")
    state = new_state(MergingSettings(strategy="fedavgm"), 3)
    with pytest.raises(ValueError, match="fedadam keeps"):
        apply_delta(settings, torch.zeros(3), torch.zeros(3), state)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_large_model_is_stepped_like_a_small_one_in_every_piece(strategy: str) -> None:
    settings = MergingSettings.model_validate({"strategy": strategy})
    pattern_P = torch.tensor([0.4, -0.3, 0.2])
    small_P, large_P = torch.zeros(3), torch.zeros(3 * PIECE)
    small, large = new_state(settings, 3), new_state(settings, 3 * PIECE)
    for _ in range(2):
        apply_delta(settings, small_P, pattern_P, small)
        apply_delta(settings, large_P, pattern_P.repeat(PIECE), large)
    assert torch.equal(large_P, small_P.repeat(PIECE))


@pytest.mark.parametrize("weight", [0.0, -1.0, math.inf, math.nan])
def test_a_weight_that_is_not_positive_and_finite_is_refused(weight: float) -> None:
    with pytest.raises(ValueError, match="positive and finite"):
        Accumulator(1).add(torch.ones(1), weight)


def test_a_mean_of_nothing_and_an_update_after_the_end_are_refused() -> None:
    with pytest.raises(ValueError, match="nothing to merge"):
        Accumulator(1).mean()
    ended = Accumulator(1)
    ended.add(torch.ones(1), 1.0)
    assert ended.mean() is ended.mean()
    with pytest.raises(ValueError, match="no more updates"):
        ended.add(torch.ones(1), 1.0)
    ended.reset()
    ended.add(torch.full((1,), 3.0), 2.0)
    assert ended.mean().tolist() == [3.0]
