from __future__ import annotations

import json
from dataclasses import replace

from scripts.status import as_json, is_same, snapshot_lines
from tests.scripts.finished_job import FinishedJob

SNAPSHOT = """\
job 1 diagnosis: training, global round 1 of 3, block 60, 1970-01-01 00:02:00 UTC on the chain's clock
  deadline 1970-01-01 00:02:40 UTC (40 s left)
EU, round 1.2: reported, 1 export
  committed: charite, paris, utrecht
  not yet: nobody
  validation loss at the start of round 1.2: 0.4100
US, round 1.1: aggregating, deadline 1970-01-01 00:02:30 UTC (30 s left), 0 exports
  committed: ucsf, nyu, austin
  not yet: nobody
  validation loss at the start of round 1.1: 0.7000
IN, round 1.1: stalled (too few updates), 0 exports
  committed: nobody
  not yet: delhi, pune, chennai
minsk refused by the contract: JurisdictionNotInShard
waits for EU: updates of its members; anyone may end a wait at its deadline"""


def test_a_snapshot_tells_phases_rounds_who_is_awaited_and_until_when() -> None:
    assert "\n".join(snapshot_lines(FinishedJob().views()[2])) == SNAPSHOT


def test_a_snapshot_of_a_finished_job_has_its_figures_and_waits_for_nothing() -> None:
    lines = snapshot_lines(FinishedJob().views()[3])
    assert "global model of round 1 on all held-out rows: loss 0.3500, accuracy 0.910" in lines
    assert not any(line.startswith(("waits for", "  deadline")) for line in lines)


def test_a_deadline_that_is_over_is_told_as_that() -> None:
    late = replace(FinishedJob().views()[2], now_s=161)
    assert "  deadline 1970-01-01 00:02:40 UTC (the deadline is over)" in snapshot_lines(late)


def test_no_name_reaches_the_terminal_with_control_characters() -> None:
    view = replace(FinishedJob(name="\x1b[2Jjob").views()[0], refusals=(("\x9b2J", "\x07\n"),), waits_for="\x1b]0;x")
    assert all(line.isprintable() for line in snapshot_lines(view))


def test_as_data_it_is_one_line_with_phases_by_name() -> None:
    told = as_json(FinishedJob().views()[2])
    assert "\n" not in told
    assert json.loads(told)["shards"][0] | {"losses": []} == {
        "jurisdiction": "EU",
        "phase": "reported",
        "stall": "none",
        "regional_round": 1,
        "retries": 0,
        "deadline_s": 0,
        "members": ["charite", "paris", "utrecht"],
        "committed": ["charite", "paris", "utrecht"],
        "losses": [],
        "exports": [0],
    }


def test_views_are_the_same_while_only_time_passes() -> None:
    first, second, *_ = FinishedJob().views()
    assert is_same(replace(first, now_s=999, block=99, gas_used=1), first)
    assert not is_same(second, first)
    assert not is_same(first, None)
