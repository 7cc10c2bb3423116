"""The whole numbers of a job's noised sums: grid, sensitivity, noise, and what a ring of 32 bits must hold.

Distributed discrete Gaussian (Kairouz, Liu, Steinke 2021). Of its steps the random rotation is left out: it spreads a
vector evenly, so that few bits hold each coordinate and rounding adds little to the norm. With 32 bits the grid is so
fine that neither is needed: a single coordinate may hold the whole norm, and what rounding adds is refused above 5 %
(at 10 million parameters, ε = 1, 100 rounds it is 0.002 %).

Everything is told in steps of the grid, of which the clipping norm is always `scale`, whatever it is in a round. So one
mechanism serves all rounds of a job.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from domicile.errors import ConfigurationError
from domicile.privacy.node_level.accountant import epsilon_of, rho_for, rho_of, variance_for

RING_BITS = 32
NODES_MAX = 256
"""Of a shard: the contract seats no more. The grid has to serve any number, since it is fixed before they join."""

SCALE_BITS_MAX = 22
"""A finer grid gains nothing: noise is far above it."""

BIT_WEIGHT = 0.25
"""Of the clipping norm: how heavily a node's bit counts. It adds 3 % to the noise of the update (Andrew et al. 2021,
theorem 1, spend 1 % and need hundreds of nodes for it).
"""

WRAP_CHANCE = 2.0**-40
"""That any value of a sum leaves the ring."""

ROUNDING_MAX = 0.1
"""Of the squared norm: beyond it rounding costs more than the noise would allow."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SumMechanism:
    """`num_parameters`: of the model. `scale`: steps that the clipping norm has. `variance`: of the noise that each
    node adds to each value. `num_shares`: nodes of which that noise is counted.
    """

    num_parameters: int
    scale: int
    variance: int
    num_shares: int

    @property
    def bit(self) -> int:
        """What a node adds to the one value beside its update if its norm is within bounds, and subtracts if not."""
        return round(BIT_WEIGHT * self.scale)

    @property
    def sample_rate(self) -> float:
        """Every node goes into every sum, so that none is hidden by chance."""
        return 1.0

    @property
    def rounded_norm_squared(self) -> int:
        """Most that an update has after rounding."""
        return rounded_norm_squared(self.scale, self.num_parameters)

    @property
    def sensitivity_squared(self) -> int:
        """By how much the sum moves if a node's update and bit become 0."""
        return self.rounded_norm_squared + self.bit**2

    @property
    def rho(self) -> float:
        """What one sum costs."""
        return rho_of(
            sensitivity_squared=self.sensitivity_squared,
            variance=self.variance,
            num_shares=self.num_shares,
            num_values=self.num_parameters + 1,
        )

    def epsilon(self, num_sums: int, delta: float) -> float:
        return epsilon_of(num_sums * self.rho, delta)

    @property
    def noise_multiplier(self) -> float:
        """Deviation of the counted noise by what one node moves at most; of a sum of discrete Gaussians, that of the
        one Gaussian which costs the same.
        """
        return math.sqrt(1 / (2 * self.rho))

    def bound(self, num_nodes: int) -> int:
        """Below which every value of an honest sum of so many nodes lies, but for one chance in 2**40.

        Discrete Gaussians are sub-Gaussian by their variance (Canonne, Kamath, Steinke 2020, corollary 17), and
        so are sums of them: that one of `num_parameters` + 1 goes beyond t deviations has a chance of at most
        2 (P + 1) exp(-t² / 2).
        """
        return num_nodes * (self.scale + 1) + self._noise_max(num_nodes)

    def _noise_max(self, num_nodes: int) -> int:
        deviations = math.sqrt(2 * math.log(2 * (self.num_parameters + 1) / WRAP_CHANCE))
        return math.ceil(deviations * math.sqrt(num_nodes * self.variance))

    @property
    def bit_max(self) -> int:
        """Most that one node's bit comes to with its noise, but for a chance of 2**-40."""
        return self.bit + self._noise_max(1)

    def within(self, bits: float, num_nodes: int) -> float:
        """The part of so many nodes whose norm was within bounds, by the sum of their bits; noise may lead anywhere."""
        return (bits / (self.bit * num_nodes) + 1) / 2

    def norm_bound(self, num_nodes: int) -> float:
        """Most L2 norm of an honest sum of so many nodes, but for a chance of 2**-40 (Hsu, Kakade, Zhang 2012, theorem
        2.1, for a vector with independent sub-Gaussian coordinates).
        """
        exponent = -math.log(WRAP_CHANCE)
        squares = self.num_parameters + 2 * math.sqrt(self.num_parameters * exponent) + 2 * exponent
        return num_nodes * math.sqrt(self.rounded_norm_squared) + math.sqrt(num_nodes * self.variance * squares)

    def relative_deviation(self, num_nodes: int) -> float:
        """Of the noise on each coordinate of the mean of so many nodes' updates, by the clipping norm."""
        return math.sqrt(self.variance / num_nodes) / self.scale


def rounded_norm_squared(scale: int, num_parameters: int) -> int:
    """Most that a vector of norm `scale` is to have after stochastic rounding; rounding is repeated until it holds,
    which each time has a chance of 1 - exp(-1/2) at least (Kairouz et al. 2021, proposition 22, β = exp(-1/2)).
    """
    likely = scale**2 + num_parameters / 4 + scale + math.sqrt(num_parameters) / 2
    return math.floor(min(likely, (scale + math.sqrt(num_parameters)) ** 2))


def mechanism_for(epsilon: float, delta: float, *, num_sums: int, num_shares: int, num_parameters: int) -> SumMechanism:
    """The finest grid on which the least noise that keeps ε over `num_sums` fits the ring.

    Raises:
        ConfigurationError: none does.
    """
    rho = rho_for(epsilon, delta) / num_sums
    for bits in range(SCALE_BITS_MAX, 0, -1):
        scale = 1 << bits
        rounded = rounded_norm_squared(scale, num_parameters)
        if rounded > (1 + ROUNDING_MAX) * scale**2:
            break
        variance = variance_for(
            rho,
            sensitivity_squared=rounded + round(BIT_WEIGHT * scale) ** 2,
            num_shares=num_shares,
            num_values=num_parameters + 1,
        )
        one = SumMechanism(num_parameters=num_parameters, scale=scale, variance=variance, num_shares=num_shares)
        if one.bound(NODES_MAX) < 1 << (RING_BITS - 1):
            return one
    raise ConfigurationError(
        f"privacy.epsilon: {epsilon:g} over {num_sums} rounds takes more noise than {RING_BITS} bits hold; raise it, "
        "or lower the number of rounds"
    )
