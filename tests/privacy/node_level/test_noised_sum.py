"""Noise under masks: what a committee unmasks is the noised mean, whoever drops out, and nothing else goes along."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import kstest

from domicile.errors import SecureSumError
from domicile.privacy.node_level.grid import NORMS_WITHIN, NoisedEncoder, NoisedGrid
from domicile.privacy.node_level.mechanism import SumMechanism, mechanism_for
from domicile.privacy.node_level.update import NoisedUpdate
from domicile.secure_sum.grid import Quantities
from domicile.types import Address
from tests.secure_sum.circle import Circle

P_MIN = 1e-5
"""Noise is secret here, and differs in each run."""

NUM_VALUES = 4000


@dataclass
class NoisedCircle(Circle):
    """Members whose updates have norms up to 2, in units of the clipping norm."""

    num_values: int = NUM_VALUES
    weight_units: int = 1
    epsilon: float = 8.0

    def __post_init__(self) -> None:
        super().__post_init__()
        self.mechanism: SumMechanism = mechanism_for(
            self.epsilon, 1e-5, num_sums=10, num_shares=2, num_parameters=self.num_values
        )
        noised = NoisedGrid(mechanism=self.mechanism)
        self.grid = noised  # type: ignore[assignment]
        self.quantities = Quantities(noised.quantities, self.num_members, 1)

    def clipped(self, member: Address) -> NDArray[np.float64]:
        update = self.updates[member].astype(np.float64)
        return np.asarray(update * min(1.0, 1 / float(np.linalg.norm(update))))


class Shouting(NoisedGrid):
    def encoder(self, values_P: NDArray[np.float32], units: int) -> NoisedEncoder:
        return NoisedEncoder(NoisedUpdate(values_P=torch.full((len(values_P),), 1 << 30, dtype=torch.int32), bit=0), 1)


@pytest.mark.parametrize(("num_members", "dropped"), [(3, 0), (5, 1), (12, 4)])
def test_the_unmasked_mean_has_the_noise_of_its_survivors(num_members: int, dropped: int) -> None:
    circle = NoisedCircle(num_members)
    survivors = circle.members[dropped:]
    circle.commit_all(survivors)
    told = circle.sum(survivors)
    exact = sum(circle.clipped(one) for one in survivors) / len(survivors)
    residual = (told.mean_P - exact) / circle.mechanism.relative_deviation(len(survivors))
    assert kstest(residual, "norm").pvalue > P_MIN
    assert told.units == len(survivors)


def test_of_all_figures_only_noised_bits_are_summed() -> None:
    """Of 40 members all but a few are above the norm or below it; what is told of them is their number, with noise."""
    circle = NoisedCircle(40, num_values=20, epsilon=100.0)
    circle.commit_all()
    told = circle.sum(circle.members)
    assert set(told.figures) == {NORMS_WITHIN}
    truly = np.mean([float(np.linalg.norm(one)) <= 1 for one in circle.updates.values()])
    deviation = (circle.mechanism.variance * 40) ** 0.5 / (2 * circle.mechanism.bit * 40)
    assert abs(circle.mechanism.within(told.figures[NORMS_WITHIN], 40) - truly) < 6 * deviation


def test_a_member_that_puts_in_more_than_its_norm_is_noticed() -> None:
    circle = NoisedCircle(3, num_values=20, epsilon=100.0)
    circle.commit_all(circle.members[:2])
    honest = circle.grid
    circle.grid = Shouting(mechanism=circle.mechanism)  # type: ignore[assignment]
    circle.commit(circle.members[2])
    circle.grid = honest
    with pytest.raises(SecureSumError, match="a survivor's masks or values are garbage"):
        circle.sum(circle.members)


@pytest.mark.parametrize("num_nodes", [3, 50])
def test_an_honest_sum_is_within_the_norm_that_is_looked_for(num_nodes: int) -> None:
    circle = NoisedCircle(num_nodes, num_values=200, epsilon=1.0)
    circle.commit_all()
    circle.sum(circle.members)
    noise = circle.mechanism.norm_bound(num_nodes) - num_nodes * circle.mechanism.rounded_norm_squared**0.5
    assert noise < 2 * (num_nodes * circle.mechanism.variance * 200) ** 0.5


def test_a_bit_that_noise_carries_too_far_is_told_as_the_most() -> None:
    """To refuse it would tell of the noise."""
    update = NoisedUpdate(values_P=torch.zeros(1, dtype=torch.int32), bit=-1000)
    assert NoisedEncoder(update, 99).figures == {NORMS_WITHIN: -99}
