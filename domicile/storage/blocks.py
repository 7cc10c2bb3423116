"""The block layer: one small protocol, an adapter for each IPFS implementation."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from domicile.clock import JobClock
from domicile.types import Digest

Piece = bytes | memoryview


class Blocks(Protocol):
    """Content-addressed blocks. Implementations check nothing: whoever reads compares digests."""

    def follow(self, clock: JobClock) -> None:
        """Waits for answers by this clock from now on; before, by the longest one."""
        ...

    def identity(self) -> str:
        """Equal for two adapters exactly if they reach the same store, whatever way it was named.

        Raises:
            StoreFault: the store cannot be reached.
        """
        ...

    def writing(self) -> AbstractContextManager[None]:
        """Keeps `collect` away, in this process and others, until the payload being written is pinned."""
        ...

    def put(self, digest: Digest, parts: Sequence[Piece]) -> None:
        """Stores the concatenation of `parts`; a half-written block MUST never be visible, and where other bytes lie
        under this digest, they are replaced as far as this store lets us.

        Raises:
            StoreFault: the store cannot be reached, or is full.
        """
        ...

    def get(self, digest: Digest, *, local: bool = False) -> bytes:
        """With `local`, other peers are not asked.

        Raises:
            BlockMissing: nobody has it; StoreFault: the store cannot be reached.
        """
        ...

    def has(self, digest: Digest) -> bool:
        """Whether the block lies here; never asks other peers."""
        ...

    def pin(self, root: Digest) -> None:
        """Keeps a root and all below it from being collected."""
        ...

    def unpin(self, root: Digest) -> None:
        """Lets go of a root; doing so twice is no error."""
        ...

    def collect(self) -> int:
        """Removes what no pin reaches, as far as this store leaves that to us; returns how many blocks went."""
        ...
