"""A node's next act, case by case."""

from __future__ import annotations

from dataclasses import replace

import pytest

from domicile.protocol.round import JobPhase, ShardPhase
from domicile.types import Digest
from node.step import (
    Adopt,
    AdvanceJob,
    AdvanceShard,
    Answer,
    Commit,
    Evaluate,
    Finished,
    Join,
    Observation,
    Recover,
    Store,
    StoreAnswer,
    Train,
    Unmask,
    Wait,
    decide,
)

JOINING = Observation(now_s=100, job_phase=JobPhase.JOINING, job_deadline_s=200, collect_window_s=40, declined=False)
COLLECTING = replace(
    JOINING,
    job_phase=JobPhase.TRAINING,
    job_deadline_s=1000,
    shard_phase=ShardPhase.COLLECTING,
    shard_deadline_s=140,
    global_round=2,
    regional_round=1,
)
SEALED = Digest(b"\x07" * 32)
UNMASKING = replace(COLLECTING, shard_phase=ShardPhase.AGGREGATING, agreed=True)
ANSWER = Digest(b"\x08" * 32)


def test_joins_while_the_join_window_is_open() -> None:
    assert decide(JOINING) == Join()
    assert decide(replace(JOINING, now_s=199)) == Join()


def test_does_not_join_at_the_very_second_the_window_ends() -> None:
    assert isinstance(decide(replace(JOINING, now_s=200)), Wait)


def test_does_not_join_again_what_its_operator_left_and_is_done_once_that_started() -> None:
    assert isinstance(decide(replace(JOINING, left=True)), Wait)
    assert isinstance(decide(replace(JOINING, left=True, job_phase=JobPhase.TRAINING)), Finished)


def test_stays_in_a_job_while_its_operator_only_asks_to_leave() -> None:
    assert decide(replace(COLLECTING, left=True)) == Train(2, 1)


def test_is_done_with_a_job_that_it_declined_or_that_started_without_it() -> None:
    assert decide(replace(JOINING, declined=True)) == Finished("declined")
    assert isinstance(decide(replace(JOINING, job_phase=JobPhase.TRAINING)), Finished)


def test_leaves_a_job_alone_that_it_declined_after_it_had_joined() -> None:
    seen = replace(COLLECTING, declined=True, newest_global_round=1)
    assert decide(seen) == Finished("declined")


def test_sits_a_round_out_that_it_gave_up_but_commits_what_it_had_sealed() -> None:
    assert isinstance(decide(replace(COLLECTING, given_up=True)), Wait)
    assert decide(replace(COLLECTING, given_up=True, sealed=SEALED, stored=True)) == Commit(2, 1, SEALED)


def test_trains_then_stores_what_it_sealed_then_commits_it_then_waits() -> None:
    assert decide(COLLECTING) == Train(2, 1)
    assert decide(replace(COLLECTING, sealed=SEALED)) == Store(2, 1, SEALED)
    assert decide(replace(COLLECTING, sealed=SEALED, stored=True)) == Commit(2, 1, SEALED)
    assert isinstance(decide(replace(COLLECTING, sealed=SEALED, stored=True, committed=True)), Wait)


def test_watches_over_what_it_committed_until_the_committee_is_done_with_it() -> None:
    committed = replace(COLLECTING, sealed=SEALED, committed=True)
    for phase in (ShardPhase.COLLECTING, ShardPhase.AGGREGATING):
        assert decide(replace(committed, shard_phase=phase)) == Store(2, 1, SEALED)
        assert isinstance(decide(replace(committed, shard_phase=phase, lost=True)), Wait)
        assert isinstance(decide(replace(committed, shard_phase=phase, sealed=None)), Wait)
    for phase in (ShardPhase.MATURE, ShardPhase.REPORTED, ShardPhase.STALLED):
        assert isinstance(decide(replace(committed, shard_phase=phase)), Wait)


def test_trains_nothing_in_place_of_a_sealed_update_that_is_lost() -> None:
    assert isinstance(decide(replace(COLLECTING, sealed=SEALED, lost=True)), Wait)


@pytest.mark.parametrize("phase", [JobPhase.TRAINING, JobPhase.MERGING])
def test_builds_a_lost_journal_anew_before_it_acts_as_a_member(phase: JobPhase) -> None:
    assert decide(replace(COLLECTING, job_phase=phase, forgotten=True)) == Recover(2, 1)


def test_never_trains_when_the_contract_would_refuse_the_commit() -> None:
    assert isinstance(decide(replace(COLLECTING, refused=True)), Wait)
    for stored in (False, True):
        assert isinstance(decide(replace(COLLECTING, sealed=SEALED, stored=stored, refused=True)), Wait)
    assert isinstance(decide(replace(COLLECTING, now_s=140)), Wait)


def test_a_membership_without_a_journal_is_adopted_where_no_round_has_opened() -> None:
    assert decide(replace(COLLECTING, job_phase=JobPhase.JOINING, forgotten=True)) == Adopt()


def test_a_chain_that_fell_back_behind_a_measured_model_is_gone_on_with() -> None:
    seen = replace(COLLECTING, newest_global_round=1, measured_global_rounds=frozenset({0, 1, 2}))
    assert decide(seen) == Train(2, 1)
    assert decide(replace(seen, newest_global_round=3)) == Evaluate(3)


def test_measures_a_new_global_model_before_anything_else_even_when_the_job_is_over() -> None:
    seen = replace(COLLECTING, newest_global_round=1, measured_global_rounds=frozenset({0}))
    assert decide(seen) == Evaluate(1)
    assert decide(replace(seen, job_phase=JobPhase.COMPLETE)) == Evaluate(1)
    assert decide(replace(seen, measured_global_rounds=frozenset({0, 1}))) == Train(2, 1)


@pytest.mark.parametrize("phase", [JobPhase.COMPLETE, JobPhase.CANCELLED, JobPhase.FAILED])
def test_is_done_with_a_final_job(phase: JobPhase) -> None:
    assert decide(replace(COLLECTING, job_phase=phase)) == Finished(phase.name.lower())


def test_ends_a_phase_that_everybody_else_left_hanging_but_lets_committees_go_first() -> None:
    assert not isinstance(decide(replace(COLLECTING, now_s=150)), AdvanceShard)
    assert decide(replace(COLLECTING, now_s=151)) == AdvanceShard()
    merging = replace(COLLECTING, job_phase=JobPhase.MERGING, job_deadline_s=140, shard_phase=ShardPhase.REPORTED)
    assert isinstance(decide(replace(merging, now_s=150)), Wait)
    assert decide(replace(merging, now_s=151)) == AdvanceJob()


def test_answers_to_the_agreed_survivors_then_stores_the_answer_then_enters_it_on_the_board() -> None:
    assert isinstance(decide(replace(UNMASKING, agreed=False)), Wait)
    assert decide(UNMASKING) == Answer(2, 1, late=False)
    assert decide(replace(UNMASKING, answer=ANSWER)) == StoreAnswer(2, 1, ANSWER)
    assert decide(replace(UNMASKING, answer=ANSWER, answer_stored=True)) == Unmask(2, 1, ANSWER)
    assert isinstance(decide(replace(UNMASKING, answer=ANSWER, answer_stored=True, unmasked=True)), Wait)


def test_answers_before_it_looks_after_its_own_update_and_answers_without_one() -> None:
    committed = replace(UNMASKING, sealed=SEALED, committed=True)
    assert decide(committed) == Answer(2, 1, late=False)
    unmasked = replace(committed, answer=ANSWER, answer_stored=True, unmasked=True)
    assert decide(unmasked) == Store(2, 1, SEALED)
    assert decide(replace(unmasked, answer_stored=False)) == StoreAnswer(2, 1, ANSWER)


def test_waits_for_all_payloads_until_half_of_the_window_is_over() -> None:
    assert decide(replace(UNMASKING, now_s=119)) == Answer(2, 1, late=False)
    assert decide(replace(UNMASKING, now_s=120)) == Answer(2, 1, late=True)


@pytest.mark.parametrize("answer", [None, ANSWER])
def test_answers_nothing_when_the_contract_would_refuse_it(answer: Digest | None) -> None:
    seen = replace(UNMASKING, answer=answer, answer_stored=True)
    for refusing in ({"refused": True}, {"now_s": 140}, {"silent": True}):
        assert isinstance(decide(replace(seen, **refusing)), Wait)


def test_what_the_chain_holds_of_a_lost_journal_is_not_answered_again() -> None:
    assert isinstance(decide(replace(UNMASKING, unmasked=True)), Wait)


@pytest.mark.parametrize("phase", [ShardPhase.COLLECTING, ShardPhase.MATURE, ShardPhase.REPORTED, ShardPhase.STALLED])
def test_an_answer_is_of_no_use_in_any_other_phase(phase: ShardPhase) -> None:
    acts = (Answer, StoreAnswer, Unmask)
    for seen in (UNMASKING, replace(UNMASKING, answer=ANSWER), replace(UNMASKING, answer=ANSWER, answer_stored=True)):
        assert not isinstance(decide(replace(seen, shard_phase=phase)), acts)
