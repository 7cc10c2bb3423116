from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.interruption import SIGNALS, Interruption

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def own_handlers() -> Iterator[None]:
    """The test runner's own handling of signals comes back after each test."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def interrupt(number: int) -> None:
    os.kill(os.getpid(), number)
    time.sleep(0.01)


@pytest.mark.parametrize("number", SIGNALS)
def test_while_something_is_up_a_signal_is_raised(number: signal.Signals) -> None:
    with pytest.raises(KeyboardInterrupt), Interruption():
        interrupt(number)


def test_an_interrupt_waits_for_the_end_of_what_must_not_be_lost() -> None:
    done = []

    def start() -> None:
        with Interruption() as interruption:
            with interruption.held():
                interrupt(signal.SIGINT)
                done.append("started")
            done.append("went on")

    with pytest.raises(KeyboardInterrupt):
        start()
    assert done == ["started"]


def test_after_an_interrupt_another_one_adds_nothing() -> None:
    with pytest.raises(KeyboardInterrupt), Interruption():
        interrupt(signal.SIGINT)
    interrupt(signal.SIGINT)
    interrupt(signal.SIGTERM)


@pytest.mark.parametrize("number", SIGNALS)
def test_before_anything_is_started_a_signal_is_one_line_and_its_exit_code(number: signal.Signals) -> None:
    code = "import os, sys; from scripts.interruption import leave_at_once; leave_at_once(); os.kill(os.getpid(), %d)"
    ended = subprocess.run([sys.executable, "-c", code % number], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (130, "")
    assert ended.stderr == "domicile: interrupted; the command may be repeated\n"
