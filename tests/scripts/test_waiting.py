from __future__ import annotations

import io
import json
from dataclasses import replace
from typing import Any

import pytest
from rich.console import Console

from domicile.protocol.eligibility import Refusal, Safeguard
from scripts.fate import why_over
from scripts.hindrance import hindrances_of, mend_of
from scripts.live import LiveView, PlainLines
from scripts.status import as_json, snapshot_lines
from scripts.waiting import Awaited, Wait, wait_line, waits_of
from tests.scripts.written_view import view_of
from tests.written_job import BLOCK_S, WINDOW_S, WrittenJob


def only(waits: tuple[Wait, ...]) -> Wait:
    (wait,) = waits
    return wait


def started(*, us: tuple[str, ...] = (), **rules: Any) -> WrittenJob:
    job = WrittenJob(**rules)
    job.join("a", "b", "c", "d")
    job.join(*us, shard=1)
    job.start()
    return job


class TestJoining:
    def test_members_that_are_missing_are_counted_by_shard(self) -> None:
        job = WrittenJob(min_shards=2)
        job.join("a", "b")
        wait = only(waits_of(view_of(job)))
        assert (wait.awaited, wait.place) == (Awaited.MEMBERS, "")
        assert wait.told == "members to join: EU has 2 of at least 2, US has 0 of at least 2; missing: 2 in US"
        assert wait.enders == ("data holders by joining", "the owner (owner) by `domicile job cancel 1`")
        assert wait.at_deadline == "the job fails: 1 of 2 shards with enough members, 2 must have them"

    def test_it_is_since_the_creation_and_until_the_join_window_is_over(self) -> None:
        job = WrittenJob()
        created_s = job.now_s
        job.join("a")
        wait = only(waits_of(view_of(job)))
        assert (wait.since_s, wait.until_s) == (created_s, created_s + WINDOW_S)

    def test_with_enough_members_the_owner_may_start_it(self) -> None:
        job = WrittenJob()
        job.join("a", "b")
        wait = only(waits_of(view_of(job)))
        assert wait.enders[1] == "the owner (owner) by starting it or by `domicile job cancel 1`"
        assert wait.at_deadline == "the first round opens, without US (too few members)"
        assert hindrances_of(view_of(job)) == ()

    def test_it_cannot_go_on_while_too_few_shards_have_their_members(self) -> None:
        job = WrittenJob()
        job.join("a")
        (stuck,) = hindrances_of(view_of(job))
        assert stuck.cause == "0 of 2 shards with enough members, 1 must have them"
        assert stuck.mend == "data holders must join: 1 more in EU, 2 more in US"


class TestCollecting:
    def test_those_who_have_not_committed_are_awaited_since_the_round_was_opened(self) -> None:
        job = started()
        opened_s = job.now_s - BLOCK_S
        job.commit("a")
        view = view_of(job)
        wait = only(waits_of(view))
        assert (wait.place, wait.awaited, wait.from_) == ("EU", Awaited.UPDATES, ("b", "c", "d"))
        assert wait.told == "updates of b, c, d; 1 of 4 committed, at least 2 are needed"
        assert (wait.since_s, wait.until_s) == (opened_s, opened_s + WINDOW_S)
        assert wait.enders[0] == "b, c, d by committing"
        assert wait.at_deadline == "a new window opens, retry 1 of 1"
        assert wait_line(view, wait) == f"EU: {wait.told}; for 20 s, 980 s left"

    def test_a_new_window_is_waited_for_since_the_first(self) -> None:
        job = started(us=("x", "y"))
        opened_s = job.now_s - BLOCK_S
        job.advance_shard()
        wait = waits_of(view_of(job))[0]
        assert (wait.since_s, wait.until_s) == (opened_s, job.now_s - BLOCK_S + WINDOW_S)
        assert wait.at_deadline == "the shard stalls (too few updates): the others go on"

    def test_with_enough_updates_the_committee_goes_on_with_them(self) -> None:
        job = started()
        job.commit("a", "b")
        assert only(waits_of(view_of(job))).at_deadline == "its committee goes on with the 2 updates that are there"

    def test_a_member_whom_the_gate_refuses_is_told_with_reason_and_mend(self) -> None:
        view = view_of(started(), d=Refusal.ATTESTATION_EXPIRED, a=Refusal.SUSPENDED)
        told = {one.name: (one.reason, mend_of(view, one)) for one in only(waits_of(view)).refused}
        assert told == {
            "a": (Refusal.SUSPENDED, "an auditor must reinstate it"),
            "d": (Refusal.ATTESTATION_EXPIRED, "the attesters of DE must attest it anew"),
        }
        assert hindrances_of(view) == ()

    def test_with_too_few_admitted_members_neither_shard_nor_job_can_go_on(self) -> None:
        job = started()
        job.commit("a")
        view = view_of(job, a=Refusal.SUSPENDED, b=Refusal.NOT_CLEARED, c=Refusal.TIER_FORBIDS)
        shard, whole = hindrances_of(view)
        assert (shard.place, shard.cause) == ("EU", "the gate admits 1 of 4 members, 2 are needed")
        assert shard.mend == (
            "a: an auditor must reinstate it (SUSPENDED); b: an auditor must clear it for special data (NOT_CLEARED); "
            "c: the network's governance must loosen the tier of DE (TIER_FORBIDS)"
        )
        assert (whole.place, whole.cause) == ("", "0 of 2 shards can report in this round, 1 must")

    def test_a_shard_that_lost_its_members_cannot_go_on_and_the_job_says_who_can_end_it(self) -> None:
        job = started()
        for name in ("b", "c", "d"):
            job.leave(name)
        shard, whole = hindrances_of(view_of(job))
        assert shard.cause == "1 member left, 2 are needed, and nobody can join any more"
        assert "`domicile job cancel 1`" in whole.mend

    def test_one_shard_that_cannot_report_does_not_hold_a_job_up_that_needs_only_the_other(self) -> None:
        job = started(us=("x", "y"))
        job.leave("x")
        assert [one.place for one in hindrances_of(view_of(job))] == ["US"]

    @pytest.mark.parametrize("reason", [one for one in Refusal if one is not Refusal.NONE])
    def test_every_refusal_has_a_mend(self, reason: Refusal) -> None:
        view = view_of(started(), d=reason)
        (refused,) = only(waits_of(view)).refused
        assert mend_of(view, refused)


class TestAggregating:
    @pytest.fixture
    def job(self) -> WrittenJob:
        job = started(max_retries=0)
        job.commit("a", "b", "c", "d")
        return job

    def test_before_a_vote_it_says_whose_turn_it_is(self, job: WrittenJob) -> None:
        wait = only(waits_of(view_of(job)))
        assert wait.told == (
            "votes of its committee: agg-1, agg-2 not yet, 0 of 2 needed votes there, it is agg-1's turn to propose"
        )
        assert wait.at_deadline == "the shard stalls (no quorum): the job fails"

    def test_after_a_vote_only_the_others_are_awaited(self, job: WrittenJob) -> None:
        job.vote("agg-2")
        wait = only(waits_of(view_of(job)))
        assert wait.from_ == ("agg-1",)
        assert wait.told == "votes of its committee: agg-1 not yet, 1 of 2 needed votes there"

    def test_rival_proposals_are_told(self, job: WrittenJob) -> None:
        job.vote("agg-1")
        job.vote("agg-2")
        wait = only(waits_of(view_of(job)))
        assert wait.told == "votes of its committee: all voted, 1 of 2 needed votes there for one of 2 proposals"
        assert wait.from_ == ("agg-1", "agg-2")

    def test_more_refused_members_than_the_quorum_allows_hold_it_up(self, job: WrittenJob) -> None:
        shard, whole = hindrances_of(view_of(job, agg_2=Refusal.SUSPENDED))
        assert shard.cause == "the gate admits 1 of the 2 members of its committee, 2 must act"
        assert shard.mend == "agg-2: an auditor must reinstate it (SUSPENDED)"
        assert whole.mend.startswith("what holds EU up; or the owner (owner)")

    def test_a_vote_that_is_cast_counts_though_its_voter_is_refused_since(self, job: WrittenJob) -> None:
        job.vote("agg-2")
        assert hindrances_of(view_of(job, agg_2=Refusal.SUSPENDED)) == ()

    def test_updates_of_refused_nodes_cannot_be_merged(self, job: WrittenJob) -> None:
        refused = dict.fromkeys("abc", Refusal.SUSPENDED)
        assert hindrances_of(view_of(job, **refused))[0].cause == "the gate admits 1 of 4 updates, 2 are needed"


TOLD = "unmasking: 3 of 4 updates survive, 1 of 3 survivors answered, 3 of each one's 4 holders must"


class TestUnmasking:
    @pytest.fixture
    def job(self) -> WrittenJob:
        """All four committed."""
        job = started(safeguards=Safeguard.SECURE_AGGREGATION)
        job.commit("a", "b", "c", "d")
        return job

    def unmasking_lines(self, job: WrittenJob) -> list[str]:
        return [line.strip() for line in snapshot_lines(view_of(job)) if "unmasking" in line]

    def test_first_the_committee_agrees_on_the_survivors(self, job: WrittenJob) -> None:
        job.agree("agg-2", without="d")
        wait = only(waits_of(view_of(job)))
        assert (wait.awaited, wait.from_) == (Awaited.SURVIVORS, ("agg-1",))
        assert wait.told == (
            "survivors to be agreed on; votes of its committee: agg-1 not yet, 1 of 2 needed votes there"
        )
        assert self.unmasking_lines(job) == ["unmasking: no survivors of 4 updates agreed on"]
        shard = view_of(job, agg_1=Refusal.SUSPENDED).shards[0]
        assert shard.committee.votes == (("agg-2",),)
        assert len(hindrances_of(view_of(job, agg_1=Refusal.SUSPENDED))) == 2

    def test_then_the_survivors_answer(self, job: WrittenJob) -> None:
        job.agree("agg-1", "agg-2", without="d")
        job.unmask("d", "a")
        wait = only(waits_of(view_of(job, b=Refusal.SUSPENDED)))
        assert (wait.awaited, wait.from_) == (Awaited.ANSWERS, ("b", "c"))
        assert wait.told == (
            "answers of survivors: b, c not yet, 1 of 3 there, 3 of each one's 4 holders are needed; "
            "then its committee votes"
        )
        assert wait.enders[0] == "b, c by answering"
        assert [one.name for one in wait.refused] == ["b"]
        assert self.unmasking_lines(job) == [TOLD]

    def test_survivors_whom_the_gate_refuses_hold_it_up_once_too_few_may_answer(self, job: WrittenJob) -> None:
        job.agree("agg-1", "agg-2", without="d")
        assert hindrances_of(view_of(job, d=Refusal.SUSPENDED)) == ()
        shard, _whole = hindrances_of(view_of(job, b=Refusal.SUSPENDED))
        assert shard.cause == "2 of 3 survivors answered or may, 3 must"
        assert shard.mend == "b: an auditor must reinstate it (SUSPENDED)"
        job.unmask("b")
        assert hindrances_of(view_of(job, b=Refusal.SUSPENDED)) == ()

    def test_before_survivors_are_agreed_on_as_many_are_needed_as_a_sum_must_have(self, job: WrittenJob) -> None:
        assert hindrances_of(view_of(job, a=Refusal.SUSPENDED)) == ()
        shard, _whole = hindrances_of(view_of(job, a=Refusal.SUSPENDED, b=Refusal.SUSPENDED))
        assert shard.cause == "the gate admits 2 of 4 updates, 3 are needed"
        assert shard.mend.startswith("a: an auditor must reinstate it")

    def test_so_they_are_while_updates_are_collected(self) -> None:
        job = started(safeguards=Safeguard.SECURE_AGGREGATION)
        shard, _whole = hindrances_of(view_of(job, a=Refusal.SUSPENDED, b=Refusal.SUSPENDED))
        assert shard.cause == "the gate admits 2 of 4 members, 3 are needed"
        for name in ("a", "b"):
            job.leave(name)
        shard, _whole = hindrances_of(view_of(job))
        assert shard.cause == "2 members left, 3 are needed, and nobody can join any more"

    def test_a_round_that_closed_with_too_few_updates_to_be_summed_can_only_be_sat_out(self) -> None:
        job = started(safeguards=Safeguard.SECURE_AGGREGATION)
        job.commit("a", "b")
        job.pass_window()
        job.advance_shard()
        shard, _whole = hindrances_of(view_of(job))
        assert shard.cause == "the gate admits 2 of 2 updates, 3 are needed"
        assert shard.mend == "no update can be added any more; EU sits the round out when its windows are over"

    def test_the_threshold_is_of_those_who_were_there_at_the_start(self, job: WrittenJob) -> None:
        job.leave("d")
        unmasking = view_of(job).shards[0].unmasking
        assert unmasking is not None
        assert (unmasking.threshold, unmasking.num_holders) == (3, 4)

    def test_then_the_committee_votes_on_the_model(self, job: WrittenJob) -> None:
        job.agree("agg-1", "agg-2")
        job.unmask("a", "b", "c")
        job.vote("agg-1")
        wait = only(waits_of(view_of(job)))
        assert (wait.awaited, wait.from_) == (Awaited.VOTES, ("agg-2",))
        assert wait.told == "votes of its committee: agg-2 not yet, 1 of 2 needed votes there"

    def test_all_answers_are_followed_by_votes(self, job: WrittenJob) -> None:
        job.agree("agg-1", "agg-2")
        job.unmask("a", "b", "c", "d")
        assert only(waits_of(view_of(job))).awaited is Awaited.VOTES

    def test_data_names_survivors_and_who_answered_and_says_nothing_outside_of_aggregation(
        self, job: WrittenJob
    ) -> None:
        assert json.loads(as_json(view_of(job)))["shards"][0]["unmasking"] == {
            "survivors": None,
            "answered": [],
            "threshold": 3,
            "num_holders": 4,
        }
        job.agree("agg-1", "agg-2", without="b")
        job.unmask("c")
        told = json.loads(as_json(view_of(job)))
        unmasking = told["shards"][0]["unmasking"]
        assert (unmasking["survivors"], unmasking["answered"]) == (["a", "c", "d"], ["c"])
        assert (told["shards"][1]["unmasking"], told["waits_for"][0]["awaited"]) == (None, "answers")
        job.vote("agg-1", "agg-2", without="b")
        assert view_of(job).shards[0].unmasking is None

    def test_each_step_is_a_plain_line(self, job: WrittenJob) -> None:
        stream = io.StringIO()
        with PlainLines(stream) as lines:
            lines.catch_up(view_of(job))
            job.agree("agg-1", "agg-2", without="b")
            job.unmask("c", "a")
            lines.update(view_of(job))
        assert stream.getvalue().splitlines() == [
            "EU, round 1.1: survivors agreed on, 3 of 4 updates",
            "EU, round 1.1: c answered to the survivors",
            "EU, round 1.1: a answered to the survivors",
        ]

    def test_the_picture_tells_how_far_it_is(self, job: WrittenJob) -> None:
        job.agree("agg-1", "agg-2")
        console = Console(width=120, record=True, file=io.StringIO())
        live = LiveView(console)
        live.update(view_of(job))
        console.print(live.picture())
        told = "4 of 4 updates survive, 0 of 4 survivors answered, 3 of each one's 4 holders must"
        assert f"EU, round 1.1: unmasking: {told}" in console.export_text()


class TestMatureAndMerging:
    def test_an_export_is_awaited_of_any_of_the_committee(self) -> None:
        job = started()
        job.commit("a", "b", "c", "d")
        job.vote("agg-1", "agg-2")
        wait = only(waits_of(view_of(job)))
        assert (wait.awaited, wait.from_) == (Awaited.EXPORT, ("agg-1", "agg-2"))
        assert "it is agg-1's turn" in wait.told
        assert hindrances_of(view_of(job, agg_1=Refusal.SUSPENDED)) == ()
        assert hindrances_of(view_of(job, agg_1=Refusal.SUSPENDED, agg_2=Refusal.SUSPENDED))

    def test_votes_of_the_global_committee_are_awaited_by_the_job(self) -> None:
        job = started(global_rounds=2)
        job.full_round("a", "b", "c", "d")
        wait = only(waits_of(view_of(job)))
        assert (wait.place, wait.awaited, wait.from_) == ("", Awaited.GLOBAL_VOTES, ("global-1", "global-2"))
        assert wait.at_deadline == "a new window opens, retry 1 of 1"
        job.pass_window()
        job.advance()
        assert only(waits_of(view_of(job))).at_deadline == "the job fails: no retry is left"
        refused = {"global_1": Refusal.SUSPENDED, "global_2": Refusal.ATTESTATION_EXPIRED}
        assert len(hindrances_of(view_of(job, **refused))) == 1


class TestFromTheDeadlineOn:
    ANYONE = ("any node's or committee member's daemon", "anyone by `domicile job advance 1`")

    @pytest.fixture(params=["joining", "collecting", "aggregating", "mature", "merging"])
    def job(self, request: pytest.FixtureRequest) -> WrittenJob:
        if request.param == "joining":
            job = WrittenJob()
            job.join("a", "b")
            return job
        job = started(global_rounds=2)
        if request.param == "merging":
            job.full_round("a", "b", "c", "d")
        elif request.param != "collecting":
            job.commit("a", "b", "c", "d")
            job.vote(*(("agg-1", "agg-2") if request.param == "mature" else ()))
        return job

    def test_what_was_awaited_ends_nothing_any_more_and_anyone_may_advance(self, job: WrittenJob) -> None:
        view = view_of(job)
        before = only(waits_of(view))
        assert only(waits_of(replace(view, now_s=before.until_s - 1))).enders == before.enders
        for late_s in (0, 3600):
            late = replace(view, now_s=before.until_s + late_s)
            assert only(waits_of(late)) == replace(before, enders=self.ANYONE)
            told = f"  can end it: {', or '.join(self.ANYONE)}; then {before.at_deadline}"
            assert told in snapshot_lines(late)
            assert json.loads(as_json(late))["waits_for"][0]["enders"] == list(self.ANYONE)


class TestOver:
    def test_a_job_that_is_over_waits_for_nothing(self) -> None:
        job = started()
        job.full_round("a", "b", "c", "d")
        job.vote_globally("global-1")
        view = view_of(job)
        assert (waits_of(view), hindrances_of(view), why_over(view)) == ((), (), "")

    def test_a_cancelled_job_says_who_did_it_and_when(self) -> None:
        job = started()
        job.cancel()
        assert why_over(view_of(job)) == "its owner (owner) cancelled it while it was training"

    def test_too_few_members(self) -> None:
        job = WrittenJob()
        job.join("a")
        job.pass_window()
        job.advance()
        told = "too few members joined in time: EU 1, US 0; 1 shard must have at least 2 members each"
        assert why_over(view_of(job)) == told

    def test_shards_that_stalled(self) -> None:
        job = started(max_retries=0, min_shards=1)
        job.advance_shard()
        assert why_over(view_of(job)) == (
            "0 of at least 1 shard reported in global round 1: EU stalled (too few updates); "
            "US stalled (too few members); no retry was left"
        )

    def test_a_global_committee_without_a_quorum(self) -> None:
        job = started(max_retries=0)
        job.full_round("a", "b", "c", "d")
        job.pass_window()
        job.advance()
        told = "the global committee did not reach its 1 vote in global round 1, and no retry was left"
        assert why_over(view_of(job)) == told

    def test_members_that_left_before_the_next_round(self) -> None:
        job = started(global_rounds=2)
        job.commit("a", "b", "c", "d")
        for name in ("b", "c", "d"):
            job.leave(name)
        job.vote("agg-1", "agg-2")
        job.export("agg-1")
        job.vote_globally("global-1")
        assert why_over(view_of(job)).startswith("too few members are left for another global round: EU 1, US 0; ")


def test_stalled_shards_are_tried_again_while_retries_last() -> None:
    job = started(us=("x", "y", "z"), max_retries=1, min_shards=2)
    job.full_round("a", "b", "c", "d")
    job.advance_shard(1)
    wait = only(waits_of(view_of(job)))
    told = "the shard stalls (too few updates): stalled shards try again, retry 1 of 1 of the round"
    assert (wait.place, wait.at_deadline) == ("US", told)
