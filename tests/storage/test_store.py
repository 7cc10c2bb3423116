"""Payloads in a store: whole, checked, pinned, collected, and safe with several processes."""

from __future__ import annotations

import hashlib
import io
import json
import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from domicile.clock import JobClock
from domicile.errors import BlockCorrupt, BlockMissing, ConfigurationError, PayloadTooLong, StoreFault
from domicile.storage.cid import cid_of, digest_of
from domicile.storage.directory import DirectoryBlocks
from domicile.storage.store import BlockStore, open_store, root_of
from domicile.storage.unixfs import CHUNK_BYTES, Link, block_digest, encode_leaf, encode_node, parse
from domicile.types import Digest
from tests.storage.conftest import Place

OWN_VECTORS = Path(__file__).with_name("cid_vectors.json")
VECTORS = Path(__file__).resolve().parents[3] / "shared" / "data" / "ipfs_cid_vectors" / "vectors.json"


def stream(size: int) -> bytes:
    """Bytes that do not repeat."""
    return hashlib.shake_128(str(size).encode()).digest(size)


def leaf_block(data: bytes) -> bytes:
    head, tail = encode_leaf(len(data))
    return head + data + tail


class TestEveryStore:
    """What holds for the embedded store and for Kubo."""

    @pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 175 * CHUNK_BYTES + 5])
    def test_a_payload_comes_back_whole_and_survives_collection_until_it_is_unpinned(
        self, store: BlockStore, size: int
    ) -> None:
        data = stream(size)
        digest = store.put_bytes(data)
        assert store.collect() == 0
        assert store.get_bytes(digest, max_bytes=size) == data
        assert root_of(io.BytesIO(data)) == digest
        store.unpin(digest)
        store.unpin(digest)
        assert store.collect() > 0
        assert not store.has(digest)
        with pytest.raises(BlockMissing):
            store.get_bytes(digest, max_bytes=size)

    def test_a_payload_above_the_limit_is_refused_before_a_byte_is_read(self, store: BlockStore) -> None:
        digest = store.put_bytes(stream(100))
        with pytest.raises(PayloadTooLong, match="at most 99"):
            store.open(digest, max_bytes=99)

    def test_nothing_is_kept_of_a_payload_that_was_not_committed(self, store: BlockStore) -> None:
        with store.writer() as writer:
            writer.write(stream(3 * CHUNK_BYTES))
        assert store.collect() == 3
        assert store.collect() == 0

    def test_what_two_payloads_share_stays_as_long_as_one_of_them_is_pinned(self, store: BlockStore) -> None:
        first, second = stream(2 * CHUNK_BYTES), stream(2 * CHUNK_BYTES) + b"more"
        digests = [store.put_bytes(first), store.put_bytes(second)]
        store.unpin(digests[0])
        # Its root alone: both leaves belong to the second payload too.
        assert store.collect() == 1
        assert store.get_bytes(digests[1], max_bytes=1 << 30) == second

    def test_a_lost_block_is_missing(self, place: Place) -> None:
        data = stream(3 * CHUNK_BYTES)
        digest = place.store.put_bytes(data)
        place.store.unpin(digest)
        place.lose(block_digest(leaf_block(data[:CHUNK_BYTES])))
        with pytest.raises(BlockMissing, match="fetch the payload anew"):
            place.store.get_bytes(digest, max_bytes=1 << 30)

    def test_a_payload_is_kept_only_if_all_of_it_lies_here(self, place: Place) -> None:
        data = stream(3 * CHUNK_BYTES)
        assert not place.store.keep(block_digest(leaf_block(data)))
        digest = place.store.put_bytes(data)
        place.store.unpin(digest)
        assert place.store.keep(digest)
        assert place.store.size_of(digest) == len(data)
        assert place.store.collect() == 0
        place.store.unpin(digest)
        place.lose(block_digest(leaf_block(data[:CHUNK_BYTES])))
        assert not place.store.keep(digest)
        assert place.store.put_bytes(data) == digest
        assert place.store.keep(digest)
        place.store.unpin(digest)
        place.store.collect()
        assert place.store.size_of(digest) is None

    def test_a_payload_with_other_bytes_in_it_is_not_kept_and_can_be_put_again(self, place: Place) -> None:
        if place.replace is None:
            pytest.skip("a real daemon cannot be made to lie")
        data = stream(3 * CHUNK_BYTES)
        digest = place.store.put_bytes(data)
        place.replace(block_digest(leaf_block(data[:CHUNK_BYTES])), b"lie")
        assert not place.store.keep(digest)
        place.store.put_bytes(data)
        assert place.store.keep(digest)

    def test_a_payload_that_is_not_the_one_announced_is_not_pinned(self, store: BlockStore) -> None:
        with store.writer() as writer:
            writer.write(b"torn")
            with pytest.raises(BlockCorrupt, match="was announced; write it again"):
                writer.commit(expected=block_digest(leaf_block(b"whole")))
        assert store.collect() == 1

    @pytest.mark.parametrize(
        "lie",
        [
            lambda block: block[:1000] + bytes([block[1000] ^ 1]) + block[1001:],
            lambda block: block[:-1],
            lambda block: b"",
            lambda block: block + b"\0",
            lambda block: block + bytes(2 << 20),
        ],
        ids=["other bytes", "short", "empty", "over-long", "longer than any block"],
    )
    def test_bytes_that_were_not_asked_for_never_reach_the_caller(
        self, place: Place, lie: Callable[[bytes], bytes]
    ) -> None:
        if place.replace is None:
            pytest.skip("a real daemon cannot be made to lie")
        data = stream(3 * CHUNK_BYTES)
        digest, last = place.store.put_bytes(data), leaf_block(data[2 * CHUNK_BYTES :])
        place.replace(block_digest(last), lie(last))
        with place.store.open(digest, max_bytes=1 << 30) as reader:
            assert reader.read(2 * CHUNK_BYTES) == data[: 2 * CHUNK_BYTES]
            with pytest.raises(BlockCorrupt, match="other bytes"):
                reader.read(1)

    def test_a_store_that_is_gone_is_a_fault_and_misses_no_block(self, place: Place) -> None:
        if place.vanish is None:
            pytest.skip("a real daemon is needed by other tests too")
        store, digest = place.store, place.store.put_bytes(b"data")
        place.vanish()
        for act in (
            lambda: store.get_bytes(digest, max_bytes=4),
            lambda: store.put_bytes(b"other"),
            lambda: store.has(digest),
            lambda: store.unpin(digest),
            store.collect,
            store.identity,
        ):
            with pytest.raises(StoreFault, match=r"bring it back|start the daemon") as fault:
                act()
            assert not isinstance(fault.value, BlockMissing)

    def test_a_store_is_the_same_however_it_is_named_and_no_other_is(self, place: Place, tmp_path: Path) -> None:
        again = place.location.replace("127.0.0.1", "localhost") + "/"
        assert open_store(again).identity() == place.store.identity()
        assert open_store(f"dir:{tmp_path / 'other'}").identity() != place.store.identity()


@pytest.mark.parametrize("vector", json.loads(OWN_VECTORS.read_text())["vectors"], ids=lambda vector: vector["name"])
def test_a_file_has_the_cid_that_kubo_gives_it(vector: dict[str, Any]) -> None:
    data = vector["text"].encode() if "text" in vector else stream(vector["stream_bytes"])
    assert cid_of(root_of(io.BytesIO(data))) == vector["cid"]
    assert cid_of(digest_of(vector["cid"])) == vector["cid"]


@pytest.mark.skipif(not VECTORS.exists(), reason="reference vectors are not here")
def test_the_profile_vectors_hold() -> None:
    from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

    checked = 0
    for vector in json.loads(VECTORS.read_text())["vectors"]:
        if (vector["cid_version"], vector["chunk"], vector["max_links"]) != (0, CHUNK_BYTES, 174):
            continue
        if "text" in vector:
            data = vector["text"].encode()
        else:
            cipher = Cipher(algorithms.ChaCha20(hashlib.sha256(vector["seed"].encode()).digest(), bytes(16)), None)
            data = cipher.encryptor().update(bytes(vector["size"]))
        assert cid_of(root_of(io.BytesIO(data))) == vector["cid"], vector["name"]
        checked += 1
    assert checked >= 3


class LyingBlocks:
    """A store that answers whatever it likes."""

    def __init__(self) -> None:
        self.blocks: dict[Digest, bytes] = {}

    def add(self, block: bytes) -> Digest:
        digest = block_digest(block)
        self.blocks[digest] = block
        return digest

    def follow(self, clock: JobClock) -> None: ...

    def identity(self) -> str:
        return "lying"

    @contextmanager
    def writing(self) -> Iterator[None]:
        yield

    def put(self, digest: Digest, parts: Sequence[bytes | memoryview]) -> None:
        self.blocks[digest] = b"".join(parts)

    def get(self, digest: Digest, *, local: bool = False) -> bytes:
        return self.blocks[digest]

    def has(self, digest: Digest) -> bool:
        return digest in self.blocks

    def pin(self, root: Digest) -> None: ...

    def unpin(self, root: Digest) -> None: ...

    def collect(self) -> int:
        return 0


def test_wrong_bytes_are_refused() -> None:
    blocks = LyingBlocks()
    digest = blocks.add(leaf_block(b"true"))
    blocks.blocks[digest] = leaf_block(b"lie!")
    with pytest.raises(BlockCorrupt):
        BlockStore(blocks).get_bytes(digest, max_bytes=100)


@pytest.mark.parametrize("claimed", [3, 5, 1 << 20])
def test_a_leaf_of_another_length_than_its_parent_says_is_refused(claimed: int) -> None:
    blocks = LyingBlocks()
    leaf = blocks.add(leaf_block(b"four"))
    root = blocks.add(encode_node([Link(leaf, claimed, 20)]))
    with pytest.raises(BlockCorrupt):
        BlockStore(blocks).get_bytes(root, max_bytes=1 << 41)


def test_a_tree_that_is_too_deep_is_refused() -> None:
    blocks = LyingBlocks()
    digest = blocks.add(leaf_block(b"x"))
    for _ in range(12):
        digest = blocks.add(encode_node([Link(digest, 1, 9)]))
    with pytest.raises(BlockCorrupt, match="deeper"):
        BlockStore(blocks).get_bytes(digest, max_bytes=100)


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"\xff" * 40,
        b"\x0a\x05\x08\x01\x18\x00",
        b"\x0a\x04\x08\x01\x18\x00",
        b"\x0a\x04\x08\x02\x18\x07",
        b"\x0a\x06\x08\x02\x18\x00\x20\x00",
        b"\x12\x02\x0a\x00\x0a\x04\x08\x02\x18\x00",
        b"\x1a\x00",
        b"\x0a" + b"\x80" * 30,
        encode_node([Link(Digest(bytes(32)), 0, 0)]),
        encode_node([Link(Digest(bytes(32)), 1, 1)] * 175),
    ],
)
def test_what_is_no_file_node_of_the_profile_is_refused(block: bytes) -> None:
    with pytest.raises(BlockCorrupt):
        parse(block)


def _write(path: Path, seed: int) -> None:
    store = BlockStore(DirectoryBlocks(path))
    for number in range(8):
        data = stream(CHUNK_BYTES * 2 + number + (seed % 2))
        digest = store.put_bytes(data)
        assert store.get_bytes(digest, max_bytes=1 << 30) == data
        store.collect()


def test_four_processes_write_read_and_collect_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_write, args=(tmp_path / "store", seed)) for seed in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0, 0, 0]


def _write_for_ever(path: Path, started: object) -> None:
    store = BlockStore(DirectoryBlocks(path))
    with store.writer() as writer:
        for number in range(1_000_000):
            writer.write(stream(CHUNK_BYTES + number % 7))
            started.set()  # type: ignore[attr-defined]


def test_a_killed_writer_leaves_nothing_that_is_kept(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    started = context.Event()
    writer = context.Process(target=_write_for_ever, args=(tmp_path / "store", started))
    writer.start()
    assert started.wait(30)
    os.kill(writer.pid or 0, signal.SIGKILL)
    writer.join(30)
    store = BlockStore(DirectoryBlocks(tmp_path / "store"))
    kept = store.put_bytes(b"kept")
    store.collect()
    assert [path.name for path in (tmp_path / "store" / "blocks").glob("*/*")] == [kept.hex()]


def test_a_full_disk_is_named_and_leaves_nothing_half_written(tmp_path: Path) -> None:
    import resource

    def fill(path: Path) -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        store = BlockStore(DirectoryBlocks(path))
        try:
            store.put_bytes(stream(5000))
        except StoreFault:
            os._exit(7)
        os._exit(0)

    process = multiprocessing.get_context("fork").Process(target=fill, args=(tmp_path / "store",))
    process.start()
    process.join(30)
    assert process.exitcode == 7
    assert not list((tmp_path / "store" / "blocks").glob("*/*"))


def test_a_store_is_named_by_a_folder_or_a_url(tmp_path: Path) -> None:
    assert open_store(f"dir:{tmp_path / 'new'}").put_bytes(b"x")
    for wrong in ("", "dir:", "ftp://host:1", "/path"):
        with pytest.raises(ConfigurationError, match=r"dir:PATH"):
            open_store(wrong)
    assert open_store("http://[::1]:5001")
    for wrong in (
        "http://host",
        "http://host:99999",
        "http://a_b:5001",
        "http://user:secret@host:5001",
        "http://host:5001/secret",
        "http://host:5001?secret",
    ):
        with pytest.raises(ConfigurationError, match="http://HOST:PORT") as refused:
            open_store(wrong)
        assert "secret" not in str(refused.value)
