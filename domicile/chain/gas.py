"""Gas by action, read from the blocks."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping

from domicile.chain.artifacts import load_artifacts
from domicile.chain.client import Chain
from domicile.chain.codec import selector
from domicile.chain.deployment import Deployment


class GasMeter:
    """Adds up the gas of all transactions to a network's contracts, reading each block once."""

    def __init__(self, chain: Chain, deployment: Deployment) -> None:
        self._chain = chain
        self._next_block = deployment.first_block
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
        """Reads blocks up to `head`."""
        for number in range(self._next_block, head + 1):
            block = self._chain.request("eth_getBlockByNumber", hex(number), True)
            for transaction in block["transactions"]:
                key = ((transaction["to"] or "").lower(), transaction["input"][2:10])
                if key in self._actions:
                    receipt = self._chain.request("eth_getTransactionReceipt", transaction["hash"])
                    self._used[self._actions[key]].append(int(receipt["gasUsed"], 16))
        self._next_block = max(self._next_block, head + 1)
