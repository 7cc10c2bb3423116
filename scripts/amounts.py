"""Figures of privacy budgets as people write them, exact: the ledger counts in whole millionths and units of 1e-18."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING

from domicile.errors import ConfigurationError

if TYPE_CHECKING:
    from domicile.protocol.budget import Budget

EPSILON_DIGITS = 6
DELTA_DIGITS = 18


def epsilon(value: str) -> int:
    """Millionths.

    Raises:
        ConfigurationError: it is no number, below 0, above what the ledger holds, or finer than that.
    """
    from domicile.protocol.budget import EPSILON_MICROS_MAX

    return _whole("--epsilon", value, EPSILON_DIGITS, EPSILON_MICROS_MAX)


def delta(value: str) -> int:
    """Units of 1e-18.

    Raises:
        ConfigurationError: it is no number, below 0, above what the ledger holds, or finer than that.
    """
    from domicile.protocol.budget import DELTA_ATTOS_MAX

    return _whole("--delta", value, DELTA_DIGITS, DELTA_ATTOS_MAX)


def data(budget: Budget) -> dict[str, int]:
    return {"epsilon_micros": budget.epsilon_micros, "delta_attos": budget.delta_attos}


def _whole(option: str, value: str, digits: int, most: int) -> int:
    try:
        number = Decimal(value)
    except InvalidOperation:
        number = Decimal("nan")
    if not number.is_finite():
        raise ConfigurationError(f"{option}: {value!r} is no number; write one like 0.5 or 1e-5")
    if number < 0:
        raise ConfigurationError(f"{option}: {value} is below 0; write what may be spent")
    if number > Decimal(most).scaleb(-digits):
        raise ConfigurationError(f"{option}: {value} is above {most / 10**digits:g}, the most that the ledger holds")
    scaled = number.scaleb(digits)
    if scaled != scaled.to_integral_value():
        raise ConfigurationError(f"{option}: {value} has more than {digits} decimals; round it down")
    return int(scaled)
