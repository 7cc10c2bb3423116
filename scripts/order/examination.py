"""All checks of an order, in the order in which their problems are best mended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from scripts.doctor.finding import Finding
from scripts.order import law, means, seats
from scripts.order.draft import Draft

CHECKS = (
    ("model", means.model),
    ("shards", law.places),
    ("contract", law.contract),
    ("key cards", seats.key_cards),
    ("committees", seats.admission),
    ("participants", law.participants),
    ("windows", means.windows),
    ("owner", means.owner),
    ("balance", means.balance),
)


def examine(draft: Draft) -> Iterator[Finding]:
    """Asks every question; nothing is sent."""
    for name, check in CHECKS:
        for finding in check(draft):
            yield replace(finding, check=name)
