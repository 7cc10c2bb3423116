"""What a party is told whatever state its journal and its jobs are in: the chain first, and each with its mend."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from domicile.chain.devnet import Devnet
from domicile.journal import LockedOut
from domicile.types import JobId
from node.journal import NodeJournal
from tests.verbs.job_ground import PARTIES, Region, as_new, settle
from tests.verbs.network_ground import Told, domicile


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    with Devnet() as devnet:
        yield settle(tmp_path_factory.mktemp("region"), devnet)


@pytest.fixture
def region(settled: Region) -> Iterator[Region]:
    with as_new(settled):
        yield settled


def does(region: Region, verb: str, name: str, *more: object) -> Told:
    """A verb of a party, with its answer as data."""
    path = region.config(name)
    return domicile(path.stem, verb, path, *more, "--json")


def told_status(region: Region, name: str) -> list[str]:
    """A party's status as a person reads it."""
    path = region.config(name)
    told = domicile(path.stem, "status", path)
    assert (told.code, told.err) == (0, "")
    return told.out.splitlines()


def test_a_damaged_journal_keeps_nobody_from_the_chain_s_word_and_is_told_with_its_mend(region: Region) -> None:
    region.orders()
    assert region.node("join", 1, "berlin", "--shard", "EU").code == 0
    path = region.config("berlin").parent / "journal.sqlite"
    for beside in path.parent.glob("journal.sqlite*"):
        beside.unlink()
    damaged = b"no journal at all, but as long as the head of one: " * 40
    path.write_bytes(damaged)
    lines = told_status(region, "berlin")
    assert "the gate: open" in lines
    assert any(line.startswith("journal: ") and "move it away" in line for line in lines)
    assert "job 1: joining, global round 1" in lines
    assert path.read_bytes() == damaged


def test_who_was_locked_out_of_a_payload_is_told_with_the_reason(region: Region) -> None:
    region.orders()
    journal = NodeJournal(region.config("berlin").parent / "journal.sqlite")
    account = PARTIES["eu-agg"].address
    journal.record_locked_out(
        JobId(1), LockedOut(payload="update of round 1.1", recipient=account, reason="its key card cannot be had")
    )
    journal.close()
    told = f"  {account} cannot open the update of round 1.1: its key card cannot be had"
    assert told_status(region, "berlin")[-1] == told


def test_a_node_that_left_by_hand_is_told_so_although_no_job_lists_it(region: Region) -> None:
    region.orders()
    assert region.node("join", 1, "berlin", "--shard", "EU").code == 0
    assert region.node("leave", 1, "berlin", "--yes").code == 0
    assert told_status(region, "berlin")[-1] == "  left by hand; it does not join again by itself"


@pytest.mark.parametrize("name", ["berlin", "world-agg"])
def test_who_retires_by_force_is_asked_with_all_that_follows(region: Region, name: str) -> None:
    region.orders()
    region.gather(1)
    block = region.chain.block_number()
    asked = does(region, "retire", name, "--force")
    assert (asked.code, asked.out, region.chain.block_number()) == (2, "", block)
    assert "It has a part in job 1: the contract then refuses every further act of this account" in asked.err
    assert "the others wait for it until their deadlines. Nobody is there to answer" in asked.err
    done = does(region, "retire", name, "--force", "--yes")
    assert (done.code, done.data["changed"], done.data["running_jobs"]) == (0, True, [1])
    assert not any(region.nodes.key_card_of(PARTIES[name].address))
    assert does(region, "status", name).data["gate"] == "not_registered"


def test_a_cancelled_job_holds_nobody_and_is_told_as_such(region: Region) -> None:
    region.orders()
    region.gather(1)
    assert region.does("cancel", 1, "--yes").code == 0
    assert does(region, "retire", "berlin", "--yes").data["running_jobs"] == []
    assert "job 1: cancelled, global round 1" in told_status(region, "berlin")
