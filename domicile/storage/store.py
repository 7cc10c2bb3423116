"""Payloads in a store: written and read in constant memory, every block checked against the root.

A store is never trusted. A reader walks the tree from the root digest, compares the sha2-256 of each block before it
looks at it, and hands out no byte of a block that failed.
"""

from __future__ import annotations

import io
from contextlib import ExitStack
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self
from urllib.parse import urlsplit

from typing_extensions import Buffer

from domicile.clock import JobClock
from domicile.errors import BlockCorrupt, BlockMissing, ConfigurationError, PayloadTooLong
from domicile.storage.blocks import Blocks
from domicile.storage.cid import cid_of
from domicile.storage.unixfs import (
    BLOCK_BYTES_MAX,
    CHUNK_BYTES,
    MAX_LINKS,
    Link,
    Node,
    block_digest,
    encode_leaf,
    encode_node,
    parse,
)
from domicile.types import Digest

TREE_DEPTH_MAX = 8
"""174^8 chunks: more than any disk holds. Bounds what a hostile tree can make a reader do."""

PAYLOAD_BYTES_MAX = 1 << 40
"""More than any payload of ours has."""


class Store(Protocol):
    """Where payloads lie."""

    def follow(self, clock: JobClock) -> None:
        """Waits for answers by this clock from now on."""
        ...

    def identity(self) -> str:
        """Equal for two stores exactly if they are the same one."""
        ...

    def writer(self) -> PayloadWriter:
        """A context manager that takes a payload; nothing of it is kept unless it is committed."""
        ...

    def open(self, digest: Digest, *, max_bytes: int) -> PayloadReader:
        """A context manager that gives a payload.

        Raises:
            BlockMissing: the root is not here; BlockCorrupt: it is not what was asked for.
            PayloadTooLong: it is longer than `max_bytes`; StoreFault: the store cannot be reached.
        """
        ...

    def put_bytes(self, data: Buffer) -> Digest: ...

    def get_bytes(self, digest: Digest, *, max_bytes: int) -> bytes: ...

    def has(self, digest: Digest) -> bool: ...

    def size_of(self, digest: Digest) -> int | None:
        """Length of a payload in bytes, or `None` where its root does not lie here. Asks no other peers."""
        ...

    def keep(self, digest: Digest) -> bool:
        """Pins a payload if all of it lies here, each block as it should be; `False` if not. Asks no other peers."""
        ...

    def unpin(self, digest: Digest) -> None: ...

    def collect(self) -> int: ...


class BlockStore:
    """Payloads over any block layer."""

    def __init__(self, blocks: Blocks) -> None:
        self._blocks = blocks

    def follow(self, clock: JobClock) -> None:
        self._blocks.follow(clock)

    def identity(self) -> str:
        return self._blocks.identity()

    def writer(self) -> PayloadWriter:
        return PayloadWriter(self._blocks)

    def open(self, digest: Digest, *, max_bytes: int) -> PayloadReader:
        return PayloadReader(self._blocks, digest, max_bytes)

    def put_bytes(self, data: Buffer) -> Digest:
        with self.writer() as writer:
            writer.write(data)
            return writer.commit()

    def get_bytes(self, digest: Digest, *, max_bytes: int) -> bytes:
        with self.open(digest, max_bytes=max_bytes) as reader:
            return reader.read(reader.size)

    def has(self, digest: Digest) -> bool:
        return self._blocks.has(digest)

    def size_of(self, digest: Digest) -> int | None:
        try:
            return PayloadReader(self._blocks, digest, PAYLOAD_BYTES_MAX, local=True).size
        except (BlockMissing, BlockCorrupt):
            return None

    def keep(self, digest: Digest) -> bool:
        piece = memoryview(bytearray(CHUNK_BYTES))
        with self._blocks.writing():
            try:
                reader = PayloadReader(self._blocks, digest, PAYLOAD_BYTES_MAX, local=True)
                while reader.readinto(piece):
                    pass
            except (BlockMissing, BlockCorrupt):
                return False
            self._blocks.pin(digest)
        return True

    def unpin(self, digest: Digest) -> None:
        self._blocks.unpin(digest)

    def collect(self) -> int:
        return self._blocks.collect()


class _Tree:
    """Builds the balanced tree from the left, holding one row of links a level."""

    def __init__(self, blocks: Blocks | None) -> None:
        self._blocks = blocks
        self._levels: list[list[Link]] = [[]]

    def add_leaf(self, data: memoryview) -> None:
        head, tail = encode_leaf(len(data))
        self._add(0, self._stored((head, data, tail), len(data), 0))

    def root(self) -> Digest:
        """Closes the tree."""
        if self._levels == [[]]:
            self.add_leaf(memoryview(b""))
        level = 0
        while len(self._levels) > level + 1 or len(self._levels[level]) > 1:
            self._close(level)
            level += 1
        return self._levels[level][0].digest

    def _add(self, level: int, link: Link) -> None:
        if len(self._levels[level]) == MAX_LINKS:
            self._close(level)
        self._levels[level].append(link)

    def _close(self, level: int) -> None:
        links = self._levels[level]
        block = encode_node(links)
        if len(self._levels) == level + 1:
            self._levels.append([])
        below = sum(link.tree_bytes for link in links)
        self._levels[level] = []
        self._add(level + 1, self._stored((block,), sum(link.file_bytes for link in links), below))

    def _stored(self, parts: tuple[bytes | memoryview, ...], file_bytes: int, below: int) -> Link:
        digest = block_digest(*parts)
        if self._blocks is not None:
            self._blocks.put(digest, parts)
        return Link(digest, file_bytes, sum(len(part) for part in parts) + below)


class PayloadWriter:
    """Takes bytes in pieces of any size; `commit` pins the payload and returns its digest."""

    def __init__(self, blocks: Blocks | None) -> None:
        """Without `blocks`, the root is computed and nothing is stored."""
        self._blocks = blocks
        self._tree = _Tree(blocks)
        self._chunk = bytearray(CHUNK_BYTES)
        self._filled = 0
        self._leave = ExitStack()

    def __enter__(self) -> Self:
        if self._blocks is not None:
            self._leave.enter_context(self._blocks.writing())
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._leave.close()

    def write(self, data: Buffer) -> int:
        view = memoryview(data).cast("B")
        length = len(view)
        while len(view):
            if not self._filled and len(view) >= CHUNK_BYTES:
                self._tree.add_leaf(view[:CHUNK_BYTES])
                view = view[CHUNK_BYTES:]
                continue
            taken = min(len(view), CHUNK_BYTES - self._filled)
            self._chunk[self._filled : self._filled + taken] = view[:taken]
            self._filled += taken
            view = view[taken:]
            if self._filled == CHUNK_BYTES:
                self._flush()
        return length

    def commit(self, expected: Digest | None = None) -> Digest:
        """Stores what is left and pins the root.

        Raises:
            BlockCorrupt: this is not the `expected` payload; nothing is pinned.
        """
        if self._filled:
            self._flush()
        root = self._tree.root()
        if expected is not None and expected != root:
            raise BlockCorrupt(f"{cid_of(root)} was written where {cid_of(expected)} was announced; write it again")
        if self._blocks is not None:
            self._blocks.pin(root)
        return root

    def _flush(self) -> None:
        self._tree.add_leaf(memoryview(self._chunk)[: self._filled])
        self._filled = 0


class PayloadReader:
    """Gives a payload's bytes in order; `size` is its length, known from the checked root."""

    def __init__(self, blocks: Blocks, root: Digest, max_bytes: int, *, local: bool = False) -> None:
        """With `local`, other peers are not asked for blocks."""
        self._blocks = blocks
        self._local = local
        self._ready = memoryview(b"")
        self._stack: list[tuple[Link, int]] = []
        top = self._fetch(root)
        if top.file_bytes > max_bytes:
            raise PayloadTooLong(
                f"{cid_of(root)} has {top.file_bytes} bytes, at most {max_bytes} are expected; it is refused, its "
                "sender must make a proper one"
            )
        self.size = top.file_bytes
        self._expand(top, depth=0)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.clear()
        self._ready = memoryview(b"")

    def readinto(self, buffer: Buffer) -> int:
        """Fills a buffer as far as the payload goes; 0 at its end.

        Raises:
            BlockMissing, BlockCorrupt: a block is not here, or not what its parent names.
        """
        target = memoryview(buffer).cast("B")
        written = 0
        while written < len(target):
            if not len(self._ready) and not self._next_leaf():
                break
            taken = min(len(self._ready), len(target) - written)
            target[written : written + taken] = self._ready[:taken]
            self._ready = self._ready[taken:]
            written += taken
        return written

    def read(self, size: int) -> bytes:
        """At most `size` bytes."""
        buffer = bytearray(size)
        return bytes(memoryview(buffer)[: self.readinto(buffer)])

    def _next_leaf(self) -> bool:
        while self._stack and not len(self._ready):
            link, depth = self._stack.pop()
            node = self._fetch(link.digest)
            if node.file_bytes != link.file_bytes:
                raise BlockCorrupt(
                    f"{cid_of(link.digest)} holds {node.file_bytes} bytes, its parent says {link.file_bytes}"
                )
            self._expand(node, depth)
        return len(self._ready) > 0

    def _expand(self, node: Node, depth: int) -> None:
        if node.links and depth >= TREE_DEPTH_MAX:
            raise BlockCorrupt("the payload's tree is deeper than any of ours; it is refused")
        self._ready = node.data
        self._stack.extend((link, depth + 1) for link in reversed(node.links))

    def _fetch(self, digest: Digest) -> Node:
        block = self._blocks.get(digest, local=self._local)
        if len(block) > BLOCK_BYTES_MAX or block_digest(block) != digest:
            raise BlockCorrupt(f"the store answered with other bytes than {cid_of(digest)}; ask another peer")
        return parse(block)


def root_of(source: io.BufferedIOBase) -> Digest:
    """Digest that a store would give a file, storing nothing."""
    writer = PayloadWriter(None)
    while piece := source.read(CHUNK_BYTES):
        writer.write(piece)
    return writer.commit()


class Opening(Enum):
    """What is done of a store that is a folder: `MAKE` makes all that is missing, `IN_PLACE` makes an empty folder a
    store and no folder, `LOOK` changes nothing.
    """

    MAKE = "make"
    IN_PLACE = "in place"
    LOOK = "look"


def open_store(location: str, opening: Opening = Opening.MAKE) -> BlockStore:
    """A store by its location; see `open_blocks`."""
    return BlockStore(open_blocks(location, opening))


def open_blocks(location: str, opening: Opening = Opening.MAKE) -> Blocks:
    """A store's blocks by its location: ``dir:PATH`` for the embedded one, or the URL of a Kubo RPC endpoint.

    Raises:
        ConfigurationError: the location is neither, or the folder is no place for a store.
        StoreFault: `IN_PLACE`, and there is no such folder.
    """
    if location.startswith("dir:") and location != "dir:":
        from domicile.storage.directory import DirectoryBlocks

        path = Path(location.removeprefix("dir:"))
        if opening is Opening.IN_PLACE:
            return DirectoryBlocks.in_place(path)
        return DirectoryBlocks(path, create=opening is Opening.MAKE)
    if urlsplit(location).scheme in {"http", "https"}:
        from domicile.storage.kubo import KuboBlocks

        return KuboBlocks(location)
    raise ConfigurationError(f"{location!r} is no store; write dir:PATH or the URL of a Kubo RPC endpoint")
