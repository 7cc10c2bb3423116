"""What keeps a daemon alive, and what ends it."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from domicile.clock import DEFAULT_CLOCK, JobClock
from domicile.daemon import Backoff, Confined, run
from domicile.errors import ConfigurationError, DomicileError, Fault, Overtaken, PeerError, Refused, StoreFault
from domicile.exit_code import EXIT_BUG, guarded

ROOT = Path(__file__).resolve().parents[1]


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


class Act:
    """Fails with what it is given, and counts its tries."""

    def __init__(self, failure: Exception | None = None) -> None:
        self.failure = failure
        self.tries = 0

    def __call__(self) -> bool:
        self.tries += 1
        if self.failure is not None:
            raise self.failure
        return True


def test_pauses_double_up_to_the_most_and_start_anew_after_a_success() -> None:
    clock = Clock()
    backoff = Backoff(0.5, job_clock=JobClock(12), clock=clock)
    assert not backoff.resting
    assert [backoff.failed() for _ in range(4)] == [1.0, 2.0, 3.0, 3.0]
    assert backoff.resting
    clock.now_s += 3.0
    assert not backoff.resting
    backoff.succeeded()
    assert backoff.failed() == 1.0


def test_the_longest_pause_of_a_job_is_a_quarter_of_its_window_and_never_shorter_than_a_look() -> None:
    for window_s, longest_s in ((40, 10.0), (1, 0.5), (10_000, DEFAULT_CLOCK.longest_pause_s)):
        backoff = Backoff(0.5, job_clock=JobClock(window_s))
        assert max(backoff.failed() for _ in range(20)) == longest_s


@pytest.mark.parametrize("failure", [StoreFault("no block"), PeerError("garbage")])
def test_what_one_job_breaks_rests_and_all_others_go_on_at_once(
    failure: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    clock = Clock()
    broken, sound = (Confined(Backoff(1.0, clock=clock), job=number) for number in (1, 2))
    failing, going = Act(failure), Act()
    with caplog.at_level(logging.WARNING):
        for _ in range(5):
            assert not broken.run(failing)
            assert sound.run(going)
    assert (failing.tries, going.tries) == (1, 5)
    assert [record.fields["cause"] for record in caplog.records] == [str(failure)]  # type: ignore[attr-defined]
    clock.now_s += 2.0
    failing.failure = None
    assert broken.run(failing)


def test_a_refusal_costs_no_pause_since_the_next_look_tells() -> None:
    act = Act(Refused("another member was faster"))
    confined = Confined(Backoff(1.0, clock=Clock()), job=1)
    assert not any(confined.run(act) for _ in range(3))
    assert act.tries == 3


def test_of_whoever_was_faster_at_ending_a_phase_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    confined = Confined(Backoff(1.0, clock=Clock()), job=1)
    with caplog.at_level(logging.INFO):
        assert not confined.run(Act(Overtaken("another party was faster")))
        assert not confined.run(Act(Refused("not cleared")))
    assert [record.fields["reason"] for record in caplog.records] == ["not cleared"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("failure", [KeyError("a bug"), ConfigurationError("a file is wrong")])
def test_errors_of_ours_and_of_the_operator_are_not_confined(failure: Exception) -> None:
    with pytest.raises(type(failure)):
        Confined(Backoff(1.0), job=1).run(Act(failure))


def test_the_loop_waits_faults_out_and_leaves_at_a_signal() -> None:
    failures: list[Exception | None] = [Fault("down"), None]

    def step() -> bool:
        failure = failures.pop(0) if failures else None
        if failure is not None:
            raise failure
        if not failures:
            os.kill(os.getpid(), signal.SIGTERM)
        return True

    kept = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    try:
        assert run(step, poll_s=0.001, clock=lambda: DEFAULT_CLOCK) == 0
    finally:
        signal.signal(signal.SIGTERM, kept[0])
        signal.signal(signal.SIGINT, kept[1])
    assert failures == []


def test_each_error_of_ours_has_its_exit_code_and_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for kind in (ConfigurationError, Refused, PeerError, Fault):
        assert guarded(Act(kind("cause; mend"))) == kind.exit_code
        assert capsys.readouterr().err == "domicile: cause; mend\n"
    assert DomicileError.exit_code == EXIT_BUG


def test_a_bug_shows_its_traceback_and_exits_70(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(Act(KeyError("a bug"))) == EXIT_BUG == 70
    told = capsys.readouterr().err
    assert "Traceback" in told
    assert "KeyError: 'a bug'" in told


BROKEN = """
import sys
import scripts.access
def broken(path):
    raise ZeroDivisionError("a bug")
scripts.access.Access = broken
from scripts.main import main
sys.argv = ["domicile", "job", "list", "--access", sys.argv[1]]
main()
"""


def test_a_bug_in_a_command_exits_70_too(tmp_path: Path) -> None:
    (tmp_path / "access.toml").touch()
    done = subprocess.run(
        [sys.executable, "-c", BROKEN, str(tmp_path / "access.toml")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == EXIT_BUG
    assert "ZeroDivisionError: a bug" in done.stderr


def test_a_wrong_file_is_one_line_and_exit_code_2_from_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text("name = 1\n")
    done = subprocess.run(
        [sys.executable, "-m", "scripts.main", "node", "run", str(tmp_path / "node.toml")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert str(tmp_path / "node.toml") in done.stderr
