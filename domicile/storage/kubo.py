"""Blocks in a Kubo daemon, through its RPC.

`ipfshttpclient` 0.7 refuses daemons of 0.8.0 and later in `connect()`; its `Client` class works without that check, for
the few calls that are made here. Blocks are put one by one and the root is pinned at the end, so that the tree is ours
and not whatever the daemon's version would chunk.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar
from urllib.parse import urlsplit

import ipfshttpclient
from ipfshttpclient import exceptions as ipfs_errors

from domicile.errors import BlockCorrupt, BlockMissing, ConfigurationError, StoreFault
from domicile.storage.blocks import Piece
from domicile.storage.cid import cid_of
from domicile.types import Digest

T = TypeVar("T")

RPC_TIMEOUT_S = 60.0
"""Longest wait for one block of at most 256 KiB."""


class KuboBlocks:
    """Blocks of a Kubo daemon. Its own garbage collection removes what is not pinned; `collect` leaves that to it."""

    def __init__(self, url: str) -> None:
        """Opens no connection yet.

        Raises:
            ConfigurationError: the URL names no host and port.
        """
        parts = urlsplit(url)
        try:
            host, port = parts.hostname, parts.port
        except ValueError as exc:
            raise ConfigurationError(f"store {parts.netloc}: not a URL of a Kubo RPC; write http://HOST:PORT") from exc
        if not host or not port or parts.username or parts.password:
            raise ConfigurationError(
                f"store {host}: not a URL of a Kubo RPC; write http://HOST:PORT without a password"
            )
        self._where = f"{host}:{port}"
        self._client = ipfshttpclient.Client(
            f"/dns/{host}/tcp/{port}/{parts.scheme}", session=True, timeout=RPC_TIMEOUT_S
        )

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Kubo's own collection runs only when its operator asks; unpinned blocks are safe until then."""
        yield

    def put(self, digest: Digest, parts: Sequence[Piece]) -> None:
        block = b"".join(parts)
        options = {"cid-codec": "dag-pb", "mhtype": "sha2-256", "mhlen": 32, "pin": "false"}
        self._call(lambda: self._client.block.put(io.BytesIO(block), opts=options))
        if not self.has(digest):
            raise BlockCorrupt(f"store {self._where} took a block and does not have it under {cid_of(digest)}")

    def get(self, digest: Digest) -> bytes:
        return bytes(self._call(lambda: self._client.block.get(cid_of(digest))))

    def has(self, digest: Digest) -> bool:
        try:
            self._call(lambda: self._client.block.stat(cid_of(digest), opts={"offline": "true"}))
        except BlockMissing:
            return False
        return True

    def pin(self, root: Digest) -> None:
        self._call(lambda: self._client.pin.add(cid_of(root), recursive=True))

    def unpin(self, root: Digest) -> None:
        try:
            self._call(lambda: self._client.pin.rm(cid_of(root), recursive=True))
        except BlockMissing:
            return

    def collect(self) -> int:
        return 0

    def _call(self, request: Callable[[], T]) -> T:
        try:
            return request()
        except ipfs_errors.ErrorResponse as exc:
            text = str(exc)
            if any(words in text for words in ("not found", "could not find", "not pinned", "ipld: could not find")):
                raise BlockMissing(f"store {self._where}: {text}; fetch the payload anew") from exc
            raise StoreFault(f"store {self._where}: {text}; look at the daemon's log") from exc
        except ipfs_errors.Error as exc:
            raise StoreFault(f"store {self._where} cannot be reached ({type(exc).__name__}); start the daemon") from exc
