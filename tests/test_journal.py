"""A journal on a disk that is full, damaged or of another time; and one that another life has written."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from aggregator.journal import AggregatorJournal, StoredPayload
from domicile.errors import ConfigurationError, DiskFault
from domicile.journal import Journal
from domicile.types import Digest, JobId
from node.journal import AnotherSet, NodeJournal, SealedAnswer, SealedUpdate
from tests.small_disk import filled, small_disk

JOB = JobId(1)
KINDS = [NodeJournal, AggregatorJournal]


def update(number: int) -> SealedUpdate:
    return SealedUpdate(
        global_round=number, regional_round=0, digest=Digest(bytes([number % 256]) * 32), num_steps=1, sealed_bytes=1
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_is_a_fault_nothing_is_half_done_and_it_goes_on_when_there_is_room(
    kind: type[Journal], tmp_path: Path
) -> None:
    with small_disk(tmp_path / "disk", size_kib=512) as folder:
        journal = kind(folder / "journal.sqlite")
        journal.record_declined(JOB, "kept")
        with filled(folder):
            with pytest.raises(DiskFault, match=r"journal: .*disk/journal\.sqlite cannot be written .* make room"):
                journal.record_declined(JobId(2), "x" * (1 << 20))
            assert journal.declined(JobId(2)) is None
            assert journal.declined(JOB) == "kept"
        journal.record_declined(JobId(2), "again")
        assert journal.declined(JobId(2)) == "again"
        journal.close()


def test_a_journal_that_cannot_be_made_since_the_disk_is_full_is_a_fault(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", size_kib=64) as folder, filled(folder), pytest.raises(DiskFault):
        NodeJournal(folder / "journal.sqlite")


@pytest.mark.parametrize("kind", KINDS)
def test_garbage_and_other_versions_are_refused_with_the_mend(kind: type[Journal], tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"garbage" * 1000)
    with pytest.raises(ConfigurationError, match=r"journal\.sqlite cannot be used \(file is not a database\); move it"):
        kind(path)
    path.unlink()
    with sqlite3.connect(path) as older:
        older.execute("PRAGMA user_version = 1")
    older.close()
    with pytest.raises(ConfigurationError, match=r"has version 1, this software writes [36]; .* move it away"):
        kind(path)


def test_a_journal_that_is_damaged_in_the_middle_is_refused_when_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = NodeJournal(path)
    for number in range(500):
        journal.record_update(JobId(number), update(number))
    journal.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:4096] + b"\xa5" * (len(whole) - 4096))
    journal = NodeJournal(path)
    with pytest.raises(ConfigurationError, match=r"malformed.*move it away"):
        journal.sealed_digests()
    journal.close()


def test_a_folder_in_the_place_of_a_journal_is_refused(tmp_path: Path) -> None:
    (tmp_path / "journal.sqlite").mkdir()
    with pytest.raises(ConfigurationError, match="is no file; name another one"):
        NodeJournal(tmp_path / "journal.sqlite")


def test_a_second_update_of_a_round_is_an_error_of_ours(tmp_path: Path) -> None:
    journal = NodeJournal(tmp_path / "journal.sqlite")
    journal.record_update(JOB, update(3))
    with pytest.raises(sqlite3.IntegrityError):
        journal.record_update(JOB, update(3))
    journal.close()


def test_what_was_left_by_hand_is_remembered_until_it_is_taken_up_again(tmp_path: Path) -> None:
    journal = NodeJournal(tmp_path / "journal.sqlite")
    assert (journal.record_left(JOB), journal.record_left(JOB)) == (True, False)
    journal.close()
    journal = NodeJournal(tmp_path / "journal.sqlite")
    assert journal.has_left(JOB)
    assert not journal.has_left(JobId(JOB + 1))
    assert (journal.forget_left(JOB), journal.forget_left(JOB)) == (True, False)
    assert not journal.has_left(JOB)
    journal.close()


def test_a_member_knows_whether_its_journal_is_that_of_its_whole_membership(tmp_path: Path) -> None:
    journal = NodeJournal(tmp_path / "journal.sqlite")
    assert not journal.knows_membership(JOB)
    journal.record_membership(JOB)
    assert journal.knows_membership(JOB)
    assert journal.recovered_in(JOB) is None
    journal.record_recovered(JobId(2), 4, 9)
    journal.record_membership(JobId(2))
    assert journal.recovered_in(JobId(2)) == (4, 9)
    journal.close()


def test_a_sealed_model_is_found_again_by_what_it_holds_until_it_is_let_go(tmp_path: Path) -> None:
    journal = AggregatorJournal(tmp_path / "journal.sqlite")
    first, second = (
        StoredPayload(
            shard=0,
            global_round=1,
            regional_round=2,
            kind="regional",
            model=Digest(model * 32),
            digest=Digest(model.upper() * 32),
            sealed_bytes=1,
        )
        for model in (b"a", b"b")
    )
    journal.record_payload(JOB, first)
    journal.record_payload(JOB, second)
    assert journal.payload(JOB, 0, 1, 2, "regional", first.model) == first
    assert journal.payload(JOB, 0, 1, 2, "regional", second.model) == second
    assert journal.payload(JOB, 0, 1, 2, "export", first.model) is None
    journal.record_settled(JOB, first)
    journal.record_unpinned(JOB, first)
    assert journal.payload(JOB, 0, 1, 2, "regional", first.model) is None
    assert journal.unsettled_payloads(JOB) == [second]
    assert journal.unsettled_digests() == {second.digest}
    journal.close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_journal_belongs_to_one_deployment(kind: type[Journal], tmp_path: Path) -> None:
    journal = kind(tmp_path / "journal.sqlite")
    journal.check_deployment("the second")
    journal.bind("the first")
    journal.close()
    journal = kind(tmp_path / "journal.sqlite")
    journal.bind("the first")
    for refuses in (journal.bind, journal.check_deployment):
        with pytest.raises(ConfigurationError, match=r"belongs to another deployment, the first, .*; move it away"):
            refuses("the second")
    journal.bind("the first")
    journal.close()


def test_a_node_that_answered_to_a_set_of_survivors_answers_to_no_other_and_not_twice(tmp_path: Path) -> None:
    given = SealedAnswer(global_round=1, regional_round=0, survivors=b"abc", digest=Digest(b"\x01" * 32))
    journal = NodeJournal(tmp_path / "journal.sqlite")
    journal.record_answer(JOB, given)
    journal.record_answer(JOB, given)
    journal.close()
    journal = NodeJournal(tmp_path / "journal.sqlite")
    for other in ({"survivors": b"ab"}, {"digest": Digest(b"\x02" * 32)}):
        with pytest.raises(AnotherSet, match=r"round 1\.0 of job 1: this node answered .* never answers twice"):
            journal.record_answer(JOB, replace(given, **other))
    assert journal.answers(JOB) == [given]
    assert journal.answer(JOB, 1, 0) == given
    assert journal.answer(JobId(2), 1, 0) is None
    assert journal.sealed_digests() == {given.digest}
    journal.close()
