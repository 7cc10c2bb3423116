"""The clipping norm of the next round: adaptive clipping (Andrew, Thakkar, McMahan, Ramaswamy 2021, section 2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Context, Decimal

RANGE = 1e6
"""By how much the norm may ever leave that of the beginning, up or down: noise alone would carry it anywhere."""

_EXACT = Context(prec=30, rounding=ROUND_HALF_EVEN)


@dataclass(frozen=True, kw_only=True, slots=True)
class ClippingRule:
    """`initial`: norm of the first round. `quantile`: the part of the nodes whose updates are to stay whole; `None`
    keeps the first norm. `rate`: how far, in the norm's logarithm, one round may lead.
    """

    initial: float
    quantile: float | None
    rate: float

    def next(self, clipping_norm: float, within: float) -> float:
        """C exp(-η (b̄ - γ)); `within` is the noised part of the nodes that were within bounds, and may lie anywhere.

        Decimal arithmetic, since the last bit of an exponential differs between machines, and a committee has to agree.
        """
        if self.quantile is None:
            return clipping_norm
        bounded = min(1.0, max(0.0, within))
        exponent = _EXACT.multiply(Decimal(self.rate), Decimal(self.quantile) - Decimal(bounded))
        moved = float(_EXACT.multiply(Decimal(clipping_norm), _EXACT.exp(exponent)))
        return self.within_range(moved)

    def within_range(self, clipping_norm: float) -> float:
        """A norm that others told may be any."""
        return min(self.initial * RANGE, max(self.initial / RANGE, clipping_norm))


def mean_norm(told: Sequence[float | None]) -> float | None:
    """From which the shards of a job go on, each of which found its own; `None` in a job without privacy of nodes."""
    known = [one for one in told if one is not None]
    # Divided before they are added, so that no sum of what others told overflows.
    return sum(one / len(known) for one in known) if known else None
