"""Digests as IPFS content identifiers of version 0 (multiformats: base58btc of a sha2-256 multihash)."""

from __future__ import annotations

import base64

from domicile.types import Digest, digest

MULTIHASH_PREFIX = b"\x12\x20"
"""sha2-256, 32 bytes."""

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"


def cid_of(value: Digest) -> str:
    """``Qm...`` of a digest."""
    number = int.from_bytes(MULTIHASH_PREFIX + value, "big")
    text = ""
    while number:
        number, position = divmod(number, 58)
        text = _ALPHABET[position] + text
    return text


def cid_v1_of(value: Digest) -> str:
    """``bafybei...`` of a digest: version 1, dag-pb, base32. What Kubo calls a block that it took."""
    raw = b"\x01\x70" + MULTIHASH_PREFIX + value
    return "b" + base64.b32encode(raw).decode().rstrip("=").lower()


def digest_of(cid: str) -> Digest:
    """Digest of ``Qm...``.

    Raises:
        ValueError: it is no CID of version 0.
    """
    number = 0
    for letter in cid:
        number = number * 58 + _ALPHABET.index(letter)
    raw = number.to_bytes(34, "big") if number < 1 << 272 else b""
    if raw[:2] != MULTIHASH_PREFIX:
        raise ValueError(f"{cid!r} is not a CID of version 0")
    return digest(raw[2:])
