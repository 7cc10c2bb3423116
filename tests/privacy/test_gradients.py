"""Clipped sums against a loop that takes one row at a time, without any hook."""

from __future__ import annotations

import pytest
import torch

from domicile.learning.task import Split
from domicile.privacy.gradients import ClippedGradients
from tests.privacy.models import MODELS, NUM_ROWS, Regression, seeded

HUGE = 1e9


def by_loop(task: Regression, module: torch.nn.Module, rows: Split, max_grad_norm: float) -> torch.Tensor:
    """Sum of all rows' clipped gradients, flat."""
    total = torch.zeros(sum(one.numel() for one in module.parameters()))
    for row, target in zip(*rows, strict=True):
        loss = task.loss(module(row[None]), target[None])
        flat = torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(module.parameters()))])
        total += flat * min(1.0, max_grad_norm / float(flat.norm()))
    return total


def summed(task: Regression, module: torch.nn.Module, rows: Split, max_grad_norm: float) -> torch.Tensor:
    with ClippedGradients(module, max_grad_norm) as gradients:
        gradients.sum(task, *rows)
        return torch.cat([one.grad.flatten() for one in gradients.parameters if one.grad is not None])


@pytest.mark.parametrize("max_grad_norm", [0.05, 1.0, 4.0])
@pytest.mark.parametrize("name", list(MODELS))
def test_each_rows_gradient_is_clipped_by_itself_whatever_the_layers(name: str, max_grad_norm: float) -> None:
    task, module, rows = seeded(name)
    expected = by_loop(task, module, rows, max_grad_norm)
    assert torch.allclose(summed(task, module, rows, max_grad_norm), expected, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(expected, by_loop(task, module, rows, HUGE), rtol=1e-2)


@pytest.mark.parametrize("name", list(MODELS))
def test_no_row_moves_the_sum_by_more_than_the_norm(name: str) -> None:
    task, module, rows = seeded(name)
    whole = summed(task, module, rows, 0.5)
    for row in range(NUM_ROWS):
        others = torch.arange(NUM_ROWS) != row
        moved = whole - summed(task, module, (rows[0][others], rows[1][others]), 0.5)
        assert float(moved.norm()) <= 0.5 * (1 + 1e-4)


def test_where_nothing_is_clipped_the_sum_is_the_gradient_of_plain_training() -> None:
    task, module, rows = seeded("layers")
    found = summed(task, module, rows, HUGE) / NUM_ROWS
    loss = task.loss(module(rows[0]), rows[1])
    plain = torch.cat([part.flatten() for part in torch.autograd.grad(loss, list(module.parameters()))])
    assert torch.allclose(found, plain, rtol=1e-5, atol=1e-7)


def test_a_row_without_a_finite_gradient_counts_as_none_and_the_others_as_ever() -> None:
    task, module, (inputs, targets) = seeded("layers")
    spoiled = inputs.clone()
    spoiled[4] = float("inf")
    others = torch.arange(NUM_ROWS) != 4
    expected = summed(task, module, (inputs[others], targets[others]), 1.0)
    assert torch.equal(summed(task, module, (spoiled, targets), 1.0), expected)


def test_no_rows_give_no_gradient() -> None:
    task, module, (inputs, targets) = seeded("convolutions")
    assert not summed(task, module, (inputs[:0], targets[:0]), 1.0).any()


def test_the_module_is_left_as_it_was_found() -> None:
    task, module, rows = seeded("layers")
    before = {name for layer in module.modules() for name in vars(layer)}
    summed(task, module, rows, 1.0)
    hooks = sum(len(layer._forward_hooks) + len(layer._backward_hooks) for layer in module.modules())
    assert hooks == 0
    assert {name for layer in module.modules() for name in vars(layer)} <= before | {"autograd_grad_sample_hooks"}
    summed(task, module, rows, 1.0)


def test_a_loss_that_mixes_rows_is_given_them_one_by_one() -> None:
    class Contrast(Regression):
        def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            return ((outputs[:, 0] - outputs.mean()) ** 2 + (outputs[:, 0] - targets) ** 2).mean()

    _, module, rows = seeded("linear")
    task = Contrast()
    assert torch.allclose(summed(task, module, rows, 1.0), by_loop(task, module, rows, 1.0), rtol=1e-4, atol=1e-6)
    assert torch.allclose(summed(task, module, rows, 1.0), by_loop(Regression(), module, rows, 1.0), atol=1e-5)
