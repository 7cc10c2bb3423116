"""Ether as people read it."""

from __future__ import annotations

from domicile.chain.client import Chain
from domicile.types import Address

WEI = 10**18
"""Wei in an ether."""


def balance_wei(chain: Chain, account: Address) -> int:
    return int(chain.request("eth_getBalance", account, "latest"), 16)
