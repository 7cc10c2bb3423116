"""Gas by action, read from the blocks."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from domicile.chain.artifacts import load_artifacts
from domicile.chain.client import BATCH_REQUESTS, Chain
from domicile.chain.codec import selector
from domicile.chain.deployment import Deployment

BLOCKS_AT_ONCE = 20
"""They come with all their transactions, of which most are other people's."""


class GasMeter:
    """Adds up the gas of all transactions to a network's contracts, reading each block once."""

    def __init__(self, chain: Chain, deployment: Deployment, *, first_block: int) -> None:
        self._chain = chain
        self._next_block = first_block
        self._actions: dict[tuple[str, str], str] = {}
        for name, address in deployment.event_sources().items():
            functions = (entry for entry in load_artifacts()[name].abi if entry["type"] == "function")
            self._actions |= {(address.lower(), selector(entry).hex()): entry["name"] for entry in functions}
        self._used: dict[str, list[int]] = defaultdict(list)

    @property
    def total(self) -> int:
        return sum(sum(used) for used in self._used.values())

    @property
    def by_action(self) -> Mapping[str, list[int]]:
        """Gas of each transaction, by function."""
        return self._used

    def median(self, action: str) -> int:
        return int(statistics.median(self._used[action]))

    def update(self, head: int) -> None:
        """Reads blocks up to `head`, many to a round trip."""
        while self._next_block <= head:
            last = min(head, self._next_block + BLOCKS_AT_ONCE - 1)
            numbers = range(self._next_block, last + 1)
            blocks = self._chain.batch([("eth_getBlockByNumber", [hex(number), True]) for number in numbers])
            self._read([transaction for block in blocks for transaction in block["transactions"]])
            self._next_block = last + 1

    def _read(self, transactions: Sequence[Mapping[str, Any]]) -> None:
        ours = {one["hash"]: action for one in transactions if (action := self._action(one)) is not None}
        hashes = list(ours)
        for start in range(0, len(hashes), BATCH_REQUESTS):
            part = hashes[start : start + BATCH_REQUESTS]
            for receipt in self._chain.batch([("eth_getTransactionReceipt", [one]) for one in part]):
                self._used[ours[receipt["transactionHash"]]].append(int(receipt["gasUsed"], 16))

    def _action(self, transaction: Mapping[str, Any]) -> str | None:
        """The function of ours that a transaction calls, if any."""
        return self._actions.get(((transaction["to"] or "").lower(), transaction["input"][2:10]))
