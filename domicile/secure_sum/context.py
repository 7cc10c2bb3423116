"""Which round a secret, a share or an answer belongs to."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass

from domicile.crypto.context import ADDRESS, NO_SHARD, ROUND_MAX, WORD_END
from domicile.types import Address, JobId, ShardIndex

CONTEXT_BYTES = 121
_FORMAT = struct.Struct(">32s20s32s32sBHH")
_START_BYTES = 32


@dataclass(frozen=True, kw_only=True, slots=True)
class SumContext:
    """One regional round of one shard. Everything derived or hashed takes it in, so that nothing fits elsewhere."""

    chain_id: int
    contract: Address
    job: JobId
    start: bytes
    """Hash of the block in which the job was started, 32 bytes. A chain that was made anew, or reorganised below that
    block, has the same numbers and addresses: without this, nodes would use the seeds of its former rounds again.
    """

    shard: ShardIndex
    global_round: int
    regional_round: int

    def __post_init__(self) -> None:
        """Raises:
        ValueError: a number that the encoding has no room for.
        """
        if len(self.start) != _START_BYTES:
            raise ValueError(f"the hash of the job's start has {_START_BYTES} bytes, not {len(self.start)}")
        if not 0 <= self.shard < NO_SHARD:
            raise ValueError(f"shard {self.shard} is outside 0 to {NO_SHARD - 1}")
        if not (0 <= self.global_round <= ROUND_MAX and 0 <= self.regional_round <= ROUND_MAX):
            raise ValueError(f"a round is outside 0 to {ROUND_MAX}")
        if not (0 <= self.chain_id < WORD_END and 0 <= self.job < WORD_END and ADDRESS.fullmatch(self.contract)):
            raise ValueError("chain id and job have at most 256 bits, a contract is 0x and 40 hexadecimal digits")

    def to_bytes(self) -> bytes:
        """Canonical encoding: big-endian, fixed length."""
        return _FORMAT.pack(
            self.chain_id.to_bytes(32, "big"),
            address_bytes(self.contract),
            self.job.to_bytes(32, "big"),
            self.start,
            self.shard,
            self.global_round,
            self.regional_round,
        )


def address_bytes(address: Address) -> bytes:
    """20 bytes; their order is the order of addresses everywhere in the protocol."""
    return bytes.fromhex(address.removeprefix("0x"))


def tagged_hash(label: bytes, *parts: bytes) -> bytes:
    """sha-256 of a label, a zero byte and parts of fixed lengths; the label keeps the uses of one hash apart."""
    hasher = hashlib.sha256(label + b"\0")
    for part in parts:
        hasher.update(part)
    return hasher.digest()
