"""The region's store fails a running job in each way that stores do: it goes on, and says who was left out and why."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path

import pytest

from domicile.protocol.round import ExclusionReason, JobPhase, ShardPhase
from domicile.storage.store import open_store
from domicile.types import Digest
from tests.small_disk import filled, small_disk

pytestmark = [pytest.mark.slow, pytest.mark.timeout(170)]

NODES = ("a", "b", "c", "d")


class Harm:
    """Does one harm a global round to the store of region ``EU``, and takes it back."""

    def __init__(self, field, outage_s: float) -> None:
        self.field = field
        self.outage_s = outage_s
        self.began_s: dict[int, float] = {}
        self.over: set[int] = set()
        self.damaged: Digest | None = None

    @property
    def store(self) -> Path:
        return self.field.ground.folder / "stores" / "EU"

    def logged(self, name: str) -> list[dict[str, object]]:
        lines = (self.field.ground.party_folder(name) / "log.jsonl").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def stored(self, name: str, number: int) -> list[Digest]:
        """Digests that a node put into the store in a global round, in this order."""
        found = [line for line in self.logged(name) if line["event"] == "stored" and line["global_round"] == number]
        return [Digest(bytes.fromhex(str(line["digest"]).removeprefix("0x"))) for line in found]

    def block(self, digest: Digest) -> Path:
        return self.store / "blocks" / digest.hex()[:2] / digest.hex()

    def outage(self, number: int) -> bool:
        """Whether an outage that began when it was first asked for is over now."""
        return time.monotonic() >= self.began_s.setdefault(number, time.monotonic()) + self.outage_s

    def start(self, name: str) -> None:
        folder = self.field.ground.party_folder(name)
        self.field.processes.start(name, "node", folder / "node.toml", folder / "log.jsonl")


class Damaging(Harm):
    """Round 0: the store is gone for a while; round 1: a block is lost; round 2: a block has other bytes, and its owner
    is dead.
    """

    def act(self, view) -> None:
        number = view.global_round
        if view.phase is not JobPhase.TRAINING or number in self.over:
            return
        if number == 0:
            self.vanish()
        else:
            self.spoil(number, view.shards[0])

    def vanish(self) -> None:
        away = self.store.with_name("away")
        if 0 not in self.began_s:
            self.store.rename(away)
        if self.outage(0):
            away.rename(self.store)
            self.over.add(0)

    def spoil(self, number: int, shard) -> None:
        if number not in self.began_s:
            # Without one of its members the shard goes on collecting, so that the committee has yet to read.
            self.field.processes.kill("c")
            self.began_s[number] = time.monotonic()
        elif self.damaged is None:
            if "d" in shard.committed and shard.phase is ShardPhase.COLLECTING:
                self.damage(number)
        elif number == 2 or len(self.stored("d", number)) > 1:
            self.start("c")
            self.damaged = None
            self.over.add(number)

    def damage(self, number: int) -> None:
        self.damaged = self.stored("d", number)[0]
        block = self.block(self.damaged)
        if number == 1:
            block.unlink()
        else:
            self.field.processes.kill("d")
            block.write_bytes(block.read_bytes()[:-1] + b"\xff")


class Filling(Harm):
    """Round 0: the disk of the store, and of the journal of node ``d``, is full for a while."""

    def __init__(self, field, outage_s: float, disk: Path) -> None:
        super().__init__(field, outage_s)
        self.full = filled(disk)

    def act(self, view) -> None:
        if view.phase is not JobPhase.TRAINING or 0 in self.over:
            return
        if 0 not in self.began_s:
            self.full.__enter__()
        if self.outage(0):
            self.full.__exit__(None, None, None)
            self.over.add(0)


def move_store(field, disk: Path) -> None:
    """Puts the store of region ``EU`` on a disk of its own."""
    folder = field.ground.folder / "stores" / "EU"
    shutil.move(folder, disk / "EU")
    folder.symlink_to(disk / "EU")


def move_journal(field, harm: Harm, name: str, disk: Path) -> None:
    """Puts a node's journal on a disk of its own."""
    field.processes.kill(name)
    for file in field.ground.party_folder(name).glob("journal.sqlite*"):
        if file.is_file():
            shutil.move(file, disk)
    (field.ground.party_folder(name) / "journal.sqlite").symlink_to(disk / "journal.sqlite")
    harm.start(name)


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
    pytest.param(3, 16, id="short"),
    pytest.param(60, 240, id="a minute", marks=[pytest.mark.chaos, pytest.mark.timeout(900)]),
]


@pytest.mark.parametrize(("outage_s", "window_s"), OUTAGES)
def test_a_store_that_is_gone_loses_a_block_or_spoils_one_costs_at_most_the_update_that_is_left_out(
    arena, small_network, outage_s, window_s
):
    field = arena(small_network(global_rounds=3, window_s=window_s))
    harm = Damaging(field, outage_s)
    outcome = field.run(harm.act)
    assert harm.over == {0, 1, 2}
    assert_completed(outcome, 3)
    assert left_out(outcome) == [(2, "d", ExclusionReason.UNAVAILABLE)]
    for number in range(3):
        assert committed(outcome, number) == list(NODES)
    for name in NODES:
        sealed = [line["global_round"] for line in harm.logged(name) if line["event"] == "sealed"]
        assert sealed == [0, 1, 2]
    causes = [str(line["cause"]) for name in NODES for line in harm.logged(name) if line["event"] == "fault"]
    assert any("stores/EU" in cause and "bring it back" in cause for cause in causes)
    first, *others = harm.stored("d", 1)
    assert others == [first]
    assert open_store(f"dir:{harm.store}").get_bytes(first, max_bytes=1 << 20)
    reasons = [line for line in harm.logged("agg-1") if line["event"] == "left_out"]
    assert ["other bytes" in str(line["detail"]) for line in reasons] == [True]


@pytest.mark.parametrize(("outage_s", "window_s"), OUTAGES)
def test_a_store_and_a_journal_without_room_are_waited_for_and_nothing_is_sealed_twice(
    arena, small_network, tmp_path, outage_s, window_s
):
    field = arena(small_network(global_rounds=1, window_s=window_s))
    with small_disk(tmp_path / "disk", size_kib=2048) as disk:
        move_store(field, disk)
        harm = Filling(field, outage_s, disk)
        move_journal(field, harm, "d", disk)
        outcome = field.run(harm.act)
        field.processes.stop()
    assert_completed(outcome, 1)
    assert left_out(outcome) == []
    assert committed(outcome, 0) == list(NODES)
    causes = [str(line["cause"]) for name in NODES for line in harm.logged(name) if line["event"] == "fault"]
    assert any("stores/EU" in cause and "free some space" in cause for cause in causes)
    causes = [str(line["cause"]) for line in harm.logged("d") if line["event"] == "fault"]
    assert any("journal.sqlite cannot be written" in cause for cause in causes)
    for name in NODES:
        assert [line["event"] for line in harm.logged(name)].count("sealed") == 1
