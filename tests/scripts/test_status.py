from __future__ import annotations

import json
from dataclasses import asdict, replace

import pytest

from domicile.protocol.eligibility import Refusal
from scripts.status import as_json, is_same, snapshot_lines, view_data
from scripts.view import AggregationView, GlobalFigure, RefusedParty, RuleView
from tests.scripts.finished_job import FinishedJob, datasets_of

SNAPSHOT = """\
job 1 diagnosis: training, global round 1 of 3, block 60, 1970-01-01 00:02:00 UTC on the chain's clock
  the round ends at 1970-01-01 00:02:40 UTC (40 s left); whatever has not reported then stalls
EU, round 1.2: reported, 1 export
  members: charite, paris, utrecht
  validation loss at the start of round 1.2: 0.4100
US, round 1.1: aggregating, deadline 1970-01-01 00:02:30 UTC (30 s left), 0 exports
  committed: ucsf, nyu, austin
  not yet: nobody
  validation loss at the start of round 1.1: 0.7000
IN, round 1.1: stalled (too few updates), 0 exports
  members: delhi, pune, chennai
  sits the round out since 1970-01-01 00:01:40 UTC; it trains again in the next global round, or in this one if it is \
tried again
participation: 27 of 27 expected updates merged in 9 regional rounds of 1 global round; nobody was left out
minsk refused by the contract: JurisdictionNotInShard
waits for US: votes of its committee: agg-us, second-us not yet, 0 of 1 needed vote there, \
it is agg-us's turn to propose
  since 1970-01-01 00:01:40 UTC (20 s), until 1970-01-01 00:02:30 UTC (30 s left)
  can end it: agg-us, second-us by voting; the owner (lab) by `domicile job cancel 1`; anyone from the deadline on, \
and then a new window opens, retry 1 of 1"""


def test_a_snapshot_tells_phases_rounds_who_is_awaited_since_and_until_when_and_who_can_end_it() -> None:
    assert "\n".join(snapshot_lines(FinishedJob().views()[2])) == SNAPSHOT


@pytest.mark.parametrize(
    ("aggregation", "told"),
    [
        (AggregationView(kind="plain"), "plain, updates are merged by their mean"),
        (
            AggregationView(kind="secure"),
            "secure, updates are masked, of which the committee learns the mean alone",
        ),
        (
            AggregationView(kind="robust", updates=RuleView(rule="trimmed_mean", num_hostile=1)),
            "robust, updates are merged by trimmed mean against 1 hostile node, regions by their mean",
        ),
        (
            AggregationView(
                kind="robust",
                updates=RuleView(rule="median", num_hostile=2),
                regions=RuleView(rule="krum", num_hostile=1),
            ),
            "robust, updates are merged by median against 2 hostile nodes, regions by krum against 1 hostile region",
        ),
    ],
    ids=["plain", "secure", "robust", "robust regions"],
)
def test_how_updates_become_a_model_is_told_in_words_and_as_data(aggregation: AggregationView, told: str) -> None:
    view = replace(FinishedJob().views()[2], aggregation=aggregation)
    assert snapshot_lines(view)[1] == f"  aggregation: {told}"
    assert view_data(view)["aggregation"] == asdict(aggregation)


def test_a_snapshot_of_a_finished_job_has_its_figures_and_its_gaps_and_waits_for_nothing() -> None:
    lines = snapshot_lines(FinishedJob().views()[3])
    assert "global model of round 1 on all held-out rows: loss 0.3500, accuracy 0.910" in lines
    assert "  US round 2.2: 2 of 3 merged; ucsf left out by the committee (not finite)" in lines
    assert not any(line.startswith(("waits for", "cannot go on", "  the round ends")) for line in lines)


def test_a_last_model_without_a_figure_is_told_as_not_on_record() -> None:
    view = FinishedJob().views()[3]
    told = "global model of round 3: how it does on the held-out rows is not on record"
    assert any(line.startswith(told) for line in snapshot_lines(view))
    figure = GlobalFigure(global_round=2, loss=0.1, accuracy=None)
    assert not any(line.startswith(told) for line in snapshot_lines(replace(view, figures=(figure,))))


def test_a_deadline_that_is_over_is_told_as_that() -> None:
    late = replace(FinishedJob().views()[2], now_s=161)
    told = "  the round ends at 1970-01-01 00:02:40 UTC (the deadline is over); whatever has not reported then stalls"
    assert told in snapshot_lines(late)


def test_whoever_the_gate_refuses_is_told_with_reason_and_mend_and_what_it_stops() -> None:
    view = FinishedJob().views()[1]
    refused = [RefusedParty(name="utrecht", reason=Refusal.ATTESTATION_EXPIRED, place="NL")]
    lines = snapshot_lines(replace(view, shards=(replace(view.shards[0], refused=refused), *view.shards[1:])))
    mend = "the attesters of NL must attest it anew"
    assert f"  utrecht is refused by the gate: ATTESTATION_EXPIRED; mend: {mend}" in lines
    assert lines[-1] == (
        f"cannot go on: EU: the gate admits 2 of 3 members, 3 are needed; mend: utrecht: {mend} (ATTESTATION_EXPIRED)"
    )


def test_no_name_reaches_the_terminal_with_control_characters() -> None:
    hostile = "\x1b[2Jjob"
    for view in FinishedJob(shards={hostile: (hostile,), "US": (hostile,), "IN": (hostile,)}, name=hostile).views():
        told = snapshot_lines(replace(view, owner=hostile, refusals=(("\x9b2J", "\x07\n"),)))
        assert all(line.isprintable() for line in told)


def test_as_data_it_is_one_line_with_phases_by_name() -> None:
    told = as_json(FinishedJob().views()[2])
    assert "\n" not in told
    shard = json.loads(told)["shards"][0]
    assert shard.pop("committee")["members"] == ["agg-eu", "second-eu"]
    assert shard | {"losses": []} == {
        "jurisdiction": "EU",
        "phase": "reported",
        "stall": "none",
        "regional_round": 1,
        "retries": 0,
        "since_s": 100,
        "deadline_s": 0,
        "members": ["charite", "paris", "utrecht"],
        "committed": ["charite", "paris", "utrecht"],
        "refused": [],
        "losses": [],
        "exports": [0],
        "unmasking": None,
    }


def test_as_data_it_has_what_is_awaited_and_why_nothing_goes_on() -> None:
    view = FinishedJob().views()[1]
    refused = [RefusedParty(name="utrecht", reason=Refusal.SUSPENDED, place="NL")]
    data = json.loads(as_json(replace(view, shards=(replace(view.shards[0], refused=refused), *view.shards[1:]))))
    first = data["waits_for"][0]
    assert (first["place"], first["awaited"], first["from"]) == ("EU", "updates", ["utrecht"])
    assert (first["since_s"], first["until_s"]) == (100, 130)
    assert first["refused"] == [
        {"name": "utrecht", "reason": "suspended", "place": "NL", "mend": "an auditor must reinstate it"}
    ]
    assert [one["place"] for one in data["cannot_go_on"]] == ["EU"]
    assert data["over_because"] == ""


def test_views_are_the_same_while_only_time_passes() -> None:
    first, second, *_ = FinishedJob().views()
    assert is_same(replace(first, now_s=999, block=99, gas_used=1), first)
    assert not is_same(second, first)
    assert not is_same(first, None)


def test_a_job_with_privacy_tells_its_claim() -> None:
    claim = FinishedJob().private_report().privacy.claim  # type: ignore[union-attr]
    view = replace(FinishedJob().views()[2], claim=claim)
    lines = snapshot_lines(view)
    assert "  privacy, ε, δ: 7.987, 1e-05" in lines
    assert any(line.startswith("  privacy, trust model: each row's holder trusts its own node alone") for line in lines)
    assert json.loads(as_json(view))["claim"]["num_steps"] == 90
    assert not any("privacy" in line for line in snapshot_lines(FinishedJob().views()[2]))


def test_a_job_with_a_budget_tells_what_datasets_grant_and_what_became_of_it() -> None:
    view = replace(FinishedJob().views()[2], datasets=datasets_of(["paris", "utrecht"]))
    asked = "granted epsilon 16, delta 0.0001; reserved epsilon 8, delta 1e-05"
    told = [line for line in snapshot_lines(view) if line.startswith("dataset")]
    assert told == [
        f"dataset 1 of paris: {asked}, spent epsilon 5.346, delta 1e-05; epsilon 10.654, delta 9e-05 remain",
        f"dataset 2 of utrecht: {asked}, nobody said what was spent; epsilon 8, delta 9e-05 remain",
    ]
    assert view_data(view)["datasets"][1]["spent"] is None
    assert view_data(view)["datasets"][0]["remaining"] == {"epsilon_micros": 10_654_000, "delta_attos": 9 * 10**13}
