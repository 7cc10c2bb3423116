"""The embedded block store: a directory of blocks, safe with several processes.

A block is written to a temporary name and renamed, so that none is ever half visible. Blocks are not flushed to the
disk one by one: what a power failure tears is found by its digest when it is read.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from domicile.errors import BlockMissing, ConfigurationError, StoreFault
from domicile.storage.blocks import Piece
from domicile.storage.cid import cid_of
from domicile.storage.unixfs import BLOCK_BYTES_MAX, CHUNK_BYTES, parse
from domicile.types import Digest

TEMPORARY = ".tmp-"


class DirectoryBlocks:
    """Blocks as files, in 256 folders by the first byte of the digest; pins as empty files."""

    def __init__(self, path: Path) -> None:
        """Creates the store if there is none.

        Raises:
            ConfigurationError: the folder cannot be made.
        """
        self._path = path
        self._lock = path / "lock"
        try:
            for first in range(256):
                (path / "blocks" / f"{first:02x}").mkdir(parents=True, exist_ok=True)
            (path / "pins").mkdir(exist_ok=True)
            self._lock.touch()
        except OSError as exc:
            raise ConfigurationError(f"store {path}: cannot be made ({exc.strerror}); name a folder of yours") from exc

    def identity(self) -> str:
        found = self._path.stat()
        return f"dir:{found.st_dev}:{found.st_ino}"

    @contextmanager
    def writing(self) -> Iterator[None]:
        with self._lock.open("rb") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            yield

    def put(self, digest: Digest, parts: Sequence[Piece]) -> None:
        target = self._block(digest)
        if target.exists():
            return
        temporary = target.with_name(f"{TEMPORARY}{secrets.token_hex(8)}")
        try:
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            try:
                _write_all(descriptor, parts)
            finally:
                os.close(descriptor)
            temporary.replace(target)
        except OSError as exc:
            temporary.unlink(missing_ok=True)
            mend = "free some space" if exc.errno in (errno.ENOSPC, errno.EDQUOT) else "make it writable"
            raise StoreFault(f"store {self._path}: a block cannot be written ({exc.strerror}); {mend}") from exc

    def get(self, digest: Digest) -> bytes:
        try:
            descriptor = os.open(self._block(digest), os.O_RDONLY)
            try:
                # Asking for as much as there is: a larger buffer would be fresh memory for every block.
                return os.read(descriptor, min(os.fstat(descriptor).st_size, BLOCK_BYTES_MAX + 1))
            finally:
                os.close(descriptor)
        except FileNotFoundError as exc:
            raise BlockMissing(f"store {self._path} has no block {cid_of(digest)}; fetch the payload anew") from exc
        except OSError as exc:
            raise StoreFault(f"store {self._path}: a block cannot be read ({exc.strerror}); make it readable") from exc

    def has(self, digest: Digest) -> bool:
        return self._block(digest).exists()

    def pin(self, root: Digest) -> None:
        try:
            (self._path / "pins" / root.hex()).touch()
        except OSError as exc:
            raise StoreFault(f"store {self._path}: a pin cannot be written ({exc.strerror})") from exc

    def unpin(self, root: Digest) -> None:
        (self._path / "pins" / root.hex()).unlink(missing_ok=True)

    def collect(self) -> int:
        """Does nothing while somebody writes: blocks of an unfinished payload are not pinned yet."""
        with self._lock.open("rb") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return 0
            return self._sweep(self._reachable())

    def _reachable(self) -> set[str]:
        kept: set[str] = set()
        waiting = [Digest(bytes.fromhex(name)) for name in os.listdir(self._path / "pins")]
        while waiting:
            digest = waiting.pop()
            if digest.hex() in kept or not self.has(digest):
                continue
            kept.add(digest.hex())
            node = parse(self.get(digest))
            # All leaves lie equally deep and only the last child may be short, so the first one tells what they are.
            if node.links and node.links[0].file_bytes <= CHUNK_BYTES:
                kept.update(link.digest.hex() for link in node.links)
            else:
                waiting.extend(link.digest for link in node.links)
        return kept

    def _sweep(self, kept: set[str]) -> int:
        removed = 0
        for folder in (self._path / "blocks").iterdir():
            for file in folder.iterdir():
                if file.name not in kept:
                    file.unlink(missing_ok=True)
                    removed += not file.name.startswith(TEMPORARY)
        return removed

    def _block(self, digest: Digest) -> Path:
        name = digest.hex()
        return self._path / "blocks" / name[:2] / name


def _write_all(descriptor: int, parts: Sequence[Piece]) -> None:
    views = [memoryview(part) for part in parts]
    while views:
        written = os.writev(descriptor, views)
        while views and written >= len(views[0]):
            written -= len(views[0])
            views.pop(0)
        if views and written:
            views[0] = views[0][written:]
