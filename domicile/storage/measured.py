"""A block layer that counts what goes through it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from domicile import metrics
from domicile.storage.blocks import Blocks, Piece
from domicile.types import Digest


class MeasuredBlocks:
    """Blocks of the store that a configuration names `place`; one payload being written is one act."""

    def __init__(self, blocks: Blocks, place: str) -> None:
        self._blocks = blocks
        self._stored = metrics.STORED_BYTES.labels(place)
        self._read = metrics.READ_BYTES.labels(place)
        self._writing = metrics.Stopwatch()
        self._has_put = False

    def identity(self) -> str:
        return self._blocks.identity()

    @contextmanager
    def writing(self) -> Iterator[None]:
        self._writing, self._has_put = metrics.Stopwatch(), False
        with self._blocks.writing():
            yield
        if self._has_put:
            metrics.ACT_SECONDS.labels("store").observe(self._writing.seconds)

    def put(self, digest: Digest, parts: Sequence[Piece]) -> None:
        self._has_put = True
        with self._writing:
            self._blocks.put(digest, parts)
        self._stored.inc(sum(len(part) for part in parts))

    def get(self, digest: Digest, *, local: bool = False) -> bytes:
        block = self._blocks.get(digest, local=local)
        self._read.inc(len(block))
        return block

    def has(self, digest: Digest) -> bool:
        return self._blocks.has(digest)

    def pin(self, root: Digest) -> None:
        with self._writing:
            self._blocks.pin(root)

    def unpin(self, root: Digest) -> None:
        self._blocks.unpin(root)

    def collect(self) -> int:
        return self._blocks.collect()
