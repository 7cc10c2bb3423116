"""DP-SGD against plain SGD where nothing is clipped or noised, and against its own formula where both are.

Shapes: N rows, B rows of a batch.
"""

from __future__ import annotations

import pytest
import torch

from domicile.errors import ConfigurationError
from domicile.learning.model import flatten
from domicile.learning.settings import TrainingSettings
from domicile.learning.training import TrainingResult, train
from domicile.privacy.accountant import Mechanism
from domicile.privacy.randomness import Randomness, SecureRandomness, SeededRandomness
from domicile.privacy.training import train_privately
from tests.privacy.models import NUM_ROWS, seeded

HUGE = 1e9
OPTIMIZERS = [
    {"optimizer": "sgd"},
    {"optimizer": "sgd", "momentum": 0.8, "weight_decay": 0.1},
    {"optimizer": "adam", "weight_decay": 0.1},
    {"optimizer": "adamw", "weight_decay": 0.1},
]


class Drawn:
    """Draws the rows that it is told, step by step, and makes noise of ones."""

    def __init__(self, *steps: set[int]) -> None:
        self._steps = list(steps)

    def uniform(self, count: int) -> torch.Tensor:
        drawn = self._steps.pop(0)
        return torch.tensor([0.0 if row in drawn else 1.0 for row in range(count)])

    def gaussian(self, count: int) -> torch.Tensor:
        return torch.ones(count)


def privately(
    settings: TrainingSettings,
    randomness: Randomness,
    *,
    sample_rate: float = 1.0,
    noise_multiplier: float = 0.0,
    max_grad_norm: float = HUGE,
    name: str = "layers",
) -> TrainingResult:
    task, module, rows = seeded(name)
    mechanism = Mechanism(sample_rate=sample_rate, noise_multiplier=noise_multiplier)
    return train_privately(
        task,
        module,
        rows,
        settings,
        mechanism=mechanism,
        max_grad_norm=max_grad_norm,
        seed=1,
        randomness=randomness,
    )


@pytest.mark.parametrize("proximal_mu", [0.0, 0.7])
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_without_noise_and_clipping_all_rows_give_what_plain_training_gives(optimizer, proximal_mu: float) -> None:
    settings = TrainingSettings(**optimizer, steps=6, learning_rate=0.05, batch_size=NUM_ROWS, proximal_mu=proximal_mu)
    task, module, rows = seeded("layers")
    plain = train(task, module, rows, settings, seed=1)
    assert float(plain.delta_P.norm()) > 0.05
    found = privately(settings, Drawn(*[set(range(NUM_ROWS))] * 6))
    assert torch.allclose(found.delta_P, plain.delta_P, rtol=1e-4, atol=1e-6)
    assert (found.num_steps, found.num_examples) == (6, NUM_ROWS)


def test_a_step_divides_by_the_rows_drawn_on_average_and_not_by_those_that_were() -> None:
    settings = TrainingSettings(steps=1, learning_rate=0.1, batch_size=3)
    few, many = {2}, {1, 2, 4, 7, 8}
    task, module, (inputs, targets) = seeded("layers")
    for drawn in (few, many):
        rows = sorted(drawn)
        total = len(rows) * task.loss(module(inputs[rows]), targets[rows])
        slope = torch.cat([part.flatten() for part in torch.autograd.grad(total, list(module.parameters()))])
        found = privately(settings, Drawn(drawn), sample_rate=3 / NUM_ROWS)
        assert torch.allclose(found.delta_P, -0.1 * slope / 3, rtol=1e-4, atol=1e-6)


def test_noise_has_the_deviation_that_was_accounted_for_even_where_no_row_is_drawn() -> None:
    settings = TrainingSettings(steps=1, learning_rate=0.1, batch_size=3)
    found = privately(settings, Drawn(set()), sample_rate=3 / NUM_ROWS, noise_multiplier=2.0, max_grad_norm=0.5)
    assert torch.allclose(found.delta_P, torch.full_like(found.delta_P, -0.1 * 2.0 * 0.5 / 3))


def test_each_step_draws_each_row_by_itself() -> None:
    """Counts of drawn rows over many steps are those of independent draws."""
    draws = torch.stack([SecureRandomness().uniform(20) < 0.3 for _ in range(2000)]).double()
    assert float(draws.mean()) == pytest.approx(0.3, abs=0.01)
    assert float(draws.sum(dim=1).var()) == pytest.approx(20 * 0.3 * 0.7, rel=0.15)


def test_no_figure_of_the_training_rows_is_told() -> None:
    assert privately(TrainingSettings(steps=2), SeededRandomness(3)).training_loss is None


def test_a_seed_gives_the_same_bits_again_and_secure_noise_never() -> None:
    settings = TrainingSettings(steps=3, batch_size=4)

    def bits(randomness: Randomness) -> bytes:
        result = privately(settings, randomness, sample_rate=0.4, noise_multiplier=1.0, max_grad_norm=1.0)
        return result.delta_P.numpy().tobytes()

    assert bits(SeededRandomness(5)) == bits(SeededRandomness(5)) != bits(SeededRandomness(6))
    assert bits(SecureRandomness()) != bits(SecureRandomness())


def test_randomness_outside_is_left_alone() -> None:
    torch.manual_seed(11)
    expected = torch.rand(3)
    torch.manual_seed(11)
    privately(TrainingSettings(steps=2), SeededRandomness(3))
    assert torch.equal(torch.rand(3), expected)


def test_a_round_without_rows_is_refused() -> None:
    task, module, (inputs, targets) = seeded("layers")
    with pytest.raises(ConfigurationError, match="no training rows"):
        train_privately(
            task,
            module,
            (inputs[:0], targets[:0]),
            TrainingSettings(steps=1),
            mechanism=Mechanism(sample_rate=0.5, noise_multiplier=1.0),
            max_grad_norm=1.0,
            seed=1,
            randomness=SecureRandomness(),
        )
    assert torch.equal(flatten(module), flatten(seeded("layers")[1]))


@pytest.mark.parametrize("randomness", [SecureRandomness(), SeededRandomness(4)])
def test_noise_is_standard_normal_and_draws_are_uniform(randomness: Randomness) -> None:
    values = randomness.gaussian(400_001).double()
    assert values.shape == (400_001,)
    assert float(values.mean()) == pytest.approx(0, abs=0.01)
    assert float(values.std()) == pytest.approx(1, abs=0.01)
    assert float((values.abs() > 3).double().mean()) == pytest.approx(0.0027, rel=0.2)
    drawn = randomness.uniform(100_000)
    assert 0 <= float(drawn.min()) <= float(drawn.max()) < 1
    assert torch.histc(drawn, 10, 0, 1).tolist() == pytest.approx([10_000] * 10, rel=0.06)
