"""Sealed payloads on their way to a store.

A payload is sealed into a file beside the journal first. Once the journal names its digest, it is the only one of its
kind: whatever dies then, the same bytes go to the store, as often as the store needs them. What the journal does not
name has left this process for nobody.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from enum import Enum
from io import BufferedReader
from pathlib import Path
from types import TracebackType
from typing import Self

from typing_extensions import Buffer

from domicile.errors import BlockCorrupt, ConfigurationError, DiskFault
from domicile.storage.store import PayloadWriter, Store, root_of
from domicile.storage.unixfs import CHUNK_BYTES
from domicile.types import Digest

_UNFINISHED = "unfinished"


class Delivered(Enum):
    """What became of a payload's way to a store."""

    FOUND = "lay there whole"
    PUT = "was put there"
    LOST = "is whole neither there nor here"


class Outbox:
    """A folder of sealed payloads, each named by its digest. Belongs to one daemon, which does one act at a time."""

    def __init__(self, journal: Path) -> None:
        """Opens (or makes) the outbox of a journal.

        Raises:
            ConfigurationError: the folder cannot be made; DiskFault: there is no room for it.
        """
        self._folder = journal.with_name(f"{journal.name}-outbox")
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as exc:
            if exc.errno in {errno.ENOSPC, errno.EDQUOT}:
                raise DiskFault(f"outbox: {self._folder} cannot be made ({exc.strerror}); make room for it") from exc
            raise ConfigurationError(f"outbox: {self._folder} cannot be made ({exc.strerror}); mend that") from exc
        self._piece = memoryview(bytearray(CHUNK_BYTES))

    @property
    def folder(self) -> Path:
        """On a disk that has room for models."""
        return self._folder

    def require_room(self, size_bytes: int) -> None:
        """Whether a payload fits: to be asked before the work that leads to it, which would be lost.

        Raises:
            DiskFault: it does not.
        """
        with self._translated():
            free_bytes = os.statvfs(self._folder).f_bavail * os.statvfs(self._folder).f_frsize
        if free_bytes < size_bytes:
            raise DiskFault(
                f"outbox: {self._folder} has room for {free_bytes} bytes, {size_bytes} are needed; make room, it is "
                "tried again"
            )

    @contextmanager
    def writer(self) -> Iterator[OutboxWriter]:
        """A payload's way in: what is written is kept only if it is committed."""
        with self._translated(), OutboxWriter(self._folder) as writer:
            yield writer

    def deliver(self, digest: Digest, store: Store) -> Delivered:
        """Makes sure that a store holds a payload.

        Raises:
            StoreFault: the store fails.
        """
        if store.keep(digest):
            return Delivered.FOUND
        file = self._opened(digest)
        if file is None:
            return Delivered.LOST
        try:
            with self._translated(), file, store.writer() as writer:
                while count := file.readinto(self._piece):
                    writer.write(self._piece[:count])
                writer.commit(expected=digest)
        except BlockCorrupt:
            if self.holds(digest):
                raise
            return Delivered.LOST
        return Delivered.PUT

    def holds(self, digest: Digest) -> bool:
        """Whether a payload lies here, whole: a power failure may have torn it."""
        file = self._opened(digest)
        if file is None:
            return False
        with self._translated(), file:
            return root_of(file) == digest

    def drop(self, digest: Digest) -> None:
        """Lets go of a payload; doing so twice is no error."""
        with self._translated():
            self._file(digest).unlink(missing_ok=True)

    def keep_only(self, digests: Collection[Digest]) -> None:
        """Lets go of all but these. For the start of a daemon: what its last life had not journaled is of no use."""
        kept = {digest.hex() for digest in digests}
        with self._translated():
            for file in self._folder.iterdir():
                if file.name not in kept:
                    file.unlink(missing_ok=True)

    def _file(self, digest: Digest) -> Path:
        return self._folder / digest.hex()

    def _opened(self, digest: Digest) -> BufferedReader | None:
        with self._translated():
            return self._file(digest).open("rb") if self._file(digest).exists() else None

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except OSError as exc:
            raise DiskFault(
                f"outbox: {self._folder} cannot be used ({exc.strerror}); make room there, it is tried again"
            ) from exc


class OutboxWriter:
    """Takes bytes in pieces of any size; `commit` returns the digest that a store will give them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / _UNFINISHED
        self._file = self._path.open("wb", buffering=0)
        self._root = PayloadWriter(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()
        self._path.unlink(missing_ok=True)

    def write(self, data: Buffer) -> None:
        view = memoryview(data).cast("B")
        self._root.write(view)
        while len(view):
            view = view[self._file.write(view) :]

    def commit(self) -> Digest:
        """Puts what was written into its place, safe from a power failure."""
        digest = self._root.commit()
        os.fsync(self._file.fileno())
        self._path.rename(self._folder / digest.hex())
        folder = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
        return digest
