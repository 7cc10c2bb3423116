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
        self.history: Any = SimpleNamespace(exports={})
        self.num_sealed = 0
        self.restart()

    def restart(self) -> None:
        """Another life, with what the last one left on disk."""
        self.journal = AggregatorJournal(self.folder / "journal.sqlite")
        self.outbox = Outbox(self.folder / "journal.sqlite")
        self.outbox.keep_only(self.journal.unsettled_digests())
        party: Any = SimpleNamespace(border=self.border, region=self.region)
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


def phases(shard: ShardPhase, job: JobPhase = JobPhase.TRAINING, global_round: int = 1) -> tuple[Any, Any]:
    return SimpleNamespace(phase=job, global_round=global_round), [SimpleNamespace(phase=shard, regional_round=2)]


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
        ("export", phases(ShardPhase.REPORTED)),
        ("regional", phases(ShardPhase.MATURE)),
        ("regional", phases(ShardPhase.AGGREGATING, global_round=2)),
        ("global", phases(ShardPhase.REPORTED, JobPhase.COMPLETE)),
    ],
)
def test_what_came_to_something_stays_in_its_store_and_leaves_the_outbox(
    member: Member, kind: str, over: tuple[Any, Any]
) -> None:
    store = member.region if kind == "regional" else member.border
    payload = member.send(kind, store)
    member.history.exports = {1: {0: SimpleNamespace(payload=payload)}}
    open_phases = {"export": ShardPhase.MATURE, "regional": ShardPhase.AGGREGATING, "global": ShardPhase.REPORTED}
    job = JobPhase.MERGING if kind == "global" else JobPhase.TRAINING
    assert not member.dispatch.tidy(*phases(open_phases[kind], job))
    assert member.outbox.holds(payload)
    assert member.dispatch.tidy(*over)
    assert not member.outbox.holds(payload)
    (known,) = member.journal.pinned_payloads(JOB)
    assert known == replace(known, digest=payload, settled=True)
    assert store.keep(payload)
