"""A committee whose first in turn is killed agrees all the same, before the window is over."""

from __future__ import annotations

import pytest

from benchmarks.recovery.measure import WINDOW_S, fail_over, running

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(300)]


def test_another_member_takes_over_within_one_collect_window_of_the_kill() -> None:
    with running(1) as scene:
        assert fail_over(scene, 0) < WINDOW_S
