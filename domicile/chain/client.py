"""The JSON-RPC endpoint: calls, blocks and logs. The only module, with its neighbours here, that knows web3."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any, Self, TypeVar, cast

import requests
from requests.utils import get_netrc_auth
from web3 import HTTPProvider
from web3.types import RPCEndpoint

from domicile.chain.errors import decode_refusal
from domicile.clock import DEFAULT_CLOCK, JobClock
from domicile.errors import ChainFault, Rejected
from domicile.types import Address

LOG_RANGE_BLOCKS = 5_000
"""Blocks asked for at once; halved where an endpoint refuses so many or does not answer in time."""

BATCH_REQUESTS = 100
"""Far below what endpoints allow in one batch (geth: 1,000)."""

RETRY_PAUSES_S = (0.05, 0.1, 0.2, 0.4)
"""Of an endpoint that fails one call in five, one request in three thousand then fails five times running."""

_REVERTED = 3
"""Error code of a reverted call (geth, anvil, reth, Besu)."""

_INTERNAL_ERROR = -32603
_LIMIT_EXCEEDED = -32005
_TOO_MANY_REQUESTS = 429
"""Both the status of an answer and what hosted endpoints write into its error."""


_Answer = TypeVar("_Answer")


class _Transient(Exception):
    """The endpoint answered with an error that may be over at the next try."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Head:
    """The newest block that is read. `time_s` is the chain's time, that of its newest block."""

    number: int
    block_hash: str
    parent_hash: str
    time_s: int


class Chain:
    """One endpoint. State and events are read `confirmations` blocks behind the head."""

    def __init__(self, rpc_url: str, *, confirmations: int = 0) -> None:
        self._options = {"timeout": DEFAULT_CLOCK.request_timeout_s}
        self._provider = HTTPProvider(
            rpc_url, request_kwargs=self._options, session=_session(rpc_url), exception_retry_configuration=None
        )
        self._confirmations = confirmations
        self._block: int | None = None
        self._log_range_blocks = LOG_RANGE_BLOCKS

    def follow(self, clock: JobClock) -> None:
        """Waits for answers by this clock from now on."""
        self._options["timeout"] = clock.request_timeout_s

    def at(self, block: int) -> Self:
        """The same endpoint with `block` as the newest that is read, so that all views tell of one moment."""
        pinned = copy(self)
        pinned._block = block
        return pinned

    def request(self, method: str, *parameters: object) -> Any:
        """One JSON-RPC request, tried a few times where an answer fails for the moment.

        Asking twice does no harm: what is asked for is read, or is one signed transaction, of which the chain takes
        one. Development methods are asked once.

        Raises:
            ChainFault: the endpoint cannot be reached.
            Rejected: it answers with an error.
            Refused: a contract reverted.
        """

        def ask() -> Any:
            return _result(method, self._provider.make_request(RPCEndpoint(method), list(parameters)))

        return self._tried(ask, RETRY_PAUSES_S if method.startswith("eth_") else ())

    def batch(self, calls: list[tuple[str, list[object]]]) -> list[Any]:
        """Several reads in one round trip, and so from one endpoint behind the address; each must have an answer.

        Raises:
            ChainFault: the endpoint cannot be reached, or did not answer all of them.
        """

        def ask() -> list[Any]:
            answers = self._provider.make_batch_request([(RPCEndpoint(name), given) for name, given in calls])
            if not isinstance(answers, list):
                return [_result("a batch", answers)]
            return [_result(name, answer) for (name, _), answer in zip(calls, answers, strict=False)]

        results = self._tried(ask, RETRY_PAUSES_S)
        if len(results) != len(calls) or None in results:
            raise ChainFault("the endpoint did not answer every request of a batch; look at its log")
        return results

    def _tried(self, ask: Callable[[], _Answer], pauses_s: tuple[float, ...]) -> _Answer:
        """The first answer of several tries, as long as they take no longer than one request may."""
        deadline = time.monotonic() + self._options["timeout"]
        for pause_s in (*pauses_s, None):
            try:
                return ask()
            except (requests.RequestException, ValueError, _Transient) as exc:
                if pause_s is None or time.monotonic() + pause_s > deadline or not _is_transient(exc):
                    raise _fault(exc) from exc
            time.sleep(pause_s)
        raise AssertionError  # The last try returns or raises.

    def chain_id(self) -> int:
        return int(self.request("eth_chainId"), 16)

    def block_number(self) -> int:
        """Number of the newest block that is read."""
        if self._block is not None:
            return self._block
        return max(0, int(self.request("eth_blockNumber"), 16) - self._confirmations)

    def head(self) -> Head:
        """The newest block that is read: one request, and one more where it is not the chain's newest."""
        newest = self.request("eth_getBlockByNumber", "latest", False)
        number = max(0, int(newest["number"], 16) - self._confirmations) if self._block is None else self._block
        read = newest if number == int(newest["number"], 16) else self._header(number)
        return Head(
            number=number,
            block_hash=read["hash"],
            parent_hash=read["parentHash"],
            time_s=int(newest["timestamp"], 16),
        )

    def hash_of(self, block: int) -> str:
        """A block's hash now; another one than before if the chain was reorganised."""
        return str(self._header(block)["hash"])

    def _header(self, block: int) -> dict[str, Any]:
        found: dict[str, Any] | None = self.request("eth_getBlockByNumber", hex(block), False)
        if found is None:
            raise ChainFault(f"the endpoint does not know block {block}, of which it told; trying again")
        return found

    def is_read(self, block: int) -> bool:
        """Whether enough blocks lie above this one for it to be read."""
        return not self._confirmations or block <= self.block_number()

    def timestamp(self) -> int:
        """The chain's time in seconds: that of its newest block."""
        return int(self.request("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def timestamp_of(self, block: int) -> int:
        """Time of a block in seconds."""
        return int(self._header(block)["timestamp"], 16)

    def timestamps_of(self, blocks: Iterable[int]) -> dict[int, int]:
        """Time of each block in seconds, many blocks to a round trip.

        Raises:
            ChainFault: the endpoint cannot be reached, or does not know one of the blocks.
        """
        found: dict[int, int] = {}
        wanted = sorted(set(blocks))
        for start in range(0, len(wanted), BATCH_REQUESTS):
            part = wanted[start : start + BATCH_REQUESTS]
            answers = self.batch([("eth_getBlockByNumber", [hex(block), False]) for block in part])
            found |= {block: int(answer["timestamp"], 16) for block, answer in zip(part, answers, strict=True)}
        return found

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

    def calls(self, target: Address, data: Sequence[bytes]) -> list[bytes]:
        """Several views of one contract in one round trip."""
        block = hex(self.block_number()) if self._confirmations or self._block is not None else "latest"
        asked: list[tuple[str, list[object]]] = [
            ("eth_call", [{"to": target, "data": "0x" + one.hex()}, block]) for one in data
        ]
        parts = [asked[start : start + BATCH_REQUESTS] for start in range(0, len(asked), BATCH_REQUESTS)]
        return [bytes.fromhex(answer.removeprefix("0x")) for part in parts for answer in self.batch(part)]

    def logs(self, addresses: tuple[Address, ...], first: int, last: int) -> Iterator[dict[str, Any]]:
        """Logs of contracts from block `first` to block `last`, both included, in bounded ranges.

        Of blocks that it does not know yet, an endpoint tells no logs and no error: it must know the last of a range.

        Raises:
            ChainFault: the endpoint cannot be reached, or is behind; after a wait in vain, less is asked for the next
                time.
            Rejected: it refuses even a single block.
        """
        while first <= last:
            until = min(last, first + self._log_range_blocks - 1)
            wanted = {"address": list(addresses), "fromBlock": hex(first), "toBlock": hex(until)}
            try:
                found, _ = self.batch([("eth_getLogs", [wanted]), ("eth_getBlockByNumber", [hex(until), False])])
            except ChainFault as exc:
                refused = isinstance(exc, Rejected)
                asked = until - first + 1
                if refused or isinstance(exc.__cause__, requests.Timeout):
                    self._log_range_blocks = max(1, asked // 2)
                if asked == 1 and refused:
                    # Not the range is the reason, and the next reader may have all blocks to read.
                    self._log_range_blocks = LOG_RANGE_BLOCKS
                if asked == 1 or not refused:
                    raise
                continue
            yield from found
            first = until + 1
        self._log_range_blocks = min(LOG_RANGE_BLOCKS, 2 * self._log_range_blocks)


def _session(rpc_url: str) -> requests.Session:
    """Proxies, certificates and logins as the environment names them, looked up once: requests looks at each request,
    which takes a third of its time.
    """
    session = requests.Session()
    found = session.merge_environment_settings(rpc_url, {}, None, None, None)
    session.proxies, session.verify, session.cert = found["proxies"], found["verify"], found["cert"]
    session.auth = get_netrc_auth(rpc_url)
    session.trust_env = False
    return session


def _is_transient(exc: Exception) -> bool:
    """Whether another try may succeed: not where the endpoint understood, and refuses whoever asks."""
    if not isinstance(exc, requests.HTTPError) or exc.response is None:
        return True
    status = exc.response.status_code
    return status >= 500 or status == _TOO_MANY_REQUESTS


def _fault(exc: Exception) -> ChainFault:
    if isinstance(exc, _Transient):
        return ChainFault(str(exc))
    told = type(exc).__name__
    if isinstance(exc, requests.HTTPError) and exc.response is not None:
        told = f"status {exc.response.status_code}"
    return ChainFault(f"the endpoint cannot be reached ({told}); is the chain up?")


def _result(method: str, answer: Mapping[str, Any]) -> Any:
    """What was asked for, or the error that came in its stead."""
    if "error" not in answer:
        return answer["result"]
    error = cast(dict[str, Any], answer["error"])
    data = _revert_data(error)
    if data is not None:
        raise decode_refusal(data)
    told = f"the endpoint answered {method} with: {error.get('message')}; look at its log"
    # With a range of logs, a limit means its size.
    limited = error.get("code") == _LIMIT_EXCEEDED and method != "eth_getLogs"
    if limited or error.get("code") in {_INTERNAL_ERROR, _TOO_MANY_REQUESTS}:
        raise _Transient(told)
    raise Rejected(told)


def _revert_data(error: dict[str, Any]) -> bytes | None:
    """Data of a revert; ganache wraps it once more."""
    data = error.get("data")
    if isinstance(data, dict):
        data = data.get("data", data.get("result"))
    reverted = error.get("code") == _REVERTED or "revert" in str(error.get("message", ""))
    if not reverted:
        return None
    return bytes.fromhex(data.removeprefix("0x")) if isinstance(data, str) and data.startswith("0x") else b""
