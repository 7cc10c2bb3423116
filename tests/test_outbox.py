"""Sealed payloads on their way: the same bytes as often as a store needs them, and nothing half-done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from domicile.errors import DiskFault, StoreFault
from domicile.outbox import Delivered, Outbox
from domicile.storage.store import BlockStore, open_store
from domicile.storage.unixfs import CHUNK_BYTES
from domicile.types import Digest
from tests.small_disk import small_disk
from tests.storage.kubo_fake import KuboFake, hanging_up

PAYLOAD = bytes(range(251)) * 4000
"""Four blocks, none like another."""


@pytest.fixture
def store(tmp_path: Path) -> BlockStore:
    return open_store(f"dir:{tmp_path / 'region'}")


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox(tmp_path / "journal.sqlite")


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", size_kib=512) as folder:
        yield folder


def put(outbox: Outbox, data: bytes = PAYLOAD) -> Digest:
    with outbox.writer() as writer:
        for start in range(0, len(data), 70_001):
            writer.write(data[start : start + 70_001])
        return writer.commit()


def file_of(tmp_path: Path, digest: Digest) -> Path:
    return tmp_path / "journal.sqlite-outbox" / digest.hex()


def block_of(tmp_path: Path, digest: Digest) -> Path:
    return tmp_path / "region" / "blocks" / digest.hex()[:2] / digest.hex()


def leaves(tmp_path: Path, root: Digest) -> list[Path]:
    return [file for file in (tmp_path / "region" / "blocks").glob("*/*") if file.name != root.hex()]


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES, len(PAYLOAD)])
def test_a_payload_has_the_digest_that_the_store_gives_it(outbox: Outbox, store: BlockStore, size: int) -> None:
    digest = put(outbox, PAYLOAD[:size])
    assert not store.has(digest)
    assert outbox.deliver(digest, store) is Delivered.PUT
    assert store.get_bytes(digest, max_bytes=size) == PAYLOAD[:size]
    assert store.put_bytes(PAYLOAD[:size]) == digest
    assert outbox.deliver(digest, store) is Delivered.FOUND


def test_what_the_store_lost_or_spoiled_is_put_there_again(outbox: Outbox, store: BlockStore, tmp_path: Path) -> None:
    digest = put(outbox)
    outbox.deliver(digest, store)
    for number, block in enumerate([block_of(tmp_path, digest), *leaves(tmp_path, digest)]):
        if number % 2:
            block.unlink()
        else:
            block.write_bytes(block.read_bytes()[:-1] + b"\xff")
        assert outbox.deliver(digest, store) is Delivered.PUT
        assert store.get_bytes(digest, max_bytes=len(PAYLOAD)) == PAYLOAD


def test_what_lies_in_the_store_is_pinned_though_a_kill_came_before_its_pin(outbox: Outbox, store: BlockStore) -> None:
    digest = put(outbox)
    outbox.deliver(digest, store)
    store.unpin(digest)
    assert outbox.deliver(digest, store) is Delivered.FOUND
    assert store.collect() == 0


def test_a_payload_that_is_torn_here_and_not_there_is_lost_and_never_stored(
    outbox: Outbox, store: BlockStore, tmp_path: Path
) -> None:
    digest = put(outbox)
    file = file_of(tmp_path, digest)
    file.write_bytes(PAYLOAD[:-1] + b"\0")
    assert outbox.deliver(digest, store) is Delivered.LOST
    assert not list((tmp_path / "region" / "pins").iterdir())
    file.unlink()
    assert outbox.deliver(digest, store) is Delivered.LOST


def test_a_store_that_cannot_be_reached_is_a_fault_and_the_payload_waits(
    outbox: Outbox, store: BlockStore, tmp_path: Path
) -> None:
    digest = put(outbox)
    (tmp_path / "region").rename(tmp_path / "away")
    with pytest.raises(StoreFault, match="bring it back"):
        outbox.deliver(digest, store)
    (tmp_path / "away").rename(tmp_path / "region")
    assert outbox.deliver(digest, store) is Delivered.PUT


def test_what_was_not_committed_or_is_of_no_use_any_more_is_gone(outbox: Outbox, tmp_path: Path) -> None:
    kept, dropped = put(outbox), put(outbox, b"dropped")
    put(outbox, b"not journaled")
    with outbox.writer() as writer:
        writer.write(b"half")
    (tmp_path / "journal.sqlite-outbox" / "unfinished").write_bytes(b"of a killed life")
    outbox.drop(dropped)
    outbox.drop(dropped)
    Outbox(tmp_path / "journal.sqlite").keep_only([kept])
    assert [file.name for file in file_of(tmp_path, kept).parent.iterdir()] == [kept.hex()]


def test_a_full_disk_is_a_fault_that_names_the_folder_and_keeps_nothing(full_disk: Path) -> None:
    outbox = Outbox(full_disk / "journal.sqlite")
    outbox.require_room(1 << 16)
    with pytest.raises(DiskFault, match=r"journal\.sqlite-outbox has room for .* 1048576 are needed; make room"):
        outbox.require_room(1 << 20)
    with pytest.raises(DiskFault, match="No space left"):
        put(outbox)
    assert not list((full_disk / "journal.sqlite-outbox").iterdir())
    assert outbox.holds(put(outbox, b"small"))


def test_a_daemon_that_hangs_up_or_loses_a_block_gets_the_payload_again(outbox: Outbox) -> None:
    digest = put(outbox)
    with KuboFake() as kubo:
        store = open_store(kubo.url)
        kubo.instead("block/put", hanging_up)
        with pytest.raises(StoreFault):
            outbox.deliver(digest, store)
        assert digest not in kubo.pins
        assert outbox.deliver(digest, store) is Delivered.PUT
        assert outbox.deliver(digest, store) is Delivered.FOUND
        lost = next(block for block in kubo.blocks if block != digest)
        del kubo.blocks[lost]
        assert outbox.deliver(digest, store) is Delivered.PUT
        assert store.get_bytes(digest, max_bytes=len(PAYLOAD)) == PAYLOAD
    with pytest.raises(StoreFault, match="start the daemon"):
        outbox.deliver(digest, store)
    # Back again with an empty disk.
    with KuboFake() as kubo:
        assert outbox.deliver(digest, open_store(kubo.url)) is Delivered.PUT


def test_looking_whether_a_payload_lies_there_asks_no_peer(outbox: Outbox) -> None:
    digest = put(outbox)
    with KuboFake() as kubo:
        outbox.deliver(digest, open_store(kubo.url))
        outbox.deliver(digest, open_store(kubo.url))
        gets = [options for command, options in kubo.requests if command == "block/get"]
    assert gets
    assert all(options.get("offline") == "true" for options in gets)
