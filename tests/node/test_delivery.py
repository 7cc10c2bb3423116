"""What a node's outbox holds on to while its chain goes on, or goes back."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from domicile.outbox import Outbox
from domicile.party import Party
from domicile.storage.store import BlockStore, open_store
from domicile.types import Digest, JobId
from node.delivery import UpdateDelivery
from node.journal import NodeJournal, SealedUpdate
from node.step import Store

JOB = JobId(1)
ROUNDS = [(0, 0), (0, 1), (1, 0), (1, 1)]
WINDOW_S = 60


@dataclass(frozen=True)
class Resident:
    """All that a delivery asks of its party."""

    region: BlockStore


@dataclass(frozen=True)
class Desk:
    """A node that sealed an update in each round, none of which any store has seen."""

    journal: NodeJournal
    outbox: Outbox
    delivery: UpdateDelivery
    sealed: dict[tuple[int, int], Digest]

    def held(self) -> list[tuple[int, int]]:
        return [rounds for rounds, digest in self.sealed.items() if self.outbox.holds(digest)]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    journal, outbox = NodeJournal(tmp_path / "journal.sqlite"), Outbox(tmp_path / "journal.sqlite")
    sealed = {}
    for rounds in ROUNDS:
        with outbox.writer() as writer:
            writer.write(f"update of round {rounds}".encode())
            sealed[rounds] = writer.commit()
        update = SealedUpdate(
            global_round=rounds[0], regional_round=rounds[1], digest=sealed[rounds], num_steps=1, sealed_bytes=1
        )
        journal.record_update(JOB, update)
    party = cast(Party, Resident(region=open_store(f"dir:{tmp_path / 'region'}")))
    return Desk(journal, outbox, UpdateDelivery(party, journal, outbox, JOB), sealed)


def test_updates_of_rounds_that_are_over_are_let_go_of(desk: Desk) -> None:
    desk.delivery.leave_behind((1, 1))
    assert desk.held() == [(1, 1)]


def test_nothing_is_held_once_the_job_has_ended(desk: Desk) -> None:
    desk.delivery.leave_behind(None)
    assert desk.held() == []


def test_an_update_that_no_store_has_seen_outlasts_a_chain_that_went_back_below_its_round(desk: Desk) -> None:
    desk.delivery.leave_behind((0, 1))
    assert desk.held() == [(0, 1), (1, 0), (1, 1)]
    again = Store(global_round=1, regional_round=1, digest=desk.sealed[1, 1])
    desk.delivery.store(again, now_s=0, window_s=WINDOW_S)
    assert desk.delivery.is_stored(desk.sealed[1, 1], now_s=0)
    assert desk.journal.skipped(JOB) == []
