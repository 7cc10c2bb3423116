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
from node.delivery import Delivery
from node.journal import NodeJournal, SealedAnswer, SealedUpdate
from node.step import Store, StoreAnswer

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
    delivery: Delivery
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
    return Desk(journal, outbox, Delivery(party, journal, outbox, JOB), sealed)


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


def answer_of(desk: Desk, rounds: tuple[int, int]) -> Digest:
    with desk.outbox.writer() as writer:
        writer.write(f"answer in round {rounds}".encode())
        digest = writer.commit()
    answer = SealedAnswer(global_round=rounds[0], regional_round=rounds[1], survivors=b"set", digest=digest)
    desk.journal.record_answer(JOB, answer)
    return digest


def test_update_and_answer_of_a_round_are_watched_over_side_by_side(desk: Desk) -> None:
    update, answer = desk.sealed[1, 1], answer_of(desk, (1, 1))
    desk.delivery.store(Store(1, 1, update), now_s=0, window_s=WINDOW_S)
    assert not desk.delivery.is_stored(answer, now_s=0)
    desk.delivery.store(StoreAnswer(1, 1, answer), now_s=10, window_s=WINDOW_S)
    assert desk.delivery.is_stored(update, now_s=15)
    assert desk.delivery.is_stored(answer, now_s=25)
    assert not desk.delivery.is_stored(update, now_s=16)
    assert not desk.delivery.is_stored(answer, now_s=26)


def test_an_answer_goes_when_its_round_is_over_and_one_that_is_lost_is_not_given_again(desk: Desk) -> None:
    kept, answer = answer_of(desk, (1, 1)), answer_of(desk, (1, 0))
    desk.delivery.leave_behind((1, 1))
    assert (desk.outbox.holds(kept), desk.outbox.holds(answer)) == (True, False)
    desk.delivery.store(StoreAnswer(1, 0, answer), now_s=0, window_s=WINDOW_S)
    assert [(one.act, one.global_round, one.regional_round) for one in desk.journal.skipped(JOB)] == [("answer", 1, 0)]
