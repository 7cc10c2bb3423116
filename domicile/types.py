"""Typed identifiers shared by every part."""

from __future__ import annotations

from typing import NewType

Address = NewType("Address", str)
"""An Ethereum account, EIP-55 checksummed (``0x`` and 40 hexadecimal digits)."""

Digest = NewType("Digest", bytes)
"""32 bytes. Of a payload: the sha2-256 multihash digest of its IPFS root. Of a model: sha-256 of its plain bytes."""

JobId = NewType("JobId", int)

ShardIndex = NewType("ShardIndex", int)
"""Position of a shard within its job, from 0."""

DatasetId = NewType("DatasetId", int)
"""Number of a dataset in the privacy ledger, from 1; 0 stands for none."""

JurisdictionCode = NewType("JurisdictionCode", str)
"""ISO 3166-1 (``DE``), ISO 3166-2 (``US-CA``) or a bloc (``EU``); at most 8 ASCII characters."""

OperationId = NewType("OperationId", bytes)
"""32 bytes that name an act of governance: who does it, on which contract, with which arguments."""

DIGEST_BYTES = 32


def digest(value: bytes | str) -> Digest:
    """Digest from 32 bytes or from 64 hexadecimal digits (``0x`` allowed).

    Raises:
        ValueError: the value is not 32 bytes long.
    """
    raw = bytes.fromhex(value.removeprefix("0x")) if isinstance(value, str) else bytes(value)
    if len(raw) != DIGEST_BYTES:
        raise ValueError(f"a digest has {DIGEST_BYTES} bytes, this one {len(raw)}")
    return Digest(raw)
