"""Stores of a network that a test reaches behind: folders, and a fake of Kubo's protocol in the test's own process,
which outlives the daemons. No Kubo runs here.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from domicile.storage.store import BlockStore, open_store
from domicile.storage.unixfs import parse
from domicile.types import Digest
from tests.small_disk import filled, small_disk
from tests.storage.kubo_fake import KuboFake


class FrailStore(Protocol):
    """A store that fails when it is told to."""

    gone_cause: str
    """What daemons say of it while it is gone."""

    full_cause: str
    """What daemons say of it while its disk is full."""

    @property
    def store(self) -> BlockStore: ...

    @property
    def peer_searches(self) -> set[str]:
        """How long the daemons let it look among its peers."""
        ...

    def gone(self) -> AbstractContextManager[None]: ...

    def on_small_disk(self, folder: Path) -> AbstractContextManager[None]:
        """Its disk can be filled meanwhile."""
        ...

    def full(self) -> AbstractContextManager[None]: ...

    def block(self, digest: Digest) -> bytes: ...

    def lose(self, digest: Digest) -> None: ...

    def spoil(self, digest: Digest) -> None:
        """Changes a block's last byte."""
        ...


@dataclass
class FolderStore:
    """A folder of blocks, shared by the daemons."""

    folder: Path
    gone_cause: str = "bring it back"
    full_cause: str = "free some space"

    @property
    def store(self) -> BlockStore:
        return open_store(f"dir:{self.folder}")

    @property
    def peer_searches(self) -> set[str]:
        return set()

    @contextmanager
    def gone(self) -> Iterator[None]:
        away = self.folder.rename(self.folder.with_name("away"))
        try:
            yield
        finally:
            away.rename(self.folder)

    @contextmanager
    def on_small_disk(self, folder: Path) -> Iterator[None]:
        with small_disk(folder, size_kib=8192) as disk:
            shutil.move(self.folder, disk / "store")
            self.folder.symlink_to(disk / "store")
            yield

    def full(self) -> AbstractContextManager[None]:
        return filled(self.folder.resolve().parent)

    def block(self, digest: Digest) -> bytes:
        return self._file(digest).read_bytes()

    def lose(self, digest: Digest) -> None:
        self._file(digest).unlink()

    def spoil(self, digest: Digest) -> None:
        self._file(digest).write_bytes(spoiled(self.block(digest)))

    def _file(self, digest: Digest) -> Path:
        return self.folder / "blocks" / digest.hex()[:2] / digest.hex()


@dataclass
class FakeKuboStore:
    """A fake of Kubo's protocol, running."""

    fake: KuboFake
    gone_cause: str = "cannot be reached (ConnectionError); start the daemon"
    full_cause: str = "no space left on device"

    @property
    def store(self) -> BlockStore:
        return open_store(self.fake.url)

    @property
    def peer_searches(self) -> set[str]:
        gets = [options for command, options in self.fake.requests if command == "block/get"]
        return {options["timeout"] for options in gets if "timeout" in options}

    @contextmanager
    def gone(self) -> Iterator[None]:
        self.fake.stop()
        try:
            yield
        finally:
            self.fake.start()

    def on_small_disk(self, folder: Path) -> AbstractContextManager[None]:
        return nullcontext()

    @contextmanager
    def full(self) -> Iterator[None]:
        self.fake.full = True
        try:
            yield
        finally:
            self.fake.full = False

    def block(self, digest: Digest) -> bytes:
        return self.fake.blocks[digest]

    def lose(self, digest: Digest) -> None:
        del self.fake.blocks[digest]

    def spoil(self, digest: Digest) -> None:
        self.fake.blocks[digest] = spoiled(self.block(digest))


def spoiled(block: bytes) -> bytes:
    return block[:-1] + bytes([block[-1] ^ 0xFF])


def blocks_of(place: FrailStore, root: Digest) -> list[Digest]:
    """All blocks of a payload, the root first and the end of the payload last."""
    below = [blocks_of(place, link.digest) for link in parse(place.block(root)).links]
    return [root, *(digest for part in below for digest in part)]
