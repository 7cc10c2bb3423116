from __future__ import annotations

import pytest

from domicile.participation import Absence, GlobalParticipation, Outcome, RegionalParticipation
from domicile.roll_call import call_roll
from domicile.types import Address, ShardIndex
from tests.written_job import WrittenJob, address_of, names_of


def admit(node: Address, shard: ShardIndex, block: int) -> str:
    return ""


def roll(job: WrittenJob, gate=admit) -> tuple[GlobalParticipation, ...]:
    found = call_roll(job.history(), gate)
    for whole in found:
        for shard in whole.shards:
            for one in shard.rounds:
                parts = [*one.contributed, *(lost.node for lost in one.left_out), *one.awaited]
                assert sorted(parts) == sorted(one.expected)
    return found


def absences(one: RegionalParticipation) -> dict[str, tuple[Absence, str]]:
    return {names_of([lost.node])[0]: (lost.cause, lost.reason) for lost in one.left_out}


@pytest.fixture
def job() -> WrittenJob:
    """Four members in ``EU``, which have started; nobody in ``US``."""
    job = WrittenJob(global_rounds=2, max_regional_rounds=1)
    job.join("a", "b", "c", "d")
    job.start()
    return job


class TestRegionalRound:
    def test_before_a_round_is_opened_nobody_is_expected(self) -> None:
        job = WrittenJob()
        job.join("a", "b", "c")
        assert roll(job) == ()

    def test_while_it_collects_those_who_are_still_to_commit_are_awaited(self, job: WrittenJob) -> None:
        job.commit("b")
        (one,) = roll(job)[0].shards[0].rounds
        assert (one.outcome, names_of(one.expected)) == (Outcome.OPEN, ["a", "b", "c", "d"])
        assert names_of(one.awaited) == ["a", "b", "c", "d"]
        assert one.contributed == one.left_out == ()

    def test_everybody_takes_part_and_it_is_full(self, job: WrittenJob) -> None:
        job.full_round("a", "b", "c", "d")
        (one,) = roll(job)[0].shards[0].rounds
        assert one.is_full
        assert names_of(one.contributed) == ["a", "b", "c", "d"]

    def test_silence_until_the_deadline_is_told_as_not_committed(self, job: WrittenJob) -> None:
        job.commit("a", "b", "c")
        job.advance_shard()
        (one,) = roll(job)[0].shards[0].rounds
        assert absences(one) == {"d": (Absence.DID_NOT_COMMIT, "")}
        assert names_of(one.awaited) == ["a", "b", "c"]

    def test_whom_the_gate_refused_when_the_window_closed_is_told_with_its_reason(self, job: WrittenJob) -> None:
        job.commit("a", "b", "c")
        job.advance_shard()
        closed = job.block
        job.vote("agg-1", "agg-2")

        def gate(node: Address, shard: ShardIndex, block: int) -> str:
            return "suspended" if (node, shard, block) == (address_of("d"), 0, closed) else ""

        (one,) = roll(job, gate)[0].shards[0].rounds
        assert absences(one) == {"d": (Absence.REFUSED, "suspended")}
        assert not one.is_full

    def test_a_new_window_for_the_same_round_expects_nobody_twice(self, job: WrittenJob) -> None:
        job.commit("a")
        job.advance_shard()
        job.commit("b", "c", "d")
        job.vote("agg-1", "agg-2")
        (one,) = roll(job)[0].shards[0].rounds
        assert one.is_full

    def test_the_committee_s_exclusion_is_told_with_its_reason(self, job: WrittenJob) -> None:
        job.commit("a", "b", "c", "d")
        job.vote("agg-1", "agg-2", without="b")
        (one,) = roll(job)[0].shards[0].rounds
        assert absences(one) == {"b": (Absence.EXCLUDED, "not_finite")}
        assert names_of(one.contributed) == ["a", "c", "d"]

    def test_who_leaves_before_its_commit_left_and_is_not_expected_again(self, job: WrittenJob) -> None:
        job.commit("a", "b")
        job.leave("d")
        job.commit("c")
        job.vote("agg-1", "agg-2")
        job.export("agg-2")
        job.vote_globally("global-1")
        first, second = roll(job)
        assert absences(first.shards[0].rounds[0]) == {"d": (Absence.LEFT, "")}
        assert names_of(second.shards[0].rounds[0].expected) == ["a", "b", "c"]

    def test_who_leaves_after_its_commit_is_in_the_merge(self, job: WrittenJob) -> None:
        job.commit("a", "b", "c", "d")
        job.leave("d")
        job.vote("agg-1", "agg-2")
        (one,) = roll(job)[0].shards[0].rounds
        assert names_of(one.contributed) == ["a", "b", "c", "d"]

    def test_who_left_before_the_first_round_is_in_none(self) -> None:
        job = WrittenJob()
        job.join("a", "b", "c", "d")
        job.leave("a")
        job.start()
        assert names_of(roll(job)[0].shards[0].rounds[0].expected) == ["b", "c", "d"]


class TestShard:
    def test_with_too_few_members_it_opens_no_round_and_names_them(self) -> None:
        job = WrittenJob()
        job.join("a", "b", "c")
        job.join("x", shard=1)
        job.start()
        shard = roll(job)[0].shards[1]
        assert (shard.outcome, shard.reason, shard.rounds) == (Outcome.STALLED, "too_few_members", ())
        assert names_of(shard.members) == ["x"]

    def test_a_stall_leaves_out_those_who_committed_and_those_who_did_not(self) -> None:
        job = WrittenJob(max_retries=0)
        job.join("a", "b", "c")
        job.join("x", "y", "z", shard=1)
        job.start()
        job.commit("a")
        job.advance_shard()
        shard = roll(job)[0].shards[0]
        assert (shard.outcome, shard.reason) == (Outcome.STALLED, "too_few_updates")
        assert absences(shard.rounds[0]) == {
            "a": (Absence.NOT_MERGED, "too_few_updates"),
            "b": (Absence.DID_NOT_COMMIT, ""),
            "c": (Absence.DID_NOT_COMMIT, ""),
        }

    def test_a_second_attempt_drops_what_the_first_had_made(self) -> None:
        job = WrittenJob(max_retries=1, min_shards=2, max_regional_rounds=2)
        job.join("a", "b", "c")
        job.join("x", "y", "z", shard=1)
        job.start()
        for _ in range(2):
            job.commit("x", "y", "z")
            job.vote("agg-3", shard=1)
        job.export("agg-3", shard=1)
        job.commit("a", "b", "c")
        job.vote("agg-1", "agg-2")
        job.advance_shard()
        job.advance_shard()
        first, stalled, again = roll(job)[0].shards[0].rounds
        assert (first.outcome, first.stall, first.is_full) == (Outcome.MERGED, "too_few_updates", False)
        assert (stalled.outcome, stalled.stall) == (Outcome.STALLED, "too_few_updates")
        assert (again.regional_round, again.outcome, again.stall) == (2, Outcome.OPEN, "")
        assert roll(job)[0].shards[0].outcome is Outcome.OPEN

    def test_an_export_that_the_global_committee_left_out_is_told(self) -> None:
        job = WrittenJob()
        job.join("a", "b", "c")
        job.join("x", "y", "z", shard=1)
        job.start()
        job.full_round("a", "b", "c")
        job.commit("x", "y", "z")
        job.vote("agg-3", shard=1)
        job.export("agg-3", shard=1)
        job.vote_globally("global-2", without=1)
        (whole,) = roll(job)
        assert whole.outcome is Outcome.MERGED
        assert [(one.outcome, one.reason) for one in whole.shards] == [
            (Outcome.MERGED, ""),
            (Outcome.EXCLUDED, "unavailable"),
        ]


class TestEndOfTheJob:
    def test_a_cancelled_job_ends_its_open_rounds(self, job: WrittenJob) -> None:
        job.commit("a", "b")
        job.cancel()
        (whole,) = roll(job)
        (one,) = whole.shards[0].rounds
        assert (whole.outcome, one.outcome, whole.shards[0].outcome) == (Outcome.ENDED,) * 3
        assert absences(one) == {
            **dict.fromkeys("ab", (Absence.NOT_MERGED, "job cancelled")),
            **dict.fromkeys("cd", (Absence.DID_NOT_COMMIT, "")),
        }

    def test_a_complete_job_keeps_what_its_rounds_came_to(self, job: WrittenJob) -> None:
        for _ in range(2):
            job.full_round("a", "b", "c", "d")
            job.vote_globally("global-1")
        assert [whole.outcome for whole in roll(job)] == [Outcome.MERGED] * 2
        assert [whole.shards[1].reason for whole in roll(job)] == ["too_few_members"] * 2
        assert all(whole.shards[0].is_full for whole in roll(job))
