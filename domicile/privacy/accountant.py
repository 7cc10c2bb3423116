"""What Poisson-sampled Gaussian noise costs, over any number of steps.

The figure that counts is the upper bound of Gopi, Lee and Wutschitz 2021 (PRV). Rényi accounting (Mironov, Talwar and
Zhang 2019) is looser, and checks it.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

from opacus.accountants import PRVAccountant, RDPAccountant

from domicile.errors import ConfigurationError

NAME = "PRV (Gopi et al. 2021), upper bound, cross-checked by RDP"
EPSILON_ERROR_MAX = 0.01
EPSILON_ERROR_PART = 0.01
"""Of ε: how far the bound may lie above it. Memory and time grow as it falls."""

SEARCH_PRECISION = 1e-3
"""Of the noise multiplier; the search ends on the side of more noise."""

NOISE_MULTIPLIER_MAX = 1e4
NOISE_MULTIPLIER_MIN = 0.1
EPSILON_MIN = 0.01
EPSILON_MAX = 500.0
"""Outside of these PRV's grid outgrows any memory; below nothing is learned, above nothing is protected."""

ORDERS = [1 + part / 20 for part in range(1, 200)] + list(range(11, 64)) + [2.0**power for power in range(6, 13)]
"""Rényi orders: from those that suit a large ε to those that suit a small one."""


class AccountantsDisagree(ConfigurationError):
    """Two independent computations of ε contradict each other, so that neither is claimed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mechanism:
    """One step: each row is drawn with `sample_rate`, and its clipped gradient is covered by noise."""

    sample_rate: float
    noise_multiplier: float


def epsilon_of(mechanism: Mechanism, num_steps: int, delta: float) -> float:
    """An upper bound of ε at `delta` after `num_steps`; 0 after none.

    Raises:
        AccountantsDisagree; ConfigurationError: ε is beyond `EPSILON_MAX`.
    """
    if not num_steps:
        return 0.0
    loose = rdp_epsilon_of(mechanism, num_steps, delta)
    if loose > EPSILON_MAX:
        raise ConfigurationError(
            f"privacy: ε would be {loose:.0f} with noise_multiplier {mechanism.noise_multiplier:g}, which protects "
            "nothing; raise noise_multiplier or lower the number of rounds and steps"
        )
    error = min(EPSILON_ERROR_MAX, EPSILON_ERROR_PART * loose)
    accountant = PRVAccountant()
    accountant.history = [(mechanism.noise_multiplier, mechanism.sample_rate, num_steps)]
    tight = float(accountant.get_epsilon(delta, eps_error=error))
    if not 0 < tight <= loose + error:
        raise AccountantsDisagree(
            f"privacy: ε is {tight:.4g} by PRV and at most {loose:.4g} by RDP; nothing is trained: change delta, "
            "noise_multiplier or batch_size a little, and report this"
        )
    return tight


def rdp_epsilon_of(mechanism: Mechanism, num_steps: int, delta: float) -> float:
    """The same by Rényi accounting: looser, and computed in quite another way."""
    accountant = RDPAccountant()
    accountant.history = [(mechanism.noise_multiplier, mechanism.sample_rate, num_steps)]
    with warnings.catch_warnings():
        # That the best order is the first or the last: the bound holds all the same.
        warnings.simplefilter("ignore", UserWarning)
        return float(accountant.get_epsilon(delta, alphas=ORDERS))


def noise_multiplier_for(epsilon: float, delta: float, *, sample_rate: float, num_steps: int) -> float:
    """The least noise that keeps `epsilon` over `num_steps`, to 1 in 1000.

    Raises:
        ConfigurationError: no sensible noise does.
    """
    if epsilon < EPSILON_MIN:
        raise ConfigurationError(
            f"privacy.epsilon: {epsilon:g} is below {EPSILON_MIN}, where noise drowns whatever there is; raise it"
        )

    def keeps(noise_multiplier: float) -> bool:
        mechanism = Mechanism(sample_rate=sample_rate, noise_multiplier=noise_multiplier)
        if rdp_epsilon_of(mechanism, num_steps, delta) > EPSILON_MAX:
            return False
        return epsilon_of(mechanism, num_steps, delta) <= epsilon

    high = NOISE_MULTIPLIER_MIN
    while not keeps(high):
        high *= 2
        if high > NOISE_MULTIPLIER_MAX:
            raise ConfigurationError(
                f"privacy.epsilon: no noise keeps {epsilon:g} at delta {delta:g} over {num_steps} steps; raise epsilon "
                "or lower the number of rounds and steps"
            )
    low = high / 2
    while high - low > SEARCH_PRECISION * high:
        middle = (low + high) / 2
        low, high = (low, middle) if keeps(middle) else (middle, high)
    return high
