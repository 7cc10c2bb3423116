"""One job clock: every wait follows from the collect window."""

from __future__ import annotations

import re
from fractions import Fraction
from math import inf
from pathlib import Path

import pytest

from domicile.clock import DEFAULT_CLOCK, JobClock, shortest_clock
from scripts.job_file import RoundSettings

OPERATIONS = Path(__file__).resolve().parents[1] / "docs" / "operations.md"
ROW = re.compile(r"^\| `(\w+_s)` \| (\d(?:/\d)?) \| (?:([\d.]+) s)? ?\| (?:([\d.]+) s)? ?\|", flags=re.MULTILINE)


@pytest.mark.parametrize("window_s", [6, 12, 30, 60, 600, 86_400])
def test_whatever_is_tried_again_is_tried_again_within_one_window(window_s: int) -> None:
    clock = JobClock(window_s)
    assert clock.longest_pause_s < window_s / 2
    assert clock.replace_after_s < clock.receipt_timeout_s <= window_s / 2
    assert clock.request_timeout_s <= window_s / 2
    assert clock.peer_search_s < clock.store_timeout_s <= window_s / 2
    assert clock.replace_after_s + clock.longest_pause_s < window_s / 2


def test_hours_of_window_make_no_wait_longer_than_its_cap() -> None:
    waits = {
        "longest_pause_s": 30.0,
        "replace_after_s": 10.0,
        "receipt_timeout_s": 120.0,
        "request_timeout_s": 30.0,
        "store_timeout_s": 60.0,
        "peer_search_s": 30.0,
    }
    assert {name: getattr(JobClock(86_400), name) for name in waits} == waits
    assert {name: getattr(DEFAULT_CLOCK, name) for name in waits} == waits


def test_a_window_of_a_second_makes_no_wait_vanish() -> None:
    clock = JobClock(1)
    assert (clock.replace_after_s, clock.receipt_timeout_s, clock.request_timeout_s) == (1.0, 3.0, 3.0)
    assert (clock.store_timeout_s, clock.peer_search_s) == (3.0, 1.5)
    assert clock.node_patience_s == 1
    assert clock.look_again_s < 1


def test_whoever_serves_several_jobs_follows_the_shortest_and_nobody_waits_longer_than_without_one() -> None:
    assert shortest_clock([JobClock(60), JobClock(6), JobClock(600)]) == JobClock(6)
    assert shortest_clock([]) == DEFAULT_CLOCK == shortest_clock([JobClock(600)])


@pytest.mark.parametrize("window_s", [1, 6, 60, 240, 86_400])
def test_the_document_tells_every_wait_as_it_is(window_s: int) -> None:
    clock, rows = JobClock(window_s), ROW.findall(OPERATIONS.read_text(encoding="utf-8"))
    assert {name for name, *_ in rows} == {name for name, one in vars(JobClock).items() if isinstance(one, property)}
    for name, part, least, most in rows:
        wait_s = min(float(most or inf), max(float(least or 0), window_s * Fraction(part)))
        # Deadlines are whole seconds, and a node's patience is a second more than a whole part of them.
        assert getattr(clock, name) == pytest.approx(wait_s, abs=1.0 if name == "node_patience_s" else 1e-9), name


def test_the_document_tells_both_clocks_of_an_owner_with_what_they_are_unless_told() -> None:
    text = OPERATIONS.read_text(encoding="utf-8")
    fields = RoundSettings.model_fields
    assert f"`rounds.collect_window_s` ({fields['collect_window_s'].default} unless" in text
    join_s = fields["join_window_s"].default
    assert f"`rounds.join_window_s`, is a second clock of the job's owner, and an optional one: {join_s} s" in text
