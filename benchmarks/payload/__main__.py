"""``python -m benchmarks.payload [--mib 200]``: sealing and storing beside plain sha256 and AES-GCM in the same run."""

from __future__ import annotations

import argparse
import hashlib
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domicile.crypto.context import PayloadContext, PayloadKind
from domicile.crypto.keys import HpkeKey, KeyCard
from domicile.crypto.sealing import CHUNK_BYTES, OpeningReader, SealingWriter
from domicile.storage.store import BlockStore, open_store
from domicile.types import Address, Digest, JobId, ShardIndex

RUNS = 3
KEY = HpkeKey.from_seed(b"\1" * 32)
ADDRESS = Address("0x" + "1" * 40)
CARD = KeyCard.of(KEY, address=ADDRESS, software="benchmark")
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


class Nowhere:
    """Throws away what is written."""

    def write(self, data: object) -> None: ...


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.payload", description=__doc__)
    parser.add_argument("--mib", type=int, default=200, help="size of the payload")
    size = parser.parse_args().mib << 20
    data = memoryview(bytearray(os.urandom(size)))
    with tempfile.TemporaryDirectory(prefix="domicile-payload-") as folder:
        store = open_store(f"dir:{Path(folder) / 'store'}")
        figures = {name: _median_s(act) for name, act in _acts(store, data).items()}
    floor_s = figures["sha256"]
    sys.stdout.write(
        f"{size >> 20} MiB, median of {RUNS} runs\n\n| what | GB/s | time against sha256 |\n|---|---|---|\n"
    )
    for name, seconds in figures.items():
        sys.stdout.write(f"| {name} | {size / seconds / 1e9:.2f} | {seconds / floor_s:.2f} |\n")
    return 0


def _acts(store: BlockStore, data: memoryview) -> dict[str, Callable[[], object]]:
    plain = _put(store, data, sealed=False)
    sealed = _put(store, data, sealed=True)
    return {
        "sha256": lambda: hashlib.sha256(data).digest(),
        "AES-256-GCM": lambda: _encrypt(data),
        "seal": lambda: _seal(Nowhere(), data),
        "store put": lambda: _put_anew(store, data),
        "store get": lambda: _get(store, plain, sealed=False),
        "seal and put": lambda: _put(store, data, sealed=True),
        "get and open": lambda: _get(store, sealed, sealed=True),
    }


def _median_s(act: Callable[[], object]) -> float:
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        act()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def _encrypt(data: memoryview) -> None:
    cipher, out = AESGCM(bytes(32)), bytearray(CHUNK_BYTES + 16)
    for number, start in enumerate(range(0, len(data), CHUNK_BYTES)):
        chunk = data[start : start + CHUNK_BYTES]
        cipher.encrypt_into(number.to_bytes(12, "big"), chunk, None, memoryview(out)[: len(chunk) + 16])


def _seal(sink: object, data: memoryview) -> None:
    writer = SealingWriter(sink, [CARD], CONTEXT, len(data))  # type: ignore[arg-type]
    writer.write(data)
    writer.close()


def _put(store: BlockStore, data: memoryview, *, sealed: bool) -> Digest:
    with store.writer() as writer:
        if sealed:
            _seal(writer, data)
        else:
            writer.write(data)
        return writer.commit()


def _put_anew(store: BlockStore, data: memoryview) -> None:
    """Blocks that the store has already are not written again: every chunk gets bytes of its own first."""
    for start in range(0, len(data), CHUNK_BYTES):
        data[start : start + 8] = os.urandom(8)
    _put(store, data, sealed=False)


def _get(store: BlockStore, digest: Digest, *, sealed: bool) -> None:
    piece = memoryview(bytearray(1 << 20))
    with store.open(digest, max_bytes=1 << 40) as source:
        reader = OpeningReader(source, KEY, CONTEXT, max_plaintext_bytes=1 << 40) if sealed else source
        while reader.readinto(piece):
            pass


if __name__ == "__main__":
    sys.exit(main())
