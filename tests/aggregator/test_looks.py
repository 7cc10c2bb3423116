"""A member looks again for what its merge missed in the store, and says each exclusion once."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from aggregator.journal import AggregatorJournal
from aggregator.journal import LeftOut as JournaledExclusion
from aggregator.merging import LeftOut, Looks
from aggregator.remarks import Remarks
from domicile.clock import JobClock
from domicile.protocol.round import ExclusionReason
from tests.aggregator.regional_ground import JOB, KEY, RegionalGround

CLOCK = JobClock(40)


def left_out(subject: str, reason: ExclusionReason = ExclusionReason.UNAVAILABLE) -> LeftOut:
    return LeftOut(subject=subject, reason=reason, detail="")


def test_an_update_that_comes_back_is_in_the_merge_of_the_second_look(tmp_path: Path) -> None:
    ground, looks = RegionalGround(tmp_path, 10), Looks()
    for number in range(3):
        ground.commit(number, torch.ones(10))
    block = ground.block_of(1)
    away = block.rename(tmp_path / "away")
    first = ground.derive()
    (missed,) = looks.note(KEY, first.excluded, 100, CLOCK)
    assert (first.contributors, missed.reason) == (2, ExclusionReason.UNAVAILABLE)
    assert (looks.again_s, looks.looked_again) == (110, False)
    away.rename(block)
    second = ground.derive()
    assert looks.note(KEY, second.excluded, 110, CLOCK) == []
    assert (second.contributors, looks.again_s) == (3, None)


def test_why_a_round_made_no_model_is_kept_until_a_later_look_makes_one(tmp_path: Path, caplog) -> None:
    journal = AggregatorJournal(tmp_path / "journal.sqlite")
    remarks, why = Remarks(journal, JOB), "median against 1 hostile needs 3 contributions, 2 are usable"
    with caplog.at_level(logging.WARNING):
        remarks.not_merged(KEY, why)
        remarks.not_merged(KEY, why)
    (kept,) = journal.unmerged(JOB)
    assert ((kept.shard, kept.global_round, kept.regional_round), kept.reason) == (KEY, why)
    assert [record.getMessage() for record in caplog.records] == ["not_merged"]
    remarks.not_merged(KEY, None)
    assert journal.unmerged(JOB) == []
    journal.close()


def test_what_is_still_missing_was_looked_for_twice_and_is_said_once() -> None:
    looks = Looks()
    assert len(looks.note(1, [left_out("a")], 100, CLOCK)) == 1
    assert looks.note(1, [left_out("a")], 110, CLOCK) == []
    assert (looks.again_s, looks.looked_again) == (120, True)
    assert looks.note(1, [left_out("a"), left_out("b")], 120, CLOCK) == [left_out("b")]
    assert not looks.looked_again
    assert len(looks.note(2, [left_out("a")], 130, CLOCK)) == 1
    assert not looks.looked_again


def test_what_no_look_would_mend_is_not_looked_for() -> None:
    looks = Looks()
    looks.note(1, [left_out("a", ExclusionReason.MALFORMED)], 100, CLOCK)
    assert looks.again_s is None


def test_the_journal_tells_only_what_the_newest_merge_of_a_round_leaves_out(tmp_path: Path) -> None:
    journal = AggregatorJournal(tmp_path / "journal.sqlite")
    for regional_round in (1, 2):
        journal.record_left_out(
            JOB,
            JournaledExclusion(
                shard=0, global_round=0, regional_round=regional_round, subject="a", reason="UNAVAILABLE", detail=""
            ),
        )
    journal.forget_left_out(JOB, *KEY)
    assert [one.regional_round for one in journal.left_out(JOB)] == [2]
    journal.close()
