"""A block layer that counts what goes through it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager

from domicile import metrics
from domicile.clock import JobClock
from domicile.storage.blocks import Blocks, Piece
from domicile.types import Digest


class MeasuredBlocks:
    """Blocks of the store that a configuration names `place`."""

    def __init__(self, blocks: Blocks, place: str) -> None:
        self._blocks = blocks
        self._stored = metrics.STORED_BYTES.labels(place)
        self._read = metrics.READ_BYTES.labels(place)

    def follow(self, clock: JobClock) -> None:
        self._blocks.follow(clock)

    def identity(self) -> str:
        return self._blocks.identity()

    def writing(self) -> AbstractContextManager[None]:
        return self._blocks.writing()

    def put(self, digest: Digest, parts: Sequence[Piece]) -> None:
        self._blocks.put(digest, parts)
        self._stored.inc(sum(len(part) for part in parts))

    def get(self, digest: Digest, *, local: bool = False) -> bytes:
        block = self._blocks.get(digest, local=local)
        self._read.inc(len(block))
        return block

    def has(self, digest: Digest) -> bool:
        return self._blocks.has(digest)

    def pin(self, root: Digest) -> None:
        self._blocks.pin(root)

    def unpin(self, root: Digest) -> None:
        self._blocks.unpin(root)

    def collect(self) -> int:
        return self._blocks.collect()
