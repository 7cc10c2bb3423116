"""A committee member's next act, case by case."""

from __future__ import annotations

from dataclasses import replace

import pytest

from aggregator.step import (
    Act,
    Advance,
    Confirm,
    ConfirmSurvivors,
    Duty,
    Export,
    Masked,
    Merge,
    Propose,
    ProposeSurvivors,
    ReadAnswers,
    Sum,
    Wait,
    decide_job,
    decide_shard,
)
from domicile.protocol.round import JobPhase, ShardPhase

FIRST = Duty(now_s=100, window_s=40, deadline_s=140, rank=0, size=2, refused=False)
SECOND = replace(FIRST, rank=1)
MASKED, SUMMED = Masked(), Masked(summed=True)
AGREED = replace(SUMMED, agreed=True)


@pytest.mark.parametrize("phase", [ShardPhase.COLLECTING, ShardPhase.AGGREGATING, ShardPhase.MATURE])
def test_ends_a_shard_phase_at_the_very_second_of_its_deadline(phase: ShardPhase) -> None:
    assert not isinstance(decide_shard(phase, replace(FIRST, now_s=139)), Advance)
    assert decide_shard(phase, replace(FIRST, now_s=140)) == Advance()


@pytest.mark.parametrize("phase", [ShardPhase.REPORTED, ShardPhase.STALLED, ShardPhase.IDLE])
def test_leaves_a_shard_alone_that_is_done_for_this_round(phase: ShardPhase) -> None:
    assert isinstance(decide_shard(phase, replace(FIRST, now_s=500)), Wait)


def test_merges_first_and_proposes_when_in_turn() -> None:
    assert decide_shard(ShardPhase.AGGREGATING, FIRST) == Merge()
    assert decide_shard(ShardPhase.AGGREGATING, replace(FIRST, merged=True)) == Propose()


def test_waits_for_its_slice_of_the_window_when_second_in_turn() -> None:
    merged = replace(SECOND, merged=True)
    assert isinstance(decide_shard(ShardPhase.AGGREGATING, replace(merged, now_s=104)), Wait)
    assert decide_shard(ShardPhase.AGGREGATING, replace(merged, now_s=105)) == Propose()


def test_confirms_only_what_equals_its_own_merge() -> None:
    merged = replace(SECOND, merged=True, acceptable=b"id")
    assert decide_shard(ShardPhase.AGGREGATING, merged) == Confirm(b"id")
    assert decide_shard(ShardPhase.AGGREGATING, replace(merged, merged=False)) == Merge()


def test_merges_again_when_the_gate_turned_against_a_contributor() -> None:
    seen = replace(FIRST, merged=True, stale=True, voted=True)
    assert decide_shard(ShardPhase.AGGREGATING, seen) == Merge()


def test_does_nothing_where_the_gate_refuses_the_member_itself() -> None:
    refused = replace(FIRST, refused=True)
    assert isinstance(decide_shard(ShardPhase.AGGREGATING, refused), Wait)
    assert isinstance(decide_shard(ShardPhase.MATURE, refused), Wait)
    assert isinstance(decide_job(JobPhase.MERGING, refused), Wait)


def test_exports_in_turn() -> None:
    assert decide_shard(ShardPhase.MATURE, FIRST) == Export()
    assert isinstance(decide_shard(ShardPhase.MATURE, replace(SECOND, now_s=109)), Wait)
    assert decide_shard(ShardPhase.MATURE, replace(SECOND, now_s=110)) == Export()


def test_says_why_a_merge_is_impossible_instead_of_trying_for_ever() -> None:
    seen = replace(FIRST, merged=True, impossible="2 usable updates, 3 are needed")
    assert decide_shard(ShardPhase.AGGREGATING, seen) == Wait("2 usable updates, 3 are needed")


def test_any_member_ends_a_job_phase_but_only_the_global_committee_merges() -> None:
    assert decide_job(JobPhase.MERGING, replace(FIRST, size=0, now_s=140)) == Advance()
    assert isinstance(decide_job(JobPhase.MERGING, replace(FIRST, size=0)), Wait)
    assert decide_job(JobPhase.MERGING, FIRST) == Merge()
    assert isinstance(decide_job(JobPhase.COMPLETE, replace(FIRST, now_s=500)), Wait)


def test_proposes_an_exclusion_for_what_is_missing_only_after_a_second_look() -> None:
    missing = replace(FIRST, merged=True, look_again_s=110.0)
    assert isinstance(decide_shard(ShardPhase.AGGREGATING, replace(missing, now_s=109)), Wait)
    assert decide_shard(ShardPhase.AGGREGATING, replace(missing, now_s=110)) == Merge()
    looked = replace(missing, now_s=110, look_again_s=120.0, looked_again=True)
    assert decide_shard(ShardPhase.AGGREGATING, looked) == Propose()
    assert decide_shard(ShardPhase.AGGREGATING, replace(looked, now_s=121)) == Propose()
    assert decide_job(JobPhase.MERGING, replace(missing, now_s=110)) == Merge()


def test_turns_to_propose_an_exclusion_begin_when_all_can_have_looked_twice() -> None:
    looked = replace(SECOND, merged=True, look_again_s=120.0, looked_again=True)
    assert isinstance(decide_shard(ShardPhase.AGGREGATING, replace(looked, now_s=114)), Wait)
    assert decide_shard(ShardPhase.AGGREGATING, replace(looked, now_s=115)) == Propose()


def test_looks_again_where_too_much_is_missing_to_merge_through_every_retry_window() -> None:
    missing = replace(FIRST, merged=True, look_again_s=110.0, impossible="1 usable updates, 2 are needed")
    assert isinstance(decide_shard(ShardPhase.AGGREGATING, replace(missing, now_s=109)), Wait)
    for now_s, looked_again in ((110, False), (139, True), (170, True)):
        seen = replace(missing, now_s=now_s, deadline_s=180, looked_again=looked_again)
        assert decide_shard(ShardPhase.AGGREGATING, seen) == Merge()
        assert decide_job(JobPhase.MERGING, seen) == Merge()


def test_confirms_and_waits_for_votes_without_another_look() -> None:
    overdue = replace(FIRST, merged=True, now_s=130, look_again_s=110.0)
    assert decide_shard(ShardPhase.AGGREGATING, replace(overdue, acceptable=b"id")) == Confirm(b"id")
    assert isinstance(decide_shard(ShardPhase.AGGREGATING, replace(overdue, voted=True)), Wait)


def masked(duty: Duty, state: Masked, **changes: object) -> Act:
    return decide_shard(ShardPhase.AGGREGATING, replace(duty, masked=state, **changes))


def test_adds_masked_updates_first_and_proposes_whose_are_in_the_sum_when_in_turn() -> None:
    assert masked(FIRST, MASKED) == Sum()
    assert masked(FIRST, SUMMED) == ProposeSurvivors()
    assert isinstance(masked(SECOND, SUMMED, now_s=104), Wait)
    assert masked(SECOND, SUMMED, now_s=105) == ProposeSurvivors()


def test_confirms_only_survivors_that_equal_those_of_its_own_sum() -> None:
    assert masked(SECOND, SUMMED, acceptable=b"id") == ConfirmSurvivors(b"id")
    assert isinstance(masked(SECOND, SUMMED, voted=True), Wait)
    assert masked(SECOND, MASKED, acceptable=b"id") == Sum()


def test_adds_again_when_the_gate_turned_against_a_node_before_the_survivors_are_fixed_and_not_after() -> None:
    assert masked(FIRST, SUMMED, stale=True) == Sum()
    assert isinstance(masked(FIRST, AGREED, stale=True), Wait)


def test_looks_again_for_a_masked_update_before_it_proposes_survivors_without_it() -> None:
    assert isinstance(masked(FIRST, SUMMED, now_s=109, look_again_s=110.0), Wait)
    assert masked(FIRST, SUMMED, now_s=110, look_again_s=110.0) == Sum()
    assert masked(FIRST, SUMMED, now_s=110, look_again_s=120.0, looked_again=True) == ProposeSurvivors()


def test_too_few_survivors_are_never_proposed() -> None:
    reason = "2 masked updates are usable, 3 are needed"
    assert masked(FIRST, SUMMED, impossible=reason) == Wait(reason)


def test_adds_once_more_where_others_than_its_own_survivors_were_fixed() -> None:
    assert masked(FIRST, replace(AGREED, summed=False)) == Sum()


def test_reads_answers_as_they_come_and_says_what_it_waits_for() -> None:
    waiting = replace(AGREED, waits_for="1 of 3 answers")
    assert masked(FIRST, waiting) == Wait("1 of 3 answers")
    assert masked(FIRST, replace(waiting, unread=True)) == ReadAnswers()


def test_turns_to_propose_a_model_begin_when_its_sum_was_unmasked() -> None:
    unmasked = replace(AGREED, unmasked_s=120.0)
    assert masked(FIRST, unmasked, merged=True, now_s=120) == Propose()
    assert isinstance(masked(SECOND, unmasked, merged=True, now_s=124), Wait)
    assert masked(SECOND, unmasked, merged=True, now_s=125) == Propose()
    assert masked(SECOND, unmasked, merged=True, now_s=121, acceptable=b"id") == Confirm(b"id")


@pytest.mark.parametrize("state", [MASKED, SUMMED, AGREED, replace(AGREED, unread=True)])
def test_a_masked_round_ends_at_its_deadline_and_waits_for_a_member_that_the_gate_refuses(state: Masked) -> None:
    assert masked(FIRST, state, now_s=140) == Advance()
    assert isinstance(masked(FIRST, state, refused=True), Wait)
