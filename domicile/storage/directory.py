"""The embedded block store: a directory of blocks, safe with several processes.

A block is written in a folder of its own and renamed, so that none is ever half visible. All are written in the same
folder, since a file system spreads the files of different folders over the disk, which doubles the cost of making one.
Blocks are not flushed to the
disk one by one: what a power failure tears is found by its digest when it is read, and written anew when it is put
again.
"""

from __future__ import annotations

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Self

from domicile.clock import JobClock
from domicile.errors import BlockMissing, ConfigurationError, StoreFault
from domicile.storage.blocks import Piece
from domicile.storage.cid import cid_of
from domicile.storage.unixfs import BLOCK_BYTES_MAX, CHUNK_BYTES, block_digest, parse
from domicile.types import Digest

NOT_THERE = "is not there; bring it back, or make the folder: an empty one becomes a new store"
NO_STORE = "is no store, and not empty; bring the store back, or name an empty folder"
_PARTS = frozenset({"blocks", "incoming", "pins", "lock"})


class DirectoryBlocks:
    """Blocks as files, in 256 folders by the first byte of the digest; unfinished ones; pins as empty files."""

    def __init__(self, path: Path, *, create: bool = True) -> None:
        """Creates the store if there is none, unless told not to change anything.

        Raises:
            ConfigurationError: the folder cannot be made.
        """
        self._path = path
        self._lock = path / "lock"
        self._incoming = path / "incoming"
        if not create:
            return
        try:
            for first in range(256):
                (path / "blocks" / f"{first:02x}").mkdir(parents=True, exist_ok=True)
            for folder in (self._incoming, path / "pins"):
                folder.mkdir(exist_ok=True)
            self._lock.touch()
        except OSError as exc:
            raise ConfigurationError(f"store {path}: cannot be made ({exc.strerror}); name a folder of yours") from exc

    @classmethod
    def in_place(cls, path: Path) -> Self:
        """A store whose folder is there. An empty one is made a store; one that is missing was moved or unmounted, and
        a new store in its place would be one that lost everything.

        Raises:
            StoreFault: the folder is not there, or cannot be looked at.
            ConfigurationError: it is no store and holds something else, or cannot be made one.
        """
        if not path.exists():
            raise StoreFault(f"store {path}: {NOT_THERE}")
        with cls(path, create=False)._translated("cannot be looked at"):
            is_other = path.is_dir() and not looks_like_store(path)
        if is_other:
            raise ConfigurationError(f"store {path}: {NO_STORE}")
        return cls(path)

    def follow(self, clock: JobClock) -> None:
        """A folder answers at once or never; the system's own calls cannot be told how long to wait."""

    def identity(self) -> str:
        with self._translated("cannot be looked at"):
            found = self._path.stat()
        return f"dir:{found.st_dev}:{found.st_ino}"

    @contextmanager
    def writing(self) -> Iterator[None]:
        with self._opened_lock() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            yield

    def put(self, digest: Digest, parts: Sequence[Piece]) -> None:
        target = self._block(digest)
        if _holds(target, digest):
            return
        temporary = self._incoming / secrets.token_hex(8)
        with self._translated("a block cannot be written"):
            try:
                descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
                try:
                    _write_all(descriptor, parts)
                finally:
                    os.close(descriptor)
                temporary.replace(target)
            except OSError:
                temporary.unlink(missing_ok=True)
                raise

    def get(self, digest: Digest, *, local: bool = False) -> bytes:  # noqa: ARG002 - there are no peers
        with self._translated("a block cannot be read"):
            try:
                descriptor = os.open(self._block(digest), os.O_RDONLY)
            except FileNotFoundError as exc:
                # A folder that was moved or unmounted misses no block: it is not there to be asked.
                self._lock.stat()
                raise BlockMissing(f"store {self._path} has no block {cid_of(digest)}; fetch the payload anew") from exc
            try:
                # Asking for as much as there is: a larger buffer would be fresh memory for every block.
                return os.read(descriptor, min(os.fstat(descriptor).st_size, BLOCK_BYTES_MAX + 1))
            finally:
                os.close(descriptor)

    def has(self, digest: Digest) -> bool:
        with self._translated("cannot be looked at"):
            self._lock.stat()
            return self._block(digest).exists()

    def pin(self, root: Digest) -> None:
        with self._translated("a pin cannot be written"):
            (self._path / "pins" / root.hex()).touch()

    def unpin(self, root: Digest) -> None:
        with self._translated("a pin cannot be removed"):
            self._lock.stat()
            (self._path / "pins" / root.hex()).unlink(missing_ok=True)

    def collect(self) -> int:
        """Does nothing while somebody writes: blocks of an unfinished payload are not pinned yet."""
        with self._opened_lock() as lock, self._translated("cannot be collected"):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return 0
            return self._sweep(self._reachable())

    def _opened_lock(self) -> BinaryIO:
        with self._translated("cannot be locked"):
            return self._lock.open("rb")

    @contextmanager
    def _translated(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            mends = {errno.ENOSPC: "free some space", errno.EDQUOT: "free some space", errno.ENOENT: "bring it back"}
            mend = mends.get(exc.errno or 0, "give this account the right to")
            raise StoreFault(f"store {self._path}: {what} ({exc.strerror}); {mend}") from exc

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
                    removed += 1
        # Nobody writes now: what lies here was left by a process that died.
        for file in self._incoming.iterdir():
            file.unlink(missing_ok=True)
        return removed

    def _block(self, digest: Digest) -> Path:
        name = digest.hex()
        return self._path / "blocks" / name[:2] / name


def looks_like_store(path: Path) -> bool:
    """Whether a folder is a store, or is becoming one, or is free to."""
    return (path / "lock").exists() or set(os.listdir(path)) <= _PARTS


def _holds(file: Path, digest: Digest) -> bool:
    try:
        return block_digest(file.read_bytes()) == digest
    except OSError:
        return False


def _write_all(descriptor: int, parts: Sequence[Piece]) -> None:
    views = [memoryview(part) for part in parts]
    while views:
        written = os.writev(descriptor, views)
        while views and written >= len(views[0]):
            written -= len(views[0])
            views.pop(0)
        if views and written:
            views[0] = views[0][written:]
