import pytest

from benchmarks.gas.measure import LIMITS, measure
from benchmarks.gas.snapshot import differences, load, over_limit


@pytest.fixture(scope="module")
def figures() -> dict[str, int]:
    return measure()


def test_no_action_costs_more_than_its_limit(figures: dict[str, int]) -> None:
    assert over_limit(figures, LIMITS) == []


def test_the_committed_snapshot_is_up_to_date(figures: dict[str, int]) -> None:
    assert differences(figures, load()) == []


def test_a_ban_costs_the_same_however_many_nodes_there_are(figures: dict[str, int]) -> None:
    assert figures["ban, 1 node"] == figures["ban, 50 nodes"]


def test_a_figure_that_moved_or_vanished_is_told() -> None:
    assert differences({"join": 102, "commit": 100}, {"join": 100, "commit": 100}) == []
    assert len(differences({"join": 103, "vote": 1}, {"join": 100, "commit": 100})) == 3
    assert over_limit({"join": 81}, {"join": 80, "commit": 60}) == [
        "join: 81 gas, limit 80",
        "commit: None gas, limit 60",
    ]
