"""What Poisson-sampled Gaussian noise costs, over any number of steps.

The figure that counts is the upper bound of Gopi, Lee and Wutschitz 2021 (PRV). Rényi accounting (Mironov, Talwar and
Zhang 2019) is looser, and checks it.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache

import numpy as np
from opacus.accountants import PRVAccountant, RDPAccountant

from domicile.errors import ConfigurationError
from domicile.privacy.settings import EPSILON_RANGE

EPSILON_ERROR_MAX = 0.01
EPSILON_ERROR_PART = 0.01
"""Of ε: how far the bound may lie above it. Memory and time grow as it falls."""

SEARCH_STRIDE = 1.1
SEARCH_PRECISION = 5e-3
"""Of the noise multiplier; the search ends on the side of more noise."""

NOISE_MULTIPLIER_MAX = 1e4
NOISE_MULTIPLIER_MIN = 0.1
EPSILON_MAX = EPSILON_RANGE[1]
GRID_MAX = 1 << 21
"""Points of PRV's grid, some 200 bytes each while it works: anybody may create a job, and a finer bound is not worth a
node's memory.
"""

ORDERS = [1.1, 1.25, 1.5, 1.75, 2.5, 3.5, 4.5, *range(2, 64), *(2**power for power in range(6, 13))]
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
    return composed_epsilon_of({mechanism: num_steps}, delta)


def composed_epsilon_of(num_steps: Mapping[Mechanism, int], delta: float) -> float:
    """The same of steps with several mechanisms, of which the order makes no difference."""
    history = [(one.noise_multiplier, one.sample_rate, steps) for one, steps in num_steps.items() if steps]
    if not history:
        return 0.0
    total = sum(num_steps.values())
    loose = _rdp_epsilon_of(history, delta)
    if loose > EPSILON_MAX:
        raise ConfigurationError(
            f"privacy: ε would be {loose:.0f} with noise_multiplier {history[0][0]:g}, which protects "
            "nothing; raise noise_multiplier or lower the number of rounds and steps"
        )
    error = max(min(EPSILON_ERROR_MAX, EPSILON_ERROR_PART * loose), _coarsest(loose, total, delta))
    accountant = PRVAccountant()
    accountant.history = history
    try:
        with _as_meant():
            tight = float(accountant.get_epsilon(delta, eps_error=error))
    except (MemoryError, RuntimeError, ValueError) as exc:
        raise ConfigurationError(
            f"privacy: ε of {total} steps at delta {delta:g} cannot be computed ({exc}); raise delta, or lower the "
            "number of rounds and steps"
        ) from exc
    if not 0 < tight <= loose + error:
        raise AccountantsDisagree(
            f"privacy: ε is {tight:.4g} by PRV and at most {loose:.4g} by RDP; nothing is trained: change delta, "
            "noise_multiplier or batch_size a little, and report this"
        )
    return tight


def _coarsest(loose: float, num_steps: int, delta: float) -> float:
    """The error at which PRV's grid reaches its greatest size: Gopi et al. 2021, theorem 5.5, which sets the mesh to
    the error by √(k ln(12 / δ_error) / 2), and looks at losses somewhat beyond ε.
    """
    fineness = math.sqrt(num_steps * math.log(12_000 / delta) / 2)
    return 2 * (2 * loose + 10) * fineness / GRID_MAX


def rdp_epsilon_of(mechanism: Mechanism, num_steps: int, delta: float) -> float:
    """The same by Rényi accounting: looser, and computed in quite another way."""
    return _rdp_epsilon_of([(mechanism.noise_multiplier, mechanism.sample_rate, num_steps)], delta)


def _rdp_epsilon_of(history: list[tuple[float, float, int]], delta: float) -> float:
    accountant = RDPAccountant()
    accountant.history = history
    with _as_meant():
        return float(accountant.get_epsilon(delta, alphas=ORDERS))


@contextmanager
def _as_meant() -> Iterator[None]:
    """Without warnings that the best order is the first or the last, where the bound holds all the same, and that 0 has
    no logarithm, where every row is drawn.
    """
    with warnings.catch_warnings(), np.errstate(divide="ignore"):
        warnings.simplefilter("ignore", UserWarning)
        yield


@cache
def noise_multiplier_for(epsilon: float, delta: float, *, sample_rate: float, num_steps: int) -> float:
    """The least noise that keeps `epsilon` over `num_steps`, to 5 in 1000.

    Raises:
        ConfigurationError: no sensible noise does.
    """

    def keeps(noise_multiplier: float, account: Callable[[Mechanism, int, float], float]) -> bool:
        mechanism = Mechanism(sample_rate=sample_rate, noise_multiplier=noise_multiplier)
        return account(mechanism, num_steps, delta) <= epsilon

    def search(low: float, account: Callable[[Mechanism, int, float], float], precision: float, stride: float) -> float:
        """From a noise that does not keep ε, or the least there is, to the least that does."""
        high = low * stride
        while not keeps(high, account):
            low, high = high, high * stride
            if high > NOISE_MULTIPLIER_MAX:
                raise ConfigurationError(
                    f"privacy.epsilon: no noise keeps {epsilon:g} at delta {delta:g} over {num_steps} steps; raise it "
                    "or lower the number of rounds and steps"
                )
        while high - low > precision * high:
            middle = (low + high) / 2
            low, high = (low, middle) if keeps(middle, account) else (middle, high)
        return high

    # Rényi accounting, which is quick, leads close to it; it asks for more noise than needed.
    low = search(NOISE_MULTIPLIER_MIN, rdp_epsilon_of, 0.05, 2.0)
    while low > NOISE_MULTIPLIER_MIN and keeps(low, epsilon_of):
        low /= SEARCH_STRIDE
    return search(low, epsilon_of, SEARCH_PRECISION, SEARCH_STRIDE)
