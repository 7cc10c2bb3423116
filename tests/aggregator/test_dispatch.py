"""What a member sealed: used again, brought to its store again, and taken back where it came to nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from aggregator.dispatch import Dispatch
from aggregator.journal import AggregatorJournal
from domicile.clock import JobClock
from domicile.errors import DiskFault
from domicile.exchange import SealedModel
from domicile.outbox import Delivered, Outbox
from domicile.protocol.round import JobPhase, ShardPhase
from domicile.storage.store import BlockStore, open_store
from domicile.types import Digest, JobId

JOB = JobId(1)
MODEL = Digest(b"m" * 32)


class Member:
    """One committee member's dispatch over real stores; `history` is what it has seen of the ledger."""

    def __init__(self, folder: Path) -> None:
        self.region: BlockStore = open_store(f"dir:{folder / 'region'}")
        self.border: BlockStore = open_store(f"dir:{folder / 'border'}")
        self.folder = folder
        self.history: Any = SimpleNamespace(
            exports={},
            regional_tallies={},
            regional_models={},
            global_tallies={},
            global_models={},
            newest_global_round=None,
            clock=JobClock(40),
        )
        self.num_sealed = 0
        self.restart()

    def restart(self) -> None:
        """Another life, with what the last one left on disk."""
        self.journal = AggregatorJournal(self.folder / "journal.sqlite")
        self.outbox = Outbox(self.folder / "journal.sqlite")
        self.outbox.keep_only(self.journal.unsettled_digests())
        reported = SimpleNamespace(phase=ShardPhase.REPORTED)
        jobs = SimpleNamespace(shard_state=lambda job, shard: reported, regional_model_of=lambda job, shard: MODEL)
        party: Any = SimpleNamespace(border=self.border, region=self.region, jobs=jobs)
        self.dispatch = Dispatch(party, self.journal, self.outbox, JOB, self.history)

    def send(self, kind: str, store: BlockStore, deliver: Callable[[Digest], Delivered] | None = None) -> Digest:
        def seal() -> SealedModel:
            self.num_sealed += 1
            with self.outbox.writer() as writer:
                writer.write(f"{kind}, sealed for the {self.num_sealed}. time".encode())
                return SealedModel(digest=writer.commit(), sealed_bytes=1)

        return self.dispatch.send(
            kind, 0, (1, 2), MODEL, seal=seal, deliver=deliver or (lambda digest: self.outbox.deliver(digest, store))
        )

    def store_of(self, kind: str) -> BlockStore:
        return self.region if kind == "regional" else self.border

    def send_accepted(self, kind: str) -> Digest:
        """Also lets the chain accept it."""
        payload = self.send(kind, self.store_of(kind))
        accepted = SimpleNamespace(job=JOB, shard=0, model=MODEL, payload=payload)
        tallies = {b"id": SimpleNamespace(proposal=accepted)}
        if kind == "export":
            self.history.exports = {1: {0: accepted}}
        elif kind == "regional":
            self.history.regional_tallies = {(0, 1, 2): tallies}
            self.history.regional_models = {(0, 1, 2): accepted}
        else:
            self.history.global_tallies = {1: tallies}
            self.history.global_models, self.history.newest_global_round = {1: accepted}, 1
        return payload

    def lose(self, kind: str) -> None:
        """The store of a kind loses every block."""
        folder = self.folder / ("region" if kind == "regional" else "border")
        for block in (folder / "blocks").glob("*/*"):
            block.unlink()


def phases(shard: ShardPhase, job: JobPhase = JobPhase.TRAINING, global_round: int = 1) -> tuple[Any, Any]:
    return SimpleNamespace(phase=job, global_round=global_round), [SimpleNamespace(phase=shard, regional_round=2)]


OPEN = {
    "export": phases(ShardPhase.MATURE),
    "regional": phases(ShardPhase.AGGREGATING),
    "global": phases(ShardPhase.REPORTED, JobPhase.MERGING),
}
"""While a payload of each kind can still be accepted."""

READ_IN = {
    "export": phases(ShardPhase.REPORTED, JobPhase.MERGING),
    "regional": phases(ShardPhase.MATURE),
    "global": phases(ShardPhase.COLLECTING, global_round=2),
}
"""While others are to read what was accepted."""


@pytest.fixture
def member(tmp_path: Path) -> Member:
    return Member(tmp_path)


def killed(_digest: Digest) -> Delivered:
    raise KeyboardInterrupt


def test_what_was_sealed_before_a_kill_is_used_again(member: Member) -> None:
    with pytest.raises(KeyboardInterrupt):
        member.send("export", member.border, killed)
    member.restart()
    assert not list((member.folder / "border" / "pins").iterdir())
    first = member.send("export", member.border)
    member.restart()
    assert member.send("export", member.border) == first
    assert member.num_sealed == 1
    assert member.border.keep(first)


def test_what_is_lost_here_and_in_the_store_is_sealed_anew_at_the_next_try(member: Member) -> None:
    with pytest.raises(KeyboardInterrupt):
        member.send("regional", member.region, killed)
    (lost,) = member.journal.unsettled_digests()
    member.outbox.drop(lost)
    with pytest.raises(DiskFault, match="sealed anew"):
        member.send("regional", member.region)
    assert member.send("regional", member.region) != lost
    assert member.num_sealed == 2


def test_an_export_that_another_member_was_faster_with_is_taken_back(member: Member) -> None:
    payload = member.send("export", member.border)
    assert not member.dispatch.tidy(*phases(ShardPhase.MATURE))
    assert member.border.keep(payload)
    member.history.exports = {1: {0: SimpleNamespace(payload=Digest(b"o" * 32))}}
    assert member.dispatch.tidy(*phases(ShardPhase.REPORTED))
    assert not member.border.has(payload)
    assert member.journal.pinned_payloads(JOB) == []
    assert not member.outbox.holds(payload)
    assert not member.dispatch.tidy(*phases(ShardPhase.REPORTED))


@pytest.mark.parametrize(
    ("kind", "over"),
    [
        ("export", phases(ShardPhase.COLLECTING, global_round=2)),
        ("export", phases(ShardPhase.REPORTED, JobPhase.COMPLETE)),
        ("regional", phases(ShardPhase.REPORTED)),
        ("regional", phases(ShardPhase.STALLED)),
        ("regional", phases(ShardPhase.AGGREGATING, global_round=2)),
        ("global", phases(ShardPhase.REPORTED, JobPhase.COMPLETE)),
    ],
)
def test_what_came_to_something_stays_in_its_store_and_leaves_the_outbox_when_it_was_read(
    member: Member, kind: str, over: tuple[Any, Any]
) -> None:
    payload = member.send_accepted(kind)
    for still_to_be_read in (OPEN[kind], READ_IN[kind]):
        assert not member.dispatch.tidy(*still_to_be_read)
        assert member.outbox.holds(payload)
    assert member.dispatch.tidy(*over)
    assert not member.outbox.holds(payload)
    (known,) = member.journal.pinned_payloads(JOB)
    assert known == replace(known, digest=payload, settled=True)
    assert member.store_of(kind).keep(payload)


@pytest.mark.parametrize("kind", ["regional", "global"])
def test_a_model_that_has_a_successor_leaves_the_outbox(member: Member, kind: str) -> None:
    payload = member.send_accepted(kind)
    other = SimpleNamespace(payload=Digest(b"o" * 32))
    if kind == "regional":
        member.history.regional_models[0, 1, 3] = other
    else:
        member.history.global_models[2] = other
        member.history.newest_global_round = 2
    assert member.dispatch.tidy(*READ_IN[kind])
    assert not member.outbox.holds(payload)


@pytest.mark.parametrize("kind", ["regional", "export", "global"])
def test_what_is_lost_after_it_was_accepted_is_put_there_again_a_part_of_the_window_later(
    member: Member, kind: str
) -> None:
    payload = member.send_accepted(kind)
    assert not member.dispatch.look_after(100)
    member.lose(kind)
    assert not member.dispatch.look_after(109)
    assert not member.store_of(kind).has(payload)
    assert member.dispatch.look_after(110)
    assert member.store_of(kind).keep(payload)
    member.lose(kind)
    assert not member.dispatch.look_after(119)
    assert member.dispatch.look_after(120)
    assert member.store_of(kind).keep(payload)


def test_a_restart_looks_at_once(member: Member) -> None:
    payload = member.send_accepted("export")
    member.lose("export")
    member.restart()
    assert member.dispatch.look_after(100)
    assert member.border.keep(payload)
    assert member.num_sealed == 1


def test_what_the_chain_does_not_name_is_put_nowhere(member: Member) -> None:
    with pytest.raises(KeyboardInterrupt):
        member.send("export", member.border, killed)
    with pytest.raises(KeyboardInterrupt):
        member.send("regional", member.region, killed)
    for now_s in (100, 200):
        assert not member.dispatch.look_after(now_s)
    for store in ("border", "region"):
        assert not list((member.folder / store / "pins").iterdir())


def test_what_is_lost_in_both_places_is_let_go_of(member: Member) -> None:
    payload = member.send_accepted("global")
    member.lose("global")
    member.outbox.drop(payload)
    member.restart()
    assert not member.dispatch.look_after(100)
    assert member.journal.unsettled_payloads(JOB) == []
