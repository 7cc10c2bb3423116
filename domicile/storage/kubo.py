"""Blocks in a Kubo daemon, through its RPC.

`ipfshttpclient` 0.7 refuses daemons of 0.8.0 and later in `connect()`; its `Client` class works without that check, for
the few calls that are made here. Blocks are put one by one and the root is pinned at the end, so that the tree is ours
and not whatever the daemon's version would chunk.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import ipfshttpclient
from ipfshttpclient import exceptions as ipfs_errors

from domicile.clock import DEFAULT_CLOCK, JobClock
from domicile.errors import BlockCorrupt, BlockMissing, ConfigurationError, StoreFault
from domicile.storage.blocks import Piece
from domicile.storage.cid import cid_of, cid_v1_of
from domicile.storage.unixfs import BLOCK_BYTES_MAX
from domicile.types import Digest

ANSWER_BYTES_MAX = 2 << 20
"""More than a block, and small: the client's JSON reader takes time with the square of what makes no sense to it."""

COLLECTED_BYTES_MAX = 64 << 20
"""The answer to ``repo/gc`` has about 80 bytes a block: this is the list of 200 GB of blocks."""

PIECE_BYTES = 64 << 10
_ABSENT = ("could not find", "key not found", "merkledag: not found", "was not found locally", "deadline exceeded")
_NOT_PINNED = "not pinned"
_MEND = "write http://HOST:PORT, without password, path or query"
_UNLIKE_KUBO = (AssertionError, LookupError, RecursionError, TypeError, ValueError)
"""What the client raises over an answer that is JSON, but not of the shape that it expects."""


class KuboBlocks:
    """Blocks of a Kubo daemon."""

    def __init__(self, url: str) -> None:
        """Opens no connection yet.

        Raises:
            ConfigurationError: the URL is not that of an RPC endpoint.
        """
        host, port, scheme = _parse(url)
        self._where = f"{host}:{port}"
        self._clock = DEFAULT_CLOCK
        kind = "ip6" if ":" in host else "dns"
        try:
            self._client = ipfshttpclient.Client(f"/{kind}/{host}/tcp/{port}/{scheme}", session=True)
        except ipfs_errors.AddressError as exc:
            raise ConfigurationError(f"store {host}: no name or address of a host; {_MEND}") from exc
        session = self._client._client._session
        # The client reads every answer whole, errors too: a hostile daemon would fill the memory with one.
        session.hooks["response"].append(_bound_answer)
        for adapter in session.adapters.values():
            # An option of Python 2 over which urllib3 warns at every call.
            adapter.poolmanager.connection_pool_kw.pop("strict", None)

    def follow(self, clock: JobClock) -> None:
        self._clock = clock

    def identity(self) -> str:
        with self._translated():
            return f"kubo:{self._client.id(**self._waiting())['ID']}"

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Kubo has no lock for others: `pin` notices when a payload was collected while it was written."""
        yield

    def put(self, digest: Digest, parts: Sequence[Piece]) -> None:
        options = {"cid-codec": "dag-pb", "mhtype": "sha2-256", "mhlen": 32, "pin": "false"}
        with self._translated():
            taken_for = self._client.block.put(io.BytesIO(b"".join(parts)), **self._waiting(options))["Key"]
        if taken_for != cid_v1_of(digest):
            raise BlockCorrupt(f"store {self._where} took {cid_of(digest)} for another block; do not use this store")

    def get(self, digest: Digest, *, local: bool = False) -> bytes:
        block = bytearray()
        where = {"offline": "true"} if local else {"timeout": f"{self._clock.peer_search_s:g}s"}
        waiting = self._waiting(where)
        with self._translated(), self._client.block.get(cid_of(digest), stream=True, **waiting) as pieces:
            for piece in pieces:
                block += piece
                if len(block) > BLOCK_BYTES_MAX:
                    # Long enough for the reader to see that this is no block of ours.
                    break
        return bytes(block)

    def has(self, digest: Digest) -> bool:
        try:
            with self._translated():
                self._client.block.stat(cid_of(digest), **self._waiting({"offline": "true"}))
        except BlockMissing:
            return False
        return True

    def pin(self, root: Digest) -> None:
        """Raises:
        StoreFault: a block of the payload is not here, since the daemon collected while it was written.
        """
        try:
            with self._translated():
                pinned = self._client.pin.add(cid_of(root), **self._waiting({"offline": "true"}))["Pins"]
                if cid_of(root) not in pinned:
                    raise ValueError("something else was pinned")
        except BlockMissing as exc:
            raise StoreFault(
                f"store {self._where} collected blocks of {cid_of(root)} before it was pinned; put the payload again"
            ) from exc

    def unpin(self, root: Digest) -> None:
        try:
            with self._translated():
                self._client.pin.rm(cid_of(root), **self._waiting())
        except BlockMissing:
            return

    def collect(self) -> int:
        """The daemon's own garbage collection, which also takes what others left unpinned in it."""
        with self._translated(), self._client.repo.gc(stream=True, **self._waiting()) as removed:
            return sum(1 for _ in removed)

    def _waiting(self, options: Mapping[str, object] | None = None) -> dict[str, Any]:
        """A call's options, and how long the daemon may take for a sign of life."""
        return {"opts": dict(options or {}), "timeout": self._clock.store_timeout_s}

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except ipfs_errors.ErrorResponse as exc:
            text = str(exc)
            if _NOT_PINNED in text or any(words in text for words in _ABSENT):
                raise BlockMissing(f"store {self._where}: {text}; fetch the payload anew") from exc
            raise StoreFault(f"store {self._where}: {text}; look at the daemon's log") from exc
        except (ipfs_errors.DecodingError, ipfs_errors.StatusError, *_UNLIKE_KUBO) as exc:
            raise StoreFault(
                f"store {self._where} answers as no Kubo does ({type(exc).__name__}); name the RPC of a Kubo daemon"
            ) from exc
        except (ipfs_errors.Error, OSError) as exc:
            # The client lets errors of `requests` through that come up while an answer is read; all are OSErrors.
            raise StoreFault(f"store {self._where} cannot be reached ({type(exc).__name__}); start the daemon") from exc


def _parse(url: str) -> tuple[str, int, str]:
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError as exc:
        raise ConfigurationError(f"store: the port is no number from 1 to 65535; {_MEND}") from exc
    if not host or not port or parts.username or parts.password or parts.path.strip("/") or parts.query:
        raise ConfigurationError(f"store {host}: not the URL of a Kubo RPC; {_MEND}")
    return host, port, parts.scheme


class _BoundedAnswer:
    """The body of an answer, in pieces whatever the client asks for, and cut off."""

    def __init__(self, raw: Any, max_bytes: int) -> None:
        self._raw = raw
        self._max_bytes = max_bytes

    def stream(self, _amount: int | None, decode_content: bool) -> Iterator[bytes]:
        remaining = self._max_bytes
        for piece in self._raw.stream(PIECE_BYTES, decode_content=decode_content):
            remaining -= len(piece)
            if remaining < 0:
                raise BlockCorrupt(f"a store answered with more than {self._max_bytes} bytes; do not use this store")
            yield piece

    def close(self) -> None:
        self._raw.close()

    def release_conn(self) -> None:
        self._raw.release_conn()


def _bound_answer(response: Any, **_options: object) -> None:
    """A response hook of `requests`."""
    collected = urlsplit(response.url).path.endswith("/repo/gc")
    response.raw = _BoundedAnswer(response.raw, COLLECTED_BYTES_MAX if collected else ANSWER_BYTES_MAX)
