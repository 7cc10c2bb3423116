"""The JSON-RPC endpoint: calls, blocks and logs. The only module, with its neighbours here, that knows web3."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from copy import copy
from typing import Any, Self, cast

import requests
from web3 import HTTPProvider
from web3.types import RPCEndpoint

from domicile.chain.errors import decode_refusal
from domicile.errors import ChainFault
from domicile.types import Address

RPC_TIMEOUT_S = 30.0
LOG_RANGE_BLOCKS = 5_000
"""Blocks asked for at once; halved where an endpoint refuses so many."""

BATCH_REQUESTS = 100
"""Far below what endpoints allow in one batch (geth: 1,000)."""

_REVERTED = 3
"""Error code of a reverted call (geth, anvil, reth, Besu)."""


class Chain:
    """One endpoint. State and events are read `confirmations` blocks behind the head."""

    def __init__(self, rpc_url: str, *, confirmations: int = 0) -> None:
        self._provider = HTTPProvider(
            rpc_url, request_kwargs={"timeout": RPC_TIMEOUT_S}, exception_retry_configuration=None
        )
        self._confirmations = confirmations
        self._block: int | None = None

    def at(self, block: int) -> Self:
        """The same endpoint with `block` as the newest that is read, so that all views tell of one moment."""
        pinned = copy(self)
        pinned._block = block
        return pinned

    def request(self, method: str, *parameters: object) -> Any:
        """One JSON-RPC request.

        Raises:
            ChainFault: the endpoint cannot be reached or answers with an error.
            Refused: a contract reverted.
        """
        try:
            answer = self._provider.make_request(RPCEndpoint(method), list(parameters))
        except (requests.RequestException, ValueError) as exc:
            raise ChainFault(f"the endpoint cannot be reached ({type(exc).__name__}); is the chain up?") from exc
        if "error" not in answer:
            return answer["result"]
        error = cast(dict[str, Any], answer["error"])
        data = _revert_data(error)
        if data is not None:
            raise decode_refusal(data)
        raise ChainFault(f"the endpoint answered {method} with: {error.get('message')}; look at its log")

    def chain_id(self) -> int:
        return int(self.request("eth_chainId"), 16)

    def block_number(self) -> int:
        """Number of the newest block that is read."""
        if self._block is not None:
            return self._block
        return max(0, int(self.request("eth_blockNumber"), 16) - self._confirmations)

    def head(self) -> tuple[int, int]:
        """`block_number` and `timestamp` in one request."""
        newest = self.request("eth_getBlockByNumber", "latest", False)
        number = max(0, int(newest["number"], 16) - self._confirmations) if self._block is None else self._block
        return number, int(newest["timestamp"], 16)

    def is_read(self, block: int) -> bool:
        """Whether enough blocks lie above this one for it to be read."""
        return not self._confirmations or block <= self.block_number()

    def timestamp(self) -> int:
        """The chain's time in seconds: that of its newest block."""
        return int(self.request("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def timestamp_of(self, block: int) -> int:
        """Time of a block in seconds."""
        return int(self.request("eth_getBlockByNumber", hex(block), False)["timestamp"], 16)

    def hash_of(self, block: int) -> str | None:
        """Hash of a block; `None` where the chain does not reach it."""
        found = self.request("eth_getBlockByNumber", hex(block), False)
        return None if found is None else str(found["hash"])

    def timestamps_of(self, blocks: Iterable[int]) -> dict[int, int]:
        """Time of each block in seconds, many blocks to a round trip.

        Raises:
            ChainFault: the endpoint cannot be reached, or does not know one of the blocks.
        """
        found: dict[int, int] = {}
        wanted = sorted(set(blocks))
        for start in range(0, len(wanted), BATCH_REQUESTS):
            part = wanted[start : start + BATCH_REQUESTS]
            answers = self._batch([("eth_getBlockByNumber", [hex(block), False]) for block in part])
            found |= {block: int(answer["timestamp"], 16) for block, answer in zip(part, answers, strict=True)}
        return found

    def _batch(self, calls: list[tuple[str, list[object]]]) -> list[Any]:
        batch = [(RPCEndpoint(method), parameters) for method, parameters in calls]
        try:
            answers = self._provider.make_batch_request(batch)
        except (requests.RequestException, ValueError) as exc:
            raise ChainFault(f"the endpoint cannot be reached ({type(exc).__name__}); is the chain up?") from exc
        if not isinstance(answers, list) or not all(answer.get("result") for answer in answers):
            raise ChainFault("the endpoint did not answer every request of a batch; look at its log")
        return [answer["result"] for answer in answers]

    def code(self, address: Address) -> bytes:
        return bytes.fromhex(self.request("eth_getCode", address, "latest").removeprefix("0x"))

    def call(self, target: Address, data: bytes, *, sender: Address | None = None) -> bytes:
        """Runs a call without sending it. Views are read behind the head, a sender's own act at the head."""
        transaction = {"to": target, "data": "0x" + data.hex()}
        block = "latest"
        if sender is not None:
            transaction["from"] = sender
        elif self._confirmations or self._block is not None:
            block = hex(self.block_number())
        return bytes.fromhex(self.request("eth_call", transaction, block).removeprefix("0x"))

    def logs(self, addresses: tuple[Address, ...], first: int, last: int) -> Iterator[dict[str, Any]]:
        """Logs of contracts from block `first` to block `last`, both included, in bounded ranges.

        Raises:
            ChainFault: the endpoint refuses even a single block.
        """
        step = LOG_RANGE_BLOCKS
        while first <= last:
            until = min(last, first + step - 1)
            wanted = {"address": list(addresses), "fromBlock": hex(first), "toBlock": hex(until)}
            try:
                found = self.request("eth_getLogs", wanted)
            except ChainFault:
                if step == 1:
                    raise
                step = max(1, step // 2)
                continue
            yield from found
            first = until + 1


def _revert_data(error: dict[str, Any]) -> bytes | None:
    """Data of a revert; ganache wraps it once more."""
    data = error.get("data")
    if isinstance(data, dict):
        data = data.get("data", data.get("result"))
    reverted = error.get("code") == _REVERTED or "revert" in str(error.get("message", ""))
    if not reverted:
        return None
    return bytes.fromhex(data.removeprefix("0x")) if isinstance(data, str) and data.startswith("0x") else b""
