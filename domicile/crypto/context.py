"""What a sealed payload is bound to."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from enum import IntEnum

from domicile.types import Address, JobId, ShardIndex

CONTEXT_BYTES = 110
NO_SHARD = 0xFF
ROUND_MAX = 0xFFFF
WORD_END = 1 << 256
ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_FORMAT = struct.Struct(">32s20s32sBBHH")


class PayloadKind(IntEnum):
    """What a payload holds; it decides who the recipients are."""

    UPDATE = 1
    REGIONAL_MODEL = 2
    EXPORT = 3
    GLOBAL_MODEL = 4
    UNMASKING = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class PayloadContext:
    """Where and when a payload belongs; `shard` is `None` for a global model, whose `regional_round` is 0."""

    chain_id: int
    contract: Address
    job: JobId
    shard: ShardIndex | None
    kind: PayloadKind
    global_round: int
    regional_round: int
    sender: Address

    def __post_init__(self) -> None:
        """Raises:
        ValueError: a number that the encoding has no room for.
        """
        if self.shard is not None and not 0 <= self.shard < NO_SHARD:
            raise ValueError(f"shard {self.shard} is outside 0 to {NO_SHARD - 1}")
        if not (0 <= self.global_round <= ROUND_MAX and 0 <= self.regional_round <= ROUND_MAX):
            raise ValueError(f"a round is outside 0 to {ROUND_MAX}")
        if not (0 <= self.chain_id < WORD_END and 0 <= self.job < WORD_END):
            raise ValueError("chain id or job is negative or has more than 256 bits")
        if not (ADDRESS.fullmatch(self.contract) and ADDRESS.fullmatch(self.sender)):
            raise ValueError("contract and sender are 0x and 40 hexadecimal digits")
        PayloadKind(self.kind)

    def to_bytes(self) -> bytes:
        """Canonical encoding: big-endian, fixed length, documented in ``docs/payload-format.md``."""
        head = _FORMAT.pack(
            self.chain_id.to_bytes(32, "big"),
            bytes.fromhex(self.contract.removeprefix("0x")),
            self.job.to_bytes(32, "big"),
            NO_SHARD if self.shard is None else self.shard,
            self.kind,
            self.global_round,
            self.regional_round,
        )
        return head + bytes.fromhex(self.sender.removeprefix("0x"))
