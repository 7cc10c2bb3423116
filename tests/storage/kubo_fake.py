"""Kubo's RPC as far as the storage door uses it: an HTTP server of ours on a free loopback port.

The shapes of answers and errors, their status codes and their messages are those that the sources of Kubo 0.22 to 0.39
give (`core/commands/block.go`, `pin/pin.go`, `repo.go`, `coreapi/`, and the HTTP layer of go-ipfs-cmds); they were read
there, not recorded from a daemon. From 0.12 on, blocks are kept by multihash, so that ``Qm...`` and ``bafybei...``
of one digest name one block. Only what needs a peer is missing: a block that does not lie here is given up at once, as
Kubo does when the request's ``timeout`` is over. As Kubo does from 0.33 on, a block is written over what lies there.
"""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

from domicile.storage.cid import cid_of, digest_of
from domicile.storage.unixfs import parse
from domicile.types import Digest

VERSION = "0.39.0"
SOFT_BLOCK_LIMIT = 1 << 20
CODECS = {"raw": b"\x55", "dag-pb": b"\x70"}
TRUE = {"1", "t", "T", "TRUE", "true", "True"}
"""What Go's `strconv.ParseBool` takes for true."""

OFFLINE = "block was not found locally (offline): ipld: could not find "
NO_SPACE = "write /data/ipfs/blocks/XY/put-1: no space left on device"
TOO_BIG = (
    "produced block is over 1MiB: big blocks can't be exchanged with other peers. consider using UnixFS for automatic "
    "chunking of bigger files, or pass --allow-big-block to override"
)

Options = dict[str, str]
Answer = Callable[["KuboHandler"], None]


class CommandFailed(Exception):
    """A command's error; the message is Kubo's."""


@dataclass(kw_only=True)
class KuboFake:
    """The daemon's state, and the faults that a test orders."""

    peer_id: str = "12D3KooWFakeFakeFakeFakeFakeFakeFakeFakeFakeFakeFake"
    blocks: dict[Digest, bytes] = field(default_factory=dict)
    pins: set[Digest] = field(default_factory=set)
    answers: dict[str, list[Answer]] = field(default_factory=dict)
    """By command, what is answered instead, once each, in this order."""

    requests: list[tuple[str, Options]] = field(default_factory=list)
    connections: int = 0
    bytes_flooded: int = 0
    full: bool = False
    """Whether the daemon's disk is."""

    def __post_init__(self) -> None:
        self._speaking = threading.Event()
        self._speaking.set()
        self._lock = threading.RLock()
        self._server: _Server | None = None
        # Bound, and never listening: whoever calls while the server is down is refused, and nobody else gets the port.
        self._claim = socket.socket()
        self._claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._claim.bind(("127.0.0.1", 0))
        self.port: int = self._claim.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
        self._claim.close()

    def start(self) -> None:
        """Serves what was put before, under the same address as before."""
        self._server = _Server(("127.0.0.1", self.port), KuboHandler)
        self._server.fake = self
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the server, its thread and its connections; once more is no error."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server.close_connections()
            self._thread.join()
            self._server = None

    @contextmanager
    def silent(self) -> Iterator[None]:
        """Takes every call meanwhile, and answers none."""
        self._speaking.clear()
        try:
            yield
        finally:
            self._speaking.set()

    def instead(self, command: str, answer: Answer) -> None:
        """Orders another answer to the next call of a command."""
        self.answers.setdefault(command, []).append(answer)

    def run(self, command: str, arguments: list[str], options: Options, body: bytes) -> bytes | list[object]:
        """Bytes are answered as they are, everything else as one JSON value a line."""
        self._speaking.wait()
        commands: dict[str, Callable[[], bytes | list[object]]] = {
            "version": lambda: [{"Version": VERSION, "Commit": "", "Repo": "18", "System": "", "Golang": ""}],
            "id": lambda: [{"ID": self.peer_id, "AgentVersion": f"kubo/{VERSION}/", "Addresses": []}],
            "block/put": lambda: [self._put(options, body)],
            "block/get": lambda: self._found(arguments[0], options),
            "block/stat": lambda: [{"Key": arguments[0], "Size": len(self._found(arguments[0], options))}],
            "block/rm": lambda: [self._remove(arguments[0])],
            "pin/add": lambda: [self._pin(arguments[0], options)],
            "pin/rm": lambda: [self._unpin(arguments[0])],
            "repo/gc": lambda: [{"Key": {"/": raw_cid(digest)}} for digest in self._collect()],
        }
        with self._lock:
            return commands[command]()

    def _put(self, options: Options, body: bytes) -> dict[str, object]:
        if options.get("mhtype", "sha2-256") != "sha2-256":
            raise CommandFailed(f"unrecognized multihash function: {options['mhtype']}")
        if self.full:
            raise CommandFailed(NO_SPACE)
        digest = Digest(hashlib.sha256(body).digest())
        self.blocks[digest] = body
        if options.get("pin") in TRUE:
            self.pins.add(digest)
        # As in Kubo, the size is looked at when the block is stored already.
        if len(body) > SOFT_BLOCK_LIMIT and options.get("allow-big-block") not in TRUE:
            raise CommandFailed(TOO_BIG)
        return {"Key": cid_v1(digest, options.get("cid-codec", "raw")), "Size": len(body)}

    def _found(self, cid: str, options: Options) -> bytes:
        digest = decode(cid)
        if digest in self.blocks:
            return self.blocks[digest]
        if options.get("offline") in TRUE:
            raise CommandFailed(OFFLINE + cid)
        raise CommandFailed("context deadline exceeded")

    def _pin(self, cid: str, options: Options) -> dict[str, object]:
        if options.get("recursive", "true") in TRUE:
            try:
                for digest in self._tree(decode(cid)):
                    self._found(cid_of(digest), options)
            except CommandFailed as exc:
                raise CommandFailed(f"pin: {exc}") from exc
        self.pins.add(decode(cid))
        return {"Pins": [cid]}

    def _unpin(self, cid: str) -> dict[str, object]:
        if decode(cid) not in self.pins:
            raise CommandFailed("not pinned or pinned indirectly")
        self.pins.remove(decode(cid))
        return {"Pins": [cid]}

    def _remove(self, cid: str) -> dict[str, object]:
        removed = self.blocks.pop(decode(cid), None)
        return {"Hash": cid} if removed is not None else {"Hash": cid, "Error": f"ipld: could not find {cid}"}

    def _collect(self) -> list[Digest]:
        kept = {digest for root in self.pins for digest in self._tree(root)}
        removed = [digest for digest in self.blocks if digest not in kept]
        for digest in removed:
            del self.blocks[digest]
        return removed

    def _tree(self, root: Digest) -> Iterator[Digest]:
        yield root
        if root in self.blocks:
            for link in parse(self.blocks[root]).links:
                yield from self._tree(link.digest)


class KuboHandler(BaseHTTPRequestHandler):
    """go-ipfs-cmds' HTTP layer: POST alone, chunked answers, errors as JSON with status 500."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.fake.connections += 1
        self.server.open.add(self.connection)

    def finish(self) -> None:
        self.server.open.discard(self.connection)
        with suppress(OSError):
            super().finish()

    def log_message(self, *_: object) -> None: ...

    def do_GET(self) -> None:
        self.plain(405, "405 - Method Not Allowed\n")

    def do_POST(self) -> None:
        parts = urlsplit(self.path)
        body = self._body()
        command = parts.path.removeprefix("/api/v0/")
        query = parse_qs(parts.query)
        arguments = query.pop("arg", [])
        options = {name: values[-1] for name, values in query.items()}
        self.server.fake.requests.append((command, options))
        ordered = self.server.fake.answers.get(command)
        if ordered:
            ordered.pop(0)(self)
            return
        try:
            self._answer(self.server.fake.run(command, arguments, options, body))
        except CommandFailed as exc:
            self.failure(str(exc))
        except KeyError:
            self.plain(404, "404 page not found")

    def failure(self, message: str, status: int = 500) -> None:
        self._whole(status, json.dumps({"Message": message, "Code": 0, "Type": "error"}).encode(), "application/json")

    def plain(self, status: int, text: str) -> None:
        self._whole(status, text.encode(), "text/plain; charset=utf-8")

    def send(self, status: int, *headers: tuple[str, str]) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()

    def chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def _answer(self, output: bytes | list[object]) -> None:
        kind = "X-Stream-Output" if isinstance(output, bytes) else "X-Chunked-Output"
        mime = "text/plain" if isinstance(output, bytes) else "application/json"
        self.send(
            200,
            ("Content-Type", mime),
            ("Trailer", "X-Stream-Error"),
            (kind, "1"),
            ("Transfer-Encoding", "chunked"),
        )
        pieces = [output] if isinstance(output, bytes) else (json.dumps(one).encode() + b"\n" for one in output)
        for piece in pieces:
            if piece:
                self.chunk(piece)
        self.wfile.write(b"0\r\n\r\n")

    def _whole(self, status: int, body: bytes, mime: str) -> None:
        self.send(status, ("Content-Type", mime), ("Content-Length", str(len(body))))
        self.wfile.write(body)

    def _body(self) -> bytes:
        """The one file of a multipart body, which the client sends in chunks."""
        raw = b""
        if self.headers.get("Transfer-Encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                raw += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            raw = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not raw:
            return b""
        boundary = b"--" + self.headers.get_param("boundary").encode()  # type: ignore[union-attr]
        assert raw.startswith(boundary + b"\r\n")
        assert raw.endswith(b"\r\n" + boundary + b"--\r\n")
        head, _, file = raw.removeprefix(boundary + b"\r\n").partition(b"\r\n\r\n")
        assert b'name="file"' in head
        return file.removesuffix(b"\r\n" + boundary + b"--\r\n")


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    fake: KuboFake

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.open: set[Any] = set()

    def close_connections(self) -> None:
        for connection in list(self.open):
            with suppress(OSError):
                connection.shutdown(2)

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is no error of the server's."""


def failing(message: str) -> Answer:
    """Kubo's answer to a command that failed."""
    return lambda handler: handler.failure(message)


def giving(block: bytes) -> Answer:
    """Bytes, as an answer to ``block/get``."""
    return lambda handler: handler._answer(block)


def hanging_up(handler: KuboHandler) -> None:
    """Says how much comes, sends less, and hangs up."""
    handler.send(200, ("Content-Length", "100000"))
    handler.wfile.write(b"x" * 10)
    handler.close_connection = True


def flooding(size: int, *, status: int = 200, how: str = "chunks") -> Answer:
    """An answer that goes on: in small chunks, in one chunk, or under one length."""

    def answer(handler: KuboHandler) -> None:
        length = ("Content-Length", str(size)) if how == "length" else ("Transfer-Encoding", "chunked")
        handler.send(status, ("Content-Type", "application/json"), length)
        handler.close_connection = True
        piece = b'"' + b"x" * ((1 << 16) - 1)
        if how == "one chunk":
            handler.wfile.write(f"{size:x}\r\n".encode())
        with suppress(OSError):
            for _ in range(size // len(piece)):
                (handler.chunk if how == "chunks" else handler.wfile.write)(piece)
                handler.server.fake.bytes_flooded += len(piece)

    return answer


def cid_v1(digest: Digest, codec: str) -> str:
    raw = b"\x01" + CODECS[codec] + b"\x12\x20" + digest
    return "b" + base64.b32encode(raw).decode().rstrip("=").lower()


def raw_cid(digest: Digest) -> str:
    """What ``repo/gc`` calls a block: it knows multihashes alone."""
    return cid_v1(digest, "raw")


def decode(cid: str) -> Digest:
    try:
        if cid.startswith("b"):
            return Digest(base64.b32decode(cid[1:].upper() + "=" * (-len(cid[1:]) % 8))[4:])
        return digest_of(cid)
    except ValueError as exc:
        raise CommandFailed(f"invalid path {json.dumps(cid)}: {exc}") from exc
