"""Opening a payload out of a store needs the same memory whatever its size."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from domicile.crypto.context import PayloadContext, PayloadKind
from domicile.crypto.keys import HpkeKey, KeyCard
from domicile.crypto.sealing import SealingWriter
from domicile.storage.store import open_store
from domicile.types import Address, Digest, JobId, ShardIndex

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = Address("0x" + "1" * 40)
SECRET = bytes(range(96))
CONTEXT = PayloadContext(
    chain_id=1,
    contract=ADDRESS,
    job=JobId(1),
    shard=ShardIndex(0),
    kind=PayloadKind.UPDATE,
    global_round=0,
    regional_round=0,
    sender=ADDRESS,
)
SMALL_BYTES, LARGE_BYTES = 1 << 20, 96 << 20
CONSTANT_BYTES = 8 << 20
"""How much two runs of one program may differ: a twelfth of the large payload."""

OPENING = """
import sys
from domicile.crypto.keys import HpkeKey
from domicile.crypto.sealing import OpeningReader
from domicile.storage.store import open_store
from tests.crypto.test_memory import CONTEXT, SECRET

location, digest, piece_bytes = sys.argv[1], bytes.fromhex(sys.argv[2]), int(sys.argv[3])
piece, total = memoryview(bytearray(min(piece_bytes, 1 << 20))), 0
with open_store(location).open(digest, max_bytes=1 << 40) as source:
    reader = OpeningReader(source, HpkeKey(SECRET), CONTEXT, max_plaintext_bytes=1 << 40)
    if piece_bytes > reader.size:
        total = len(reader.read(reader.size))
    else:
        while count := reader.readinto(piece):
            total += count
assert total == reader.size
# Not ru_maxrss: a child begins with that of the process that started it.
print(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")))
"""


def sealed_zeros(location: str, size: int) -> Digest:
    with open_store(location).writer() as writer:
        card = KeyCard.of(HpkeKey(SECRET), address=ADDRESS, software="x")
        sealing = SealingWriter(writer, [card], CONTEXT, size)
        for _ in range(size >> 20):
            sealing.write(bytes(1 << 20))
        sealing.close()
        return writer.commit()


def peak_bytes(location: str, digest: Digest, piece_bytes: int) -> int:
    arguments = [sys.executable, "-c", OPENING, location, digest.hex(), str(piece_bytes)]
    told = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=True)
    return int(told.stdout) << 10


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_opening_needs_constant_memory(tmp_path: Path) -> None:
    location = f"dir:{tmp_path / 'store'}"
    small, large = (sealed_zeros(location, size) for size in (SMALL_BYTES, LARGE_BYTES))
    piece = 1 << 20
    assert abs(peak_bytes(location, large, piece) - peak_bytes(location, small, piece)) < CONSTANT_BYTES
    # The measure sees a payload that is read whole.
    assert peak_bytes(location, large, 1 << 40) - peak_bytes(location, small, piece) > LARGE_BYTES - CONSTANT_BYTES
