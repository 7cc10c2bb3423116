"""Roles that accounts hold, as text and as data."""

from __future__ import annotations

from domicile.chain.role_book import Holding
from scripts.wording import moment


def line(held: Holding) -> str:
    """``loosener, each act waits 3600 s``."""
    waits = f", each act waits {held.delay_s:,} s" if held.delay_s else ""
    if not held.next_from_s or held.next_delay_s == held.delay_s:
        return f"{held.role.name.lower()}{waits}"
    return f"{held.role.name.lower()}{waits} ({held.next_delay_s:,} s from {moment(held.next_from_s)} on)"


def as_data(held: Holding) -> dict[str, object]:
    return {"role": held.role.name.lower(), "account": held.account, "delay_s": held.delay_s} | (
        {"next_delay_s": held.next_delay_s, "next_from_s": held.next_from_s} if held.next_from_s else {}
    )
