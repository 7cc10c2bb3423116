"""The verbs of jobs against a real chain: an owner orders, nodes come and go, and every verb may be repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

from domicile.chain.sender import Sender
from domicile.exchange import fetch_spec
from domicile.protocol.eligibility import Safeguard
from domicile.protocol.round import JobPhase
from domicile.storage.store import open_store
from domicile.types import JobId
from node.journal import NodeJournal
from tests.verbs.job_ground import OWNER, PARTIES, Region, commit
from tests.verbs.network_ground import domicile


def phase_of(region: Region, job: int) -> JobPhase:
    return region.jobs.snapshot(JobId(job))[0].phase


def test_an_order_becomes_one_job_however_often_it_is_repeated(region: Region) -> None:
    first = region.orders()
    assert (first.code, first.err) == (0, "")
    assert (first.data["changed"], first.data["job"]) == (True, 1)
    again = region.orders()
    assert (again.code, again.data["changed"], again.data["job"]) == (0, False, 1)
    assert "this very order is job 1 already" in region.tells("create", region.spec).out
    assert region.jobs.num_jobs() == 1
    another = region.orders("--again")
    assert (another.data["changed"], another.data["job"]) == (True, 2)


def test_the_documents_of_a_created_job_lie_in_the_border_store_and_its_owner_can_be_sealed_to(region: Region) -> None:
    told = region.orders().data
    border = open_store(f"dir:{region.folder}/border")
    parameters = region.jobs.parameters_of(JobId(1))
    assert parameters.spec.hex() == told["specification"]
    spec = fetch_spec(border, parameters.spec)
    assert spec.name == "trial"
    assert border.has(spec.initial_model.payload_digest)
    assert border.has(region.nodes.key_card_of(OWNER.address))


def test_a_secure_order_demands_the_safeguard_that_its_parties_offer(region: Region) -> None:
    region.rewrite(region.spec, "seed = 7", 'seed = 7\naggregation = "secure"\nmax_update_norm = 1.0')
    region.orders()
    parameters = region.jobs.parameters_of(JobId(1))
    assert parameters.safeguards is Safeguard.SECURE_AGGREGATION
    spec = fetch_spec(open_store(f"dir:{region.folder}/border"), parameters.spec)
    assert spec.is_secure
    assert region.node("join", 1, "berlin").data["changed"] is True
    region.acts("paris", region.nodes.update_key_card(region.nodes.key_card_of(OWNER.address), Safeguard.NONE))
    refused = region.node("join", 1, "paris")
    assert (refused.code, "MISSING_SAFEGUARD" in refused.err) == (3, True)


def test_a_dry_run_tells_all_that_it_looked_at_and_sends_nothing(region: Region) -> None:
    before = region.chain.block_number()
    told = region.orders("--dry-run")
    assert (told.code, told.data["changed"], told.data["job"]) == (0, False, None)
    assert {one["check"] for one in told.data["findings"]} == {
        "model", "shards", "contract", "key cards", "committees", "participants", "windows", "owner", "balance",
    }  # fmt: skip
    assert {one["state"] for one in told.data["findings"]} == {"ok"}
    assert "nothing speaks against this order" in region.tells("create", region.spec, "--dry-run").out
    assert region.chain.block_number() == before


def test_another_order_of_the_same_owner_and_the_same_order_of_another_owner_are_other_jobs(region: Region) -> None:
    assert region.orders().data["job"] == 1
    region.rewrite(region.spec, "steps = 2", "steps = 3")
    assert region.orders().data["job"] == 2
    assert region.orders(who="stranger").data["job"] == 3


def test_an_order_whose_job_is_over_becomes_a_new_job(region: Region) -> None:
    region.orders()
    assert region.does("cancel", 1, "--yes").code == 0
    told = region.orders().data
    assert (told["changed"], told["job"]) == (True, 2)


def test_a_job_is_joined_started_and_cancelled_once_each(region: Region) -> None:
    region.orders()
    joined = region.node("join", 1, "berlin")
    assert (joined.code, joined.data["changed"], joined.data["shard"]) == (0, True, "EU")
    assert region.node("join", 1, "berlin").data["changed"] is False
    assert region.node("join", 1, "berlin", "--shard", "EU").code == 0
    region.gather(1)
    started = region.does("start", 1, "--wait-members", 3)
    assert (started.code, started.data["changed"], started.data["phase"]) == (0, True, "training")
    again = region.does("start", 1)
    assert (again.code, again.data["changed"], again.data["phase"]) == (0, False, "training")
    cancelled = region.does("cancel", 1, "--yes")
    assert (cancelled.code, cancelled.data["changed"]) == (0, True)
    again = region.does("cancel", 1)
    assert (again.code, again.data["changed"], again.data["phase"]) == (0, False, "cancelled")
    late = region.does("start", 1)
    assert (late.code, "job 1 is cancelled and will not start any more" in late.err) == (3, True)


def test_a_node_leaves_and_comes_back_while_the_job_is_joining(region: Region) -> None:
    region.orders()
    region.node("join", 1, "paris")
    left = region.node("leave", 1, "paris")
    assert (left.code, left.data["changed"]) == (0, True)
    assert region.node("leave", 1, "paris").data["changed"] is False
    journal = NodeJournal(region.folder / "paris" / "journal.sqlite")
    assert journal.has_left(JobId(1))
    assert region.node("join", 1, "paris").data["changed"] is True
    assert not journal.has_left(JobId(1))
    assert journal.knows_membership(JobId(1))
    journal.close()


def test_who_committed_leaves_only_when_the_next_round_is_open(region: Region) -> None:
    region.orders()
    region.gather(1)
    region.does("start", 1)
    commit(region, "boston", 1)
    early = region.node("leave", 1, "boston", "--yes")
    assert early.code == 3
    assert "AlreadyCommitted" in early.err
    assert "leave after this round" in early.err
    journal = NodeJournal(region.folder / "boston" / "journal.sqlite")
    assert not journal.has_left(JobId(1))
    journal.close()
    asked = region.node("leave", 1, "miami")
    assert (asked.code, "cannot join it again" in asked.err) == (2, True)
    assert region.node("leave", 1, "miami", "--yes").data["changed"] is True


def test_a_node_that_never_joined_can_still_keep_its_daemon_out(region: Region) -> None:
    region.orders()
    told = region.node("leave", 1, "denver")
    assert (told.code, told.data["changed"]) == (0, True)
    assert region.node("leave", 1, "denver").data["changed"] is False


def test_there_is_nothing_to_leave_in_a_job_that_is_over(region: Region) -> None:
    region.orders()
    region.gather(1)
    region.does("cancel", 1, "--yes")
    told = domicile("job", "leave", 1, "--config", region.config("berlin"))
    assert (told.code, told.out) == (0, "job 1 is over: cancelled; there is nothing to leave\n")


def test_a_join_window_that_is_over_is_ended_by_whoever_starts(region: Region) -> None:
    region.orders()
    region.gather(1)
    region.pass_time(3600)
    late = region.node("join", 1, "berlin")
    assert (late.code, late.data["changed"]) == (0, False)
    assert region.does("start", 1, "--wait-members", 200).data["changed"] is True
    assert phase_of(region, 1) is JobPhase.TRAINING


def test_anyone_ends_the_phases_whose_deadline_has_passed(region: Region) -> None:
    region.orders()
    region.gather(1)
    until_s = region.jobs.snapshot(JobId(1))[0].deadline_s
    early = region.does("advance", 1, who="stranger")
    assert (early.code, early.err) == (0, "")
    assert early.data == {"changed": False, "job": 1, "phase": "joining", "ended": [], "until_s": until_s}
    told = region.tells("advance", 1, who="stranger").out
    assert told.startswith("job 1: nothing to end yet\njob 1 is joining; joining as a whole lasts until ")

    region.pass_time(3600)
    status = region.does("status", 1).data["waits_for"][0]["enders"]
    assert status == ["any node's or committee member's daemon", "anyone by `domicile job advance 1`"]
    opened = region.does("advance", 1, who="stranger").data
    assert (opened["changed"], opened["phase"]) == (True, "training")
    assert opened["ended"] == [{"place": "", "phase": "joining", "until_s": until_s}]
    assert opened["until_s"] == region.jobs.snapshot(JobId(1))[1][0].deadline_s
    assert region.does("advance", 1, who="stranger").data["changed"] is False

    for name in ("berlin", "munich", "paris"):
        commit(region, name, 1)
    until_s = region.jobs.snapshot(JobId(1))[1][1].deadline_s
    region.pass_time(until_s - region.chain.timestamp())
    retried = region.does("advance", 1, who="stranger").data
    assert retried["ended"] == [{"place": "US", "phase": "collecting", "until_s": until_s}]
    eu, us = region.jobs.snapshot(JobId(1))[1]
    assert (us.retries, retried["until_s"]) == (1, eu.deadline_s)


def test_a_round_that_is_over_is_ended_with_all_its_shards_and_a_job_that_is_over_has_nothing_to_end(
    region: Region,
) -> None:
    region.orders()
    region.gather(1)
    region.does("start", 1)
    region.pass_time(region.jobs.snapshot(JobId(1))[0].deadline_s - region.chain.timestamp())
    ended = region.does("advance", 1, who="stranger").data
    assert [(one["place"], one["phase"]) for one in ended["ended"]] == [("", "training")]
    while ended["phase"] == "training":  # The round is tried again until no retry is left.
        region.pass_time(region.jobs.snapshot(JobId(1))[0].deadline_s - region.chain.timestamp())
        ended = region.does("advance", 1, who="stranger").data
    assert (ended["phase"], ended["until_s"]) == ("failed", None)
    assert phase_of(region, 1) is JobPhase.FAILED
    again = region.does("advance", 1, who="stranger")
    assert (again.code, again.data["changed"], again.data["phase"]) == (0, False, "failed")
    assert region.tells("advance", 1).out == "job 1 is over: failed\n"


def test_a_phase_that_another_account_ended_meanwhile_is_left_alone(
    region: Region, monkeypatch: pytest.MonkeyPatch
) -> None:
    region.orders()
    region.gather(1)
    region.pass_time(3600)
    act = Sender.act

    def late(sender: Sender, *call: object) -> object:
        monkeypatch.undo()
        region.acts("berlin", region.jobs.advance(JobId(1)))
        return act(sender, *call)

    monkeypatch.setattr(Sender, "act", late)
    told = region.does("advance", 1, who="stranger")
    assert (told.code, told.data["changed"], told.data["phase"]) == (0, False, "training")


def test_only_the_owner_starts_and_cancels(region: Region) -> None:
    region.orders()
    for verb in (("start", 1, "--wait-members", 3), ("cancel", 1)):
        told = region.does(*verb, who="stranger")
        assert (told.code, "NotOwner" in told.err) == (3, True)


def test_a_job_of_too_few_members_is_not_started(region: Region) -> None:
    region.orders()
    told = region.does("start", 1)
    assert (told.code, "TooFewShards" in told.err) == (3, True)
    assert phase_of(region, 1) is JobPhase.JOINING


def test_a_cancellation_nobody_confirms_is_none(region: Region) -> None:
    region.orders()
    told = region.tells("cancel", 1)
    assert (told.code, "repeat the command with --yes" in told.err) == (2, True)
    assert phase_of(region, 1) is JobPhase.JOINING


def test_members_are_named_by_account_as_well(region: Region) -> None:
    region.rewrite(region.spec, '"eu-agg"', f'"{PARTIES["eu-agg"].address.lower()}"')
    assert region.orders().code == 0
    assert region.jobs.global_committee_of(JobId(1)).members == (PARTIES["world-agg"].address,)


def test_a_job_file_lies_wherever_it_likes(region: Region, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(region.spec.read_text(encoding="utf-8"), encoding="utf-8")
    assert region.does("create", tmp_path / "mine.toml").data["job"] == 1
    told = region.orders().data
    assert (told["changed"], told["job"]) == (False, 1)
