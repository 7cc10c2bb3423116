"""A JSON-RPC endpoint in front of a real one, that fails as endpoints do."""

from __future__ import annotations

import http.client
import json
import random
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

from eth_utils.crypto import keccak

UPSTREAM_TIMEOUT_S = 60.0
_TAG_PLACES = {"eth_call": 1, "eth_getTransactionCount": 1, "eth_getCode": 1, "eth_getBlockByNumber": 0}
_FAILURES = ("status 503", "status 429", "reset", "internal error", "rate limit", "not JSON")


class FaultyEndpoint:
    """Context manager; every fault can be switched on and off while it is in use.

    `delay_s` lies before each answer. `failing_share` of the requests are answered with an error, some before and some
    after they took effect. `frozen_at` is the newest block that is told of. `num_to_swallow` transactions are taken and
    never passed on; `num_to_hold` are passed on by `release`.
    """

    def __init__(self, upstream: str, *, seed: int = 1) -> None:
        self._upstream = urlsplit(upstream).netloc
        self._rng = random.Random(seed)  # noqa: S311 - draws faults, not keys
        self._ended = threading.Event()
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None
        self._port = 0
        self._connections: set[socket.socket] = set()
        self.delay_s = 0.0
        self.failing_share = 0.0
        self.frozen_at: int | None = None
        self.num_to_swallow = 0
        self.num_to_hold = 0
        self.held: list[str] = []
        self.num_asked = 0
        self.num_failed = 0
        self.num_stale = 0
        self.sent: list[str] = []
        """Raw transactions that were passed on."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self._listen()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._leave()

    @contextmanager
    def gone(self) -> Iterator[None]:
        """Nobody listens at its port, and what was connected is cut off."""
        self._leave()
        try:
            yield
        finally:
            self._listen()

    def go_back(self, num_blocks: int) -> None:
        """Tells of nothing newer than the block so far below the present one from now on, as after a failover."""
        self.frozen_at = int(self.ask("eth_blockNumber"), 16) - num_blocks

    def release(self) -> None:
        """Passes on what was held back."""
        for raw in self.held:
            self._forward({"jsonrpc": "2.0", "id": 1, "method": "eth_sendRawTransaction", "params": [raw]})
        self.held.clear()

    def ask(self, method: str, *parameters: object) -> Any:
        """A request to the endpoint behind, without any fault."""
        return self._forward({"jsonrpc": "2.0", "id": 1, "method": method, "params": list(parameters)})["result"]

    def failure(self) -> str | None:
        """The next request's, drawn by seed."""
        with self._lock:
            self.num_asked += 1
            if self._rng.random() >= self.failing_share:
                return None
            self.num_failed += 1
            return self._rng.choice(_FAILURES)

    def answer(self, asked: Any) -> Any:
        """What a healthy, stale or lossy endpoint says to one request, or to a batch, which it answers in one state."""
        frozen = self.frozen_at
        return [self._one(one, frozen) for one in asked] if isinstance(asked, list) else self._one(asked, frozen)

    def _one(self, request: dict[str, Any], frozen: int | None) -> dict[str, Any]:
        method, parameters = request["method"], request["params"]
        if method == "eth_sendRawTransaction" and (taken := self._take(parameters[0])):
            return {"jsonrpc": "2.0", "id": request["id"], "result": taken}
        if frozen is None:
            return self._forward(request)
        self.num_stale += 1
        if method in _TAG_PLACES:
            place = _TAG_PLACES[method]
            if parameters[place] in {"latest", "pending"}:
                parameters[place] = hex(frozen)
            elif int(parameters[place], 16) > frozen:
                found: dict[str, Any] = {"error": {"code": -32000, "message": "unknown block"}}
                if method == "eth_getBlockByNumber":
                    found = {"result": None}
                return {"jsonrpc": "2.0", "id": request["id"]} | found
        told = self._forward(request)
        if method == "eth_blockNumber":
            told["result"] = hex(frozen)
        elif method == "eth_getLogs":
            told["result"] = [one for one in told["result"] if int(one["blockNumber"], 16) <= frozen]
        elif method == "eth_getTransactionReceipt" and told["result"]:
            told["result"] = told["result"] if int(told["result"]["blockNumber"], 16) <= frozen else None
        return told

    def _take(self, raw: str) -> str | None:
        """The hash of a transaction that is not passed on, or not yet."""
        with self._lock:
            if self.num_to_swallow:
                self.num_to_swallow -= 1
            elif self.num_to_hold:
                self.num_to_hold -= 1
                self.held.append(raw)
            else:
                self.sent.append(raw)
                return None
        return "0x" + keccak(hexstr=raw).hex()

    def _forward(self, request: dict[str, Any]) -> dict[str, Any]:
        connection = http.client.HTTPConnection(self._upstream, timeout=UPSTREAM_TIMEOUT_S)
        try:
            connection.request("POST", "/", json.dumps(request), {"Content-Type": "application/json"})
            told: dict[str, Any] = json.loads(connection.getresponse().read())
            return told
        finally:
            connection.close()

    def _listen(self) -> None:
        handler = type("Handler", (_Handler,), {"endpoint": self})
        self._server = _Server(("127.0.0.1", self._port), handler)
        self._port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def _leave(self) -> None:
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        for connection in list(self._connections):
            cut_off(connection)
        self._server.server_close()
        self._server = None

    def delay(self) -> None:
        """Waits as long as each request has to; what has ended waits no more."""
        self._ended.wait(self.delay_s)

    def connected(self, connection: socket.socket) -> None:
        self._connections.add(connection)

    def disconnected(self, connection: socket.socket) -> None:
        self._connections.discard(connection)


def cut_off(connection: socket.socket) -> None:
    """Ends a connection with a reset."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    endpoint: FaultyEndpoint

    def setup(self) -> None:
        super().setup()
        self.endpoint.connected(self.connection)

    def finish(self) -> None:
        self.endpoint.disconnected(self.connection)
        super().finish()

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.endpoint.delay()
        failure = self.endpoint.failure()
        try:
            # A reset, and an answer that is cut short, come when the request has taken effect already.
            if failure in {None, "reset", "not JSON"}:
                told = self.endpoint.answer(asked)
            if failure is None:
                self._say(200, json.dumps(told).encode())
            elif failure == "not JSON":
                self._say(200, json.dumps(told).encode()[:-2])
            elif failure == "reset":
                self.close_connection = True
                cut_off(self.connection)
            elif failure.startswith("status"):
                self._say(int(failure.split()[1]), b"busy")
            else:
                code = -32603 if failure == "internal error" else -32005
                self._say(200, json.dumps(_error(asked, code, failure)).encode())
        except (OSError, http.client.HTTPException):
            # Whoever asked is gone, or the endpoint behind is.
            self.close_connection = True

    def _say(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None: ...


def _error(asked: Any, code: int, message: str) -> Any:
    error = {"code": code, "message": message}
    if isinstance(asked, list):
        return [{"jsonrpc": "2.0", "id": one["id"], "error": error} for one in asked]
    return {"jsonrpc": "2.0", "id": asked["id"], "error": error}
