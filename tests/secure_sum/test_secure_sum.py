"""A whole round: what comes out is the mean of the survivors, whoever drops out and when."""

from __future__ import annotations

import numpy as np
import pytest

from domicile.types import Address
from tests.secure_sum.circle import Circle


def assert_is_the_mean(circle: Circle, survivors: list[Address], answering: list[Address] | None = None) -> None:
    mean = circle.sum(survivors, answering)
    units = sum(circle.units[one] for one in survivors)
    assert mean.units == units
    assert mean.figures["rows"] == units
    expected_loss = sum(circle.losses[one] for one in survivors)
    assert abs(mean.figures["loss"] - expected_loss) <= len(survivors) * 2.0**-17
    bound = len(survivors) * circle.grid.step * circle.weight_units / units
    exact = circle.exact_mean(survivors)
    assert np.all(np.abs(mean.mean_P - exact) <= bound + 2.0**-24 * np.abs(exact))


@pytest.mark.parametrize("num_members", [3, 4, 7, 40])
def test_with_everybody_there_the_mean_comes_out(num_members: int) -> None:
    circle = Circle(num_members, num_values=20_000 if num_members == 4 else 50)
    circle.commit_all()
    assert_is_the_mean(circle, circle.members)
