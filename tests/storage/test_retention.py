"""Finished rounds of a committee member, in both kinds of store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from aggregator.journal import GLOBAL, AggregatorJournal, StoredPayload
from aggregator.retention import drop_finished_rounds
from domicile.errors import BlockMissing
from domicile.storage.store import BlockStore, open_store
from domicile.storage.unixfs import CHUNK_BYTES
from domicile.types import Digest, JobId
from tests.storage.conftest import Place

JOB = JobId(1)


@dataclass
class Stores:
    """What a party has of its stores."""

    region: BlockStore | None
    border: BlockStore


def put_rounds(
    store: BlockStore, journal: AggregatorJournal, kind: str, *, shard: int, rounds: int, settled: bool = True
) -> list[Digest]:
    """One payload of two chunks a global round, put and noted."""
    digests = []
    for number in range(rounds):
        content = f"{kind} {shard} {number} ".encode() * (CHUNK_BYTES // 8)
        digest = store.put_bytes(content[: CHUNK_BYTES + 1])
        payload = StoredPayload(
            shard=shard,
            global_round=number,
            regional_round=0,
            kind=kind,
            model=digest,
            digest=digest,
            sealed_bytes=CHUNK_BYTES + 1,
            settled=settled,
        )
        journal.record_payload(JOB, payload)
        digests.append(digest)
    return digests


def is_whole(store: BlockStore, digest: Digest) -> bool:
    try:
        return len(store.get_bytes(digest, max_bytes=1 << 30)) == CHUNK_BYTES + 1
    except BlockMissing:
        return False


@pytest.mark.parametrize("kept_rounds", [1, 2, 9])
def test_the_last_rounds_of_each_shard_and_kind_stay_and_the_others_go(
    place: Place, tmp_path: Path, kept_rounds: int
) -> None:
    stores = Stores(region=place.store, border=open_store(f"dir:{tmp_path / 'border'}"))
    journal = AggregatorJournal(tmp_path / "journal.sqlite")
    kinds = [
        (place.store, put_rounds(place.store, journal, "regional", shard=0, rounds=4)),
        (place.store, put_rounds(place.store, journal, "regional", shard=1, rounds=1)),
        (stores.border, put_rounds(stores.border, journal, "export", shard=0, rounds=3)),
        (stores.border, put_rounds(stores.border, journal, "global", shard=GLOBAL, rounds=3)),
    ]
    for _ in range(2):
        drop_finished_rounds(stores, journal, JOB, kept_rounds)  # type: ignore[arg-type]
        for store, digests in kinds:
            kept = [is_whole(store, digest) for digest in digests]
            assert kept == [number >= len(digests) - kept_rounds for number in range(len(digests))]
    journal.close()


def test_what_somebody_is_still_to_read_stays_however_few_rounds_are_kept(place: Place, tmp_path: Path) -> None:
    journal = AggregatorJournal(tmp_path / "journal.sqlite")
    digests = put_rounds(place.store, journal, "global", shard=GLOBAL, rounds=3, settled=False)
    stores = Stores(region=None, border=place.store)
    drop_finished_rounds(stores, journal, JOB, 1)  # type: ignore[arg-type]
    assert all(is_whole(place.store, digest) for digest in digests)
    for payload in journal.unsettled_payloads(JOB):
        journal.record_settled(JOB, payload)
    drop_finished_rounds(stores, journal, JOB, 1)  # type: ignore[arg-type]
    assert [is_whole(place.store, digest) for digest in digests] == [False, False, True]
    journal.close()


def test_what_is_not_a_finished_round_is_never_collected(place: Place, tmp_path: Path) -> None:
    journal = AggregatorJournal(tmp_path / "journal.sqlite")
    foreign = place.store.put_bytes(bytes(CHUNK_BYTES + 1))
    put_rounds(place.store, journal, "global", shard=GLOBAL, rounds=3)
    drop_finished_rounds(Stores(region=None, border=place.store), journal, JOB, 1)  # type: ignore[arg-type]
    assert is_whole(place.store, foreign)
    journal.close()
