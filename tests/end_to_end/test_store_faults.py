"""The region's store fails a running job in each way that stores do: it goes on, and says who was left out and why.

In each kind of store: a folder, and a fake of Kubo's protocol (no Kubo).
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from domicile.clock import JobClock
from domicile.protocol.round import ExclusionReason, JobPhase
from domicile.types import Digest
from node.delivery import LOOKS_A_WINDOW
from tests.end_to_end.conftest import Arena
from tests.end_to_end.frail_stores import FolderStore, FrailStore
from tests.end_to_end.story import Keeper, Story, Teller, collecting, lasting, until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(170)]

NODES = ("a", "b", "c", "d")


class Region(Keeper):
    """Also reaches into the store of region ``EU``."""

    def __init__(self, field: Arena, place: FrailStore) -> None:
        super().__init__(field)
        self.place = place

    def stored(self, name: str, number: int) -> list[Digest]:
        """Digests that a node put into the store in a global round, in this order."""
        found = [line for line in self.logged(name, "stored") if line["global_round"] == number]
        return [Digest(bytes.fromhex(str(line["digest"]).removeprefix("0x"))) for line in found]

    def move_journal(self, name: str, disk: Path) -> None:
        self.kill(name)
        for file in self.folder(name).glob("journal.sqlite*"):
            if file.is_file():
                shutil.move(file, disk)
        (self.folder(name) / "journal.sqlite").symlink_to(disk / "journal.sqlite")
        self.start(name)


def harmed(region: Region, outage_s: float, window_s: int) -> Story:
    """Round 0: the store is gone for a while. Round 1: a block is lost. Round 2: a block has other bytes, and its owner
    is dead. Without one of its members the shard goes on collecting, so that the committee has yet to read.
    """
    yield from until(collecting(0))
    with region.place.gone():
        yield from lasting(outage_s)
    yield from region.between(0, lambda: region.kill("c"))

    view = yield from until(lambda view: collecting(1)(view) and "d" in view.shards[0].committed)
    region.place.lose(region.stored("d", 1)[0])
    region.pass_time(view.now_s + window_s // LOOKS_A_WINDOW + 2)
    yield from until(lambda view: len(region.stored("d", 1)) > 1)
    region.start("c")
    yield from region.between(1, lambda: region.kill("c"))

    yield from until(lambda view: collecting(2)(view) and "d" in view.shards[0].committed)
    region.kill("d")
    region.place.spoil(region.stored("d", 2)[0])
    region.start("c")


def without_room(region: Region, outage_s: float) -> Story:
    yield from until(collecting(0))
    with region.place.full():
        yield from lasting(outage_s)


def left_out(outcome) -> list[tuple[int, str, ExclusionReason]]:
    """``(global round, node, reason)`` of every accepted regional model."""
    history = outcome.observer.history
    return [
        (key[1], outcome.ground.names[one.node], one.reason)
        for key, accepted in history.regional_models.items()
        for one in history.regional_tally(key, accepted.payload).proposal.excluded
    ]


def assert_completed(outcome, rounds: int) -> None:
    history = outcome.observer.history
    assert history.job_phases[-1].phase is JobPhase.COMPLETE
    assert len(history.global_models) == rounds
    assert outcome.lineage.verified, outcome.lineage.problems


def committed(outcome, number: int) -> list[str]:
    history = outcome.observer.history
    (key,) = (key for key in history.commits if key[1] == number)
    return sorted(outcome.ground.names[event.node] for event in history.commits_of(key))


OUTAGES = [
    pytest.param(3, 60, id="short"),
    pytest.param(60, 240, id="a minute", marks=[pytest.mark.chaos, pytest.mark.timeout(900)]),
]


@pytest.mark.parametrize(("outage_s", "window_s"), OUTAGES)
def test_a_store_that_is_gone_loses_a_block_or_spoils_one_costs_at_most_the_update_that_is_left_out(
    frail_network, small_network, outage_s, window_s
):
    field, stores = frail_network(small_network(global_rounds=3, window_s=window_s))
    region = Region(field, stores["EU"])
    teller = Teller(harmed(region, outage_s, window_s))
    outcome = region.field.run(teller)
    assert teller.over
    assert_completed(outcome, 3)
    assert left_out(outcome) == [(2, "d", ExclusionReason.UNAVAILABLE)]
    for number in range(3):
        assert committed(outcome, number) == list(NODES)
    for name in NODES:
        assert [line["global_round"] for line in region.logged(name, "sealed")] == [0, 1, 2]
    assert any(region.place.gone_cause in cause for cause in region.causes(*NODES))
    first, *others = region.stored("d", 1)
    assert others == [first]
    assert region.place.store.get_bytes(first, max_bytes=1 << 20)
    (reason,) = region.logged("agg-1", "left_out")
    assert "other bytes" in str(reason["detail"])
    searches = region.place.peer_searches
    assert not searches or f"{JobClock(window_s).peer_search_s:g}s" in searches


@pytest.mark.parametrize(("outage_s", "window_s"), OUTAGES)
def test_a_store_and_a_journal_without_room_are_waited_for_and_nothing_is_sealed_twice(
    arena, small_network, tmp_path, outage_s, window_s
):
    field, disk = arena(small_network(global_rounds=1, window_s=window_s)), tmp_path / "disk"
    region = Region(field, FolderStore(field.ground.folder / "stores" / "EU"))
    with region.place.on_small_disk(disk):
        region.move_journal("d", disk)
        teller = Teller(without_room(region, outage_s))
        outcome = region.field.run(teller)
        region.field.processes.stop()
    assert teller.over
    assert_completed(outcome, 1)
    assert left_out(outcome) == []
    assert committed(outcome, 0) == list(NODES)
    assert any("stores/EU" in cause and "free some space" in cause for cause in region.causes(*NODES))
    assert any("journal.sqlite cannot be written" in cause for cause in region.causes("d"))
    for name in NODES:
        assert len(region.logged(name, "sealed")) == 1
