"""Files as IPFS blocks: the ``unixfs-v0-2015`` profile of IPIP-499.

dag-pb nodes with UnixFS data, 256 KiB chunks, no raw leaves, at most 174 links a node, a balanced tree in which all
leaves lie equally deep. The layout is that of the specifications ``unixfs.md`` and ``dag-pb.md``; a node's links are
written before its data, as every implementation does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from domicile.errors import BlockCorrupt
from domicile.storage.cid import MULTIHASH_PREFIX
from domicile.types import Digest

CHUNK_BYTES = 256 << 10
MAX_LINKS = 174
BLOCK_BYTES_MAX = 1 << 20
"""No block of this profile comes near; Kubo moves none above 2 MiB."""

_FILE = b"\x08\x02"
_VARINT_BYTES_MAX = 9


@dataclass(frozen=True, slots=True)
class Link:
    """A child: its digest, the file bytes below it, and all block bytes below and including it (``Tsize``)."""

    digest: Digest
    file_bytes: int
    tree_bytes: int


@dataclass(frozen=True, slots=True)
class Node:
    """A parsed block: either a leaf with `data`, or a node with `links`."""

    file_bytes: int
    data: memoryview
    links: tuple[Link, ...]


def encode_leaf(size: int) -> tuple[bytes, bytes]:
    """What comes before and after the `size` bytes of a leaf's data."""
    payload = (b"\x12" + varint(size)) if size else b""
    tail = b"\x18" + varint(size)
    inner = len(_FILE) + len(payload) + size + len(tail)
    return b"\x0a" + varint(inner) + _FILE + payload, tail


def encode_node(links: Sequence[Link]) -> bytes:
    """Block of a node with children."""
    parts = []
    for link in links:
        entry = b"\x0a\x22" + MULTIHASH_PREFIX + link.digest + b"\x12\x00\x18" + varint(link.tree_bytes)
        parts.append(b"\x12" + varint(len(entry)) + entry)
    sizes = b"".join(b"\x20" + varint(link.file_bytes) for link in links)
    data = _FILE + b"\x18" + varint(sum(link.file_bytes for link in links)) + sizes
    return b"".join(parts) + b"\x0a" + varint(len(data)) + data


def parse(block: bytes) -> Node:
    """Parses a block whose digest was checked.

    Raises:
        BlockCorrupt: it is not a file node of this profile, or its sizes do not add up.
    """
    try:
        return _parse(memoryview(block))
    except (IndexError, ValueError) as exc:
        raise BlockCorrupt(
            f"a block is no file node of the unixfs-v0-2015 profile ({exc}); fetch another payload"
        ) from exc


def _parse(block: memoryview) -> Node:
    hashes: list[tuple[Digest, int]] = []
    data: memoryview | None = None
    for field, value in _fields(block):
        if field == 2 and data is None and isinstance(value, memoryview):
            hashes.append(_parse_link(value))
        elif field == 1 and data is None and isinstance(value, memoryview):
            data = value
        else:
            raise ValueError(f"unexpected field {field}")
    if data is None:
        raise ValueError("no data")
    file_bytes, content, sizes = _parse_data(data)
    if len(sizes) != len(hashes) or len(hashes) > MAX_LINKS:
        raise ValueError("links and block sizes differ")
    if len(content) + sum(sizes) != file_bytes or (hashes and len(content)) or (hashes and not all(sizes)):
        raise ValueError("sizes do not add up")
    links = tuple(Link(digest, size, tree) for (digest, tree), size in zip(hashes, sizes, strict=True))
    return Node(file_bytes, content, links)


def _parse_link(raw: memoryview) -> tuple[Digest, int]:
    fields = dict(_fields(raw))
    multihash, tree_bytes = fields.get(1), fields.get(3)
    if not isinstance(multihash, memoryview) or not isinstance(tree_bytes, int):
        raise ValueError("a link without hash or size")
    if len(multihash) != 34 or multihash[:2] != MULTIHASH_PREFIX:
        raise ValueError("a link that is not sha2-256")
    return Digest(bytes(multihash[2:])), tree_bytes


def _parse_data(raw: memoryview) -> tuple[int, memoryview, list[int]]:
    kind: int | None = None
    file_bytes: int | None = None
    content = raw[:0]
    sizes: list[int] = []
    for field, value in _fields(raw):
        match field, value:
            case 1, int():
                kind = value
            case 2, memoryview():
                content = value
            case 3, int():
                file_bytes = value
            case 4, int():
                sizes.append(value)
            case _:
                raise ValueError(f"unexpected data field {field}")
    if kind != 2 or file_bytes is None:
        raise ValueError("not a file")
    return file_bytes, content, sizes


def _fields(raw: memoryview) -> list[tuple[int, int | memoryview]]:
    """Protocol-buffer fields: numbers (wire type 0) and byte strings (wire type 2)."""
    found: list[tuple[int, int | memoryview]] = []
    at = 0
    while at < len(raw):
        key, at = _read_varint(raw, at)
        value, at = _read_varint(raw, at)
        if key & 7 == 2:
            end = at + value
            if end > len(raw):
                raise ValueError("cut off")
            found.append((key >> 3, raw[at:end]))
            at = end
        elif key & 7 == 0:
            found.append((key >> 3, value))
        else:
            raise ValueError(f"wire type {key & 7}")
    return found


def varint(value: int) -> bytes:
    """Unsigned LEB128."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _read_varint(raw: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(_VARINT_BYTES_MAX):
        byte = raw[at + shift]
        value |= (byte & 0x7F) << (7 * shift)
        if byte < 0x80:
            return value, at + shift + 1
    raise ValueError("a number without end")


def block_digest(*parts: bytes | memoryview) -> Digest:
    """sha2-256 over the concatenated parts of a block."""
    hasher = hashlib.sha256()
    for part in parts:
        hasher.update(part)
    return Digest(hasher.digest())
