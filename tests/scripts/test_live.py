from __future__ import annotations

import io
from dataclasses import replace

import pytest
from rich.console import Console

from domicile.protocol.eligibility import Refusal
from domicile.protocol.round import JobPhase
from scripts.live import LiveView, PlainLines, open_view, sparkline
from scripts.view import JobView, PrivacyCost, RefusedParty
from tests.scripts.finished_job import FinishedJob, datasets_of

LINES = """\
minsk refused by the contract: JurisdictionNotInShard
job 1: joining, block 40
global round 1 of 3
EU, round 1.1: opened, 3 members
EU, round 1.1: charite committed
EU, round 1.1: paris committed
US, round 1.1: opened, 3 members
IN, round 1.1: opened, 3 members
job 1: training, block 44
EU, round 1.2: charite committed
EU, round 1.2: paris committed
EU, round 1.2: utrecht committed
EU, round 1.1: regional model accepted, validation loss of its start 0.6931
EU, round 1.2: regional model accepted, validation loss of its start 0.4100
EU, global round 1: mature model exported to the border store
US, round 1.1: ucsf committed
US, round 1.1: nyu committed
US, round 1.1: austin committed
US, round 1.1: regional model accepted, validation loss of its start 0.7000
IN, round 1.1: stalled, too few updates
global model of round 1 on all held-out rows: loss 0.3500, accuracy 0.910
global model of round 2 on all held-out rows: loss 0.2100
job 1: complete, block 90
participation: 71 of 78 expected updates merged in 26 regional rounds of 3 global rounds; 4 gaps
"""


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class TestWhichView:
    def test_a_pipe_gets_plain_lines(self) -> None:
        assert isinstance(open_view(io.StringIO()), PlainLines)

    def test_a_dumb_terminal_gets_plain_lines(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERM", "dumb")
        assert isinstance(open_view(Terminal()), PlainLines)

    def test_a_terminal_gets_the_live_view(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("TERM", "xterm-256color")
        assert isinstance(open_view(Terminal()), LiveView)


class TestPlainLines:
    def test_control_characters_in_a_name_do_not_reach_the_stream(self) -> None:
        stream = io.StringIO()
        view = replace(FinishedJob().views()[0], refusals=(("\x1b[2Jminsk\r\n", "why"),))
        with PlainLines(stream) as lines:
            lines.update(view)
        assert "\x1b" not in stream.getvalue()
        assert "[2Jminsk\ufffd\ufffd refused by the contract: why\n" in stream.getvalue()

    def test_each_change_is_one_line_and_none_is_repeated(self) -> None:
        stream = io.StringIO()
        with PlainLines(stream) as lines:
            for view in FinishedJob().views():
                lines.update(view)
                lines.update(view)
        assert stream.getvalue() == LINES

    def test_what_is_said_comes_at_once(self) -> None:
        stream = io.StringIO()
        with PlainLines(stream) as lines:
            lines.say("contracts deployed")
            assert stream.getvalue() == "contracts deployed\n"

    def test_while_nothing_happens_it_says_what_is_waited_for_and_until_when(self) -> None:
        now = [0.0]
        stream = io.StringIO()
        view = FinishedJob().views()[2]
        with PlainLines(stream, clock=lambda: now[0]) as lines:
            lines.update(view)
            told = stream.getvalue()
            for now[0] in (9.0, 10.0, 11.0, 20.0):
                lines.update(view)
        waits = (
            "still waiting for US: votes of its committee: agg-us, second-us not yet, 0 of 1 needed vote there, "
            "it is agg-us's turn to propose; for 20 s, 30 s left\n"
        )
        assert stream.getvalue() == told + 2 * waits

    def test_what_it_has_caught_up_with_is_not_told_again(self) -> None:
        stream = io.StringIO()
        *_, reported, complete = FinishedJob().views()
        with PlainLines(stream) as lines:
            lines.catch_up(reported)
            assert stream.getvalue() == ""
            lines.update(complete)
        assert stream.getvalue().splitlines() == [
            "global model of round 1 on all held-out rows: loss 0.3500, accuracy 0.910",
            "global model of round 2 on all held-out rows: loss 0.2100",
            "job 1: complete, block 90",
            "participation: 71 of 78 expected updates merged in 26 regional rounds of 3 global rounds; 4 gaps",
        ]

    def test_what_cannot_go_on_is_told_at_once_and_once(self) -> None:
        stream = io.StringIO()
        view = FinishedJob().views()[1]
        refused = (RefusedParty(name="utrecht", reason=Refusal.SUSPENDED, place="NL"),)
        with PlainLines(stream) as lines:
            for _ in range(2):
                lines.update(replace(view, shards=(replace(view.shards[0], refused=refused), *view.shards[1:])))
        told = [line for line in stream.getvalue().splitlines() if line.startswith("cannot go on")]
        assert told == [
            "cannot go on: EU: the gate admits 2 of 3 members, 3 are needed; "
            "mend: utrecht: an auditor must reinstate it (SUSPENDED)"
        ]

    def test_while_members_join_nothing_is_told_as_stuck(self) -> None:
        stream = io.StringIO()
        joining = FinishedJob().views()[0]
        with PlainLines(stream) as lines:
            lines.update(replace(joining, shards=tuple(replace(one, members=()) for one in joining.shards)))
        assert "cannot go on" not in stream.getvalue()

    def test_a_job_that_failed_says_why(self) -> None:
        stream = io.StringIO()
        failed = replace(FinishedJob().views()[3], phase=JobPhase.FAILED, before=JobPhase.MERGING)
        with PlainLines(stream) as lines:
            lines.update(failed)
        assert "the global committee did not reach its 1 vote in global round 1" in stream.getvalue()

    def test_a_job_that_never_started_has_no_round(self) -> None:
        stream = io.StringIO()
        cancelled = replace(FinishedJob().views()[0], phase=JobPhase.CANCELLED, before=JobPhase.JOINING)
        with PlainLines(stream) as lines:
            lines.update(cancelled)
        assert "cancelled" in stream.getvalue()
        assert "global round" not in stream.getvalue()


class TestLiveView:
    def test_no_name_reaches_the_terminal_with_control_characters(self) -> None:
        hostile = "\x1b]0;owned\x07\x1b[2J"
        first, *_, stalled, complete = FinishedJob(
            shards={hostile: (hostile,), "US": ("b",), "IN": ("c",)}, name=hostile
        ).views()
        for seen in (first, stalled, complete):
            view = replace(seen, refusals=((hostile, hostile),), owner=hostile)
            console = Console(file=io.StringIO(), width=120, color_system=None)
            live = LiveView(console)
            live.say(hostile)
            live.update(view)
            told = captured(console, live)
            assert not {"\x1b", "\x07"} & set(told)
            assert "]0;owned" in told

    def test_names_are_not_markup(self) -> None:
        shards = {"[red]EU": ("[/]x",), "US": ("b",), "IN": ("c",)}
        picture = painted(FinishedJob(shards=shards, name="[/]job").views()[1], 120)
        assert all(name in picture for name in ("[red]EU", "[/]x", "[/]job"))

    @pytest.mark.parametrize("width", [80, 120])
    @pytest.mark.parametrize("index", range(4))
    def test_every_picture_fits_its_width_and_cuts_nothing(self, index: int, width: int) -> None:
        picture = painted(FinishedJob().views()[index], width)
        assert max(map(len, picture.splitlines())) <= width
        assert "…" not in picture

    def test_the_picture_while_shards_are_in_different_phases(self) -> None:
        picture = painted(FinishedJob().views()[2], 80)
        for told in (
            "job 1 diagnosis · training · global round 1 of 3, 40 s left",
            "✓charite ✓paris",
            "0.4100 █▁",
            "30 s",
            "·delhi ·pune ·chennai",
            "IN sits this global round out: too few updates",
            "✗ minsk refused by the contract: JurisdictionNotInShard",
            "waits for US: votes of its committee: agg-us",
            "block 60 · 2,000,000 gas",
        ):
            assert told in picture

    def test_before_the_first_view_it_shows_what_was_said(self) -> None:
        console = Console(file=io.StringIO(), width=80, color_system=None)
        view = LiveView(console)
        view.say("compiling [contracts]")
        assert "compiling [contracts]" in captured(console, view)

    def test_closing_twice_gives_the_terminal_back_once(self) -> None:
        stream = Terminal()
        view = LiveView(Console(file=stream, force_terminal=True, width=80))
        with view:
            view.update(FinishedJob().views()[1])
            view.close()
        assert stream.getvalue().count("\x1b[?25h") == 1


def test_a_sparkline_goes_from_the_lowest_to_the_highest() -> None:
    assert sparkline((1.0, 0.5, 0.0)) == "█▅▁"
    assert sparkline((0.3, 0.3)) == "▁▁"


def painted(view: JobView, width: int) -> str:
    console = Console(file=io.StringIO(), width=width, color_system=None)
    live = LiveView(console)
    live.update(view)
    return captured(console, live)


def captured(console: Console, view: LiveView) -> str:
    with console.capture() as capture:
        console.print(view.picture())
    return capture.get()


class TestEpsilonByDataset:
    COSTS = tuple(PrivacyCost(node=name, num_rounds=2, epsilon=2.1309) for name in ("paris", "utrecht"))
    SAID = "dataset 1 of paris: granted epsilon 16, delta 0.0001; reserved epsilon 8, delta 1e-05, spent epsilon 5.346"

    def test_what_finished_rounds_cost_stands_beside_what_is_reserved_and_left(self) -> None:
        # Paris said what it spent, utrecht did not yet.
        view = replace(FinishedJob().views()[2], datasets=datasets_of(["paris", "utrecht"]), costs=self.COSTS)
        told = painted(view, 200)
        line = "ε by dataset (cost of finished rounds by the accountant / reserved / left of the grant), δ = 1e-05"
        assert f"{line}: 2.131/8/8 of utrecht" in told
        assert self.SAID in told

    def test_where_no_journal_can_be_read_nothing_is_said_of_the_cost(self) -> None:
        view = replace(FinishedJob().views()[2], datasets=datasets_of(["paris", "utrecht"]))
        assert "ε by dataset (reserved / left of the grant), δ = 1e-05: 8/8 of utrecht" in painted(view, 200)
        assert "ε by dataset" not in painted(FinishedJob().views()[2], 200)

    def test_plain_lines_tell_each_figure_once(self) -> None:
        out, first = io.StringIO(), replace(FinishedJob().views()[2], datasets=datasets_of(["paris", "utrecht"]))
        lines = PlainLines(out)
        later = tuple(replace(one, epsilon=2.5) for one in self.COSTS)
        for costs in (self.COSTS, self.COSTS, later, later):
            lines.update(replace(first, costs=costs))
        told = [line.rpartition(": ")[2] for line in out.getvalue().splitlines() if line.startswith("ε by dataset")]
        assert told == ["2.131/8/8 of utrecht", "2.500/8/8 of utrecht"]
