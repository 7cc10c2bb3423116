"""Kubo: what is asked of a daemon, what a faulty or hostile one can do, and what the fake one answers."""

from __future__ import annotations

import gzip
import time
import tracemalloc
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests

from domicile.clock import JobClock
from domicile.errors import BlockCorrupt, BlockMissing, StoreFault
from domicile.storage.kubo import ANSWER_BYTES_MAX
from domicile.storage.store import open_blocks, open_store
from domicile.storage.unixfs import BLOCK_BYTES_MAX, CHUNK_BYTES, block_digest
from domicile.types import Digest
from tests.storage.kubo_fake import Answer, KuboFake, KuboHandler, failing, flooding, giving, hanging_up

FEW = bytes(range(256)) * 16
MANY = bytes(9) + FEW * 300
IN_FLIGHT_BYTES = 12 << 20
"""What the buffers of two loopback sockets may take beyond what was read."""

EMPTY_RAW = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
"""The well-known CID of a raw block without bytes."""

EMPTY_FILE_BLOCK = b"\x0a\x04\x08\x02\x18\x00"
EMPTY_FILE = "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH"
ABSENT = "Qmaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"


def call(rpc: str, command: str, *, file: bytes | None = None, **options: str) -> requests.Response:
    files = None if file is None else {"file": file}
    params = {name.replace("_", "-"): value for name, value in options.items()}
    return requests.post(f"{rpc}/api/v0/{command}", params=params, files=files, timeout=30)


class TestEveryDaemon:
    """The protocol that the door builds on, for the fake daemon and for a real one."""

    def test_only_posts_to_known_commands_are_answered(self, rpc: str) -> None:
        assert requests.get(f"{rpc}/api/v0/version", timeout=30).status_code == 405
        assert call(rpc, "no/such/command").status_code == 404
        assert call(rpc, "version").json()["Version"]
        assert call(rpc, "id").json()["ID"]

    def test_a_block_is_named_by_codec_and_found_under_either_version(self, rpc: str) -> None:
        assert call(rpc, "block/put", file=b"").json() == {"Key": EMPTY_RAW, "Size": 0}
        put = call(rpc, "block/put", file=EMPTY_FILE_BLOCK, cid_codec="dag-pb", mhtype="sha2-256", mhlen="32")
        assert put.json()["Key"].startswith("bafybei")
        for cid in (EMPTY_FILE, put.json()["Key"]):
            assert call(rpc, "block/get", arg=cid).content == EMPTY_FILE_BLOCK
            assert call(rpc, "block/stat", arg=cid, offline="true").json() == {"Key": cid, "Size": 6}

    @pytest.mark.parametrize(
        ("command", "options", "message"),
        [
            ("block/get", {"offline": "true"}, f"block was not found locally (offline): ipld: could not find {ABSENT}"),
            (
                "block/stat",
                {"offline": "true"},
                f"block was not found locally (offline): ipld: could not find {ABSENT}",
            ),
            (
                "pin/add",
                {"offline": "true"},
                f"pin: block was not found locally (offline): ipld: could not find {ABSENT}",
            ),
            ("pin/rm", {}, "not pinned or pinned indirectly"),
        ],
    )
    def test_what_is_not_there_is_an_error_in_json(
        self, rpc: str, command: str, options: dict[str, str], message: str
    ) -> None:
        answer = call(rpc, command, arg=ABSENT, **options)
        assert (answer.status_code, answer.json()) == (500, {"Message": message, "Code": 0, "Type": "error"})

    def test_a_block_above_one_mebibyte_is_refused(self, rpc: str) -> None:
        answer = call(rpc, "block/put", file=bytes((1 << 20) + 1), cid_codec="dag-pb")
        assert answer.status_code == 500
        assert answer.json()["Message"].startswith("produced block is over 1MiB")


def test_blocks_are_put_unpinned_and_the_root_is_pinned_without_asking_peers(fake: KuboFake) -> None:
    store = open_store(fake.url)
    digest = store.put_bytes(MANY)
    assert store.get_bytes(digest, max_bytes=len(MANY)) == MANY
    assert store.has(digest)
    asked = dict(fake.requests)
    assert {name: asked["block/put"][name] for name in ("cid-codec", "mhtype", "mhlen", "pin")} == {
        "cid-codec": "dag-pb",
        "mhtype": "sha2-256",
        "mhlen": "32",
        "pin": "false",
    }
    assert asked["pin/add"]["offline"] == asked["block/stat"]["offline"] == "true"
    assert asked["block/get"]["timeout"] == "30s"
    assert fake.pins == {digest}


def test_a_daemon_looks_among_its_peers_for_as_long_as_the_job_clock_says(fake: KuboFake) -> None:
    store = open_store(fake.url)
    digest = store.put_bytes(FEW)
    store.follow(JobClock(12))
    store.get_bytes(digest, max_bytes=len(FEW))
    store.follow(JobClock(7))
    store.get_bytes(digest, max_bytes=len(FEW))
    searches = [options["timeout"] for command, options in fake.requests if command == "block/get"]
    assert searches == ["3s", "1.75s"]


def test_a_daemon_that_never_answers_is_waited_for_no_longer_than_the_job_clock_says(fake: KuboFake) -> None:
    blocks, clock, digest = open_blocks(fake.url), JobClock(1), block_digest(FEW)
    blocks.follow(clock)
    acts: dict[str, Callable[[], object]] = {
        "id": blocks.identity,
        "block/put": lambda: blocks.put(digest, [FEW]),
        "block/get": lambda: blocks.get(digest),
        "block/stat": lambda: blocks.has(digest),
        "pin/add": lambda: blocks.pin(digest),
        "pin/rm": lambda: blocks.unpin(digest),
        "repo/gc": blocks.collect,
    }

    def seconds_until_fault(act: Callable[[], object]) -> float:
        before = time.monotonic()
        with pytest.raises(StoreFault, match="cannot be reached"):
            act()
        return time.monotonic() - before

    with fake.silent(), ThreadPoolExecutor(len(acts)) as pool:
        waits = dict(zip(acts, pool.map(seconds_until_fault, acts.values()), strict=True))
    assert {command for command, _ in fake.requests} == set(acts)
    assert min(waits.values()) >= clock.store_timeout_s
    assert max(waits.values()) < 4 * clock.store_timeout_s, waits


def test_one_connection_serves_all_blocks(fake: KuboFake) -> None:
    store = open_store(fake.url)
    digest = store.put_bytes(MANY)
    store.get_bytes(digest, max_bytes=len(MANY))
    store.unpin(digest)
    store.collect()
    assert len(fake.requests) >= 2 * len(MANY) // CHUNK_BYTES + 3
    assert fake.connections == 1


@pytest.mark.parametrize(
    "answer",
    [
        failing("write /data/ipfs/blocks/XY/put-1: no space left on device"),
        failing("internal error"),
        hanging_up,
        lambda handler: handler.plain(403, "403 - Forbidden"),
        lambda handler: handler.plain(500, "no JSON"),
        lambda handler: handler.plain(200, ""),
        lambda handler: handler.plain(200, "{"),
        lambda handler: handler.plain(200, "[]"),
        lambda handler: handler.plain(200, "5"),
        lambda handler: handler.plain(200, "[" * 100_000),
        lambda handler: handler.plain(200, '{"Nothing": 1}'),
        lambda handler: handler.plain(200, '{"Pins": []}'),
        lambda handler: handler.plain(200, "{}\n{}"),
    ],
)
@pytest.mark.parametrize("command", ["block/put", "pin/add"])
def test_one_failed_call_is_a_fault_and_the_next_try_succeeds(fake: KuboFake, command: str, answer: Answer) -> None:
    store = open_store(fake.url)
    fake.instead(command, answer)
    with pytest.raises(StoreFault) as fault:
        store.put_bytes(FEW)
    assert not isinstance(fault.value, BlockMissing | BlockCorrupt)
    assert fake.pins == set()
    digest = store.put_bytes(FEW)
    assert store.get_bytes(digest, max_bytes=len(FEW)) == FEW


def test_a_full_disk_is_told_in_the_daemons_words(fake: KuboFake) -> None:
    fake.full = True
    store = open_store(fake.url)
    with pytest.raises(StoreFault, match=r"no space left on device; look at the daemon's log"):
        store.put_bytes(FEW)
    fake.full = False
    assert store.get_bytes(store.put_bytes(FEW), max_bytes=len(FEW)) == FEW


def test_a_daemon_that_was_down_is_reached_again_by_the_same_store(fake: KuboFake) -> None:
    store = open_store(fake.url)
    digest = store.put_bytes(FEW)
    fake.stop()
    for _ in range(2):
        with pytest.raises(StoreFault, match=r"cannot be reached .*; start the daemon"):
            store.get_bytes(digest, max_bytes=len(FEW))
    fake.start()
    assert store.get_bytes(digest, max_bytes=len(FEW)) == FEW


def test_an_answer_that_breaks_off_is_a_fault(fake: KuboFake) -> None:
    store = open_store(fake.url)
    digest = store.put_bytes(FEW)
    fake.instead("block/get", hanging_up)
    with pytest.raises(StoreFault, match="cannot be reached"):
        store.get_bytes(digest, max_bytes=len(FEW))
    assert store.get_bytes(digest, max_bytes=len(FEW)) == FEW


def test_a_daemon_that_took_the_bytes_for_another_block_is_not_trusted(fake: KuboFake) -> None:
    fake.instead("block/put", lambda handler: handler.plain(200, f'{{"Key": "{EMPTY_RAW}", "Size": 0}}'))
    with pytest.raises(BlockCorrupt, match="do not use this store"):
        open_store(fake.url).put_bytes(FEW)


def test_a_payload_that_was_collected_while_it_was_written_is_not_committed(fake: KuboFake) -> None:
    store = open_store(fake.url)
    with store.writer() as writer:
        writer.write(MANY)
        assert open_store(fake.url).collect() > 0
        with pytest.raises(StoreFault, match="put the payload again") as fault:
            writer.commit()
    assert not isinstance(fault.value, BlockMissing)
    assert fake.pins == set()


def test_a_block_that_no_peer_has_in_time_is_missing(fake: KuboFake) -> None:
    with pytest.raises(BlockMissing, match="deadline exceeded"):
        open_store(fake.url).get_bytes(Digest(bytes(32)), max_bytes=1)


@pytest.mark.parametrize("how", ["chunks", "one chunk", "length"])
def test_gigabytes_instead_of_a_block_are_cut_off(fake: KuboFake, how: str) -> None:
    store = open_store(fake.url)
    digest = store.put_bytes(FEW)
    fake.instead("block/get", flooding(8 << 30, how=how))
    tracemalloc.start()
    with pytest.raises(BlockCorrupt, match="other bytes"):
        store.get_bytes(digest, max_bytes=1 << 40)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * BLOCK_BYTES_MAX
    assert fake.bytes_flooded < BLOCK_BYTES_MAX + IN_FLIGHT_BYTES
    assert store.get_bytes(digest, max_bytes=len(FEW)) == FEW


def test_a_block_that_unpacks_to_gigabytes_is_cut_off(fake: KuboFake) -> None:
    store = open_store(fake.url)
    digest = store.put_bytes(FEW)
    packed = gzip.compress(bytes(64 << 20), 1)

    def bomb(handler: KuboHandler) -> None:
        handler.send(200, ("Content-Encoding", "gzip"), ("Content-Length", str(len(packed))))
        handler.wfile.write(packed)

    fake.instead("block/get", bomb)
    tracemalloc.start()
    with pytest.raises(BlockCorrupt, match="other bytes"):
        store.get_bytes(digest, max_bytes=1 << 40)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * BLOCK_BYTES_MAX


@pytest.mark.parametrize(("status", "command"), [(200, "block/put"), (200, "pin/add"), (500, "block/put")])
def test_gigabytes_instead_of_a_short_answer_are_cut_off(fake: KuboFake, status: int, command: str) -> None:
    fake.instead(command, flooding(8 << 30, status=status))
    with pytest.raises(BlockCorrupt, match="do not use this store"):
        open_store(fake.url).put_bytes(FEW)
    assert fake.bytes_flooded < ANSWER_BYTES_MAX + IN_FLIGHT_BYTES


def test_an_answer_of_nothing_is_no_block(fake: KuboFake) -> None:
    store = open_store(fake.url)
    digest = store.put_bytes(FEW)
    fake.instead("block/get", giving(b""))
    with pytest.raises(BlockCorrupt, match="other bytes"):
        store.get_bytes(digest, max_bytes=len(FEW))
