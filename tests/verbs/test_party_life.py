"""Register, status and retire, of nodes and aggregators alike, against a real chain."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aggregator.journal import AggregatorJournal
from domicile.chain.devnet import Devnet
from domicile.key_lock import KeyLock
from domicile.storage.store import open_store
from domicile.types import Digest
from node.journal import NodeJournal, SealedUpdate, Skipped
from tests.verbs.network_ground import DIGEST, as_new
from tests.verbs.party_life_ground import ATTESTERS, Place, found

ROLES = ("node", "aggregator")


@pytest.fixture(scope="module")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with Devnet() as devnet:
        yield found(tmp_path_factory.mktemp("place"), devnet)


@pytest.fixture
def place(founded: Place, tmp_path: Path) -> Iterator[Place]:
    with as_new(founded.network):
        yield Place(founded.network, tmp_path)


@pytest.mark.parametrize("role", ROLES)
def test_a_party_is_registered_once_and_its_key_card_is_where_others_look_for_it(place: Place, role: str) -> None:
    party = place.party(role, "one", 41)
    assert party.does("status").data["key_card"] is None
    first = party.does("register")
    assert (first.code, first.data["changed"], first.data["address"]) == (0, True, party.address)
    assert place.network.nodes.key_card_of(party.address).hex() == first.data["key_card"]
    assert open_store(f"dir:{place.folder}/border").has(Digest(bytes.fromhex(first.data["key_card"])))
    again = party.does("register")
    assert (again.code, again.data) == (0, {**first.data, "changed": False})
    assert "registered already" in party.tells("register").out


def test_another_hpke_key_becomes_another_key_card_and_that_is_said(place: Place) -> None:
    party = place.party("node", "one", 41)
    first = party.does("register").data
    party.change_hpke_key()
    told = party.tells("register")
    assert (told.code, "key card changed" in told.out) == (0, True)
    assert party.does("status").data["key_card"] not in (None, first["key_card"])
    assert party.does("register").data["changed"] is False


def test_status_tells_what_the_registry_says_and_who_can_mend_what(place: Place) -> None:
    party = place.party("node", "one", 41)
    told = party.tells("status").out
    assert "one, account " + party.address + ", 1 ether" in told
    assert "the gate: closed (not registered); `domicile node register` enters it" in told
    party.does("register")
    told = party.tells("status").out
    assert "not attested anywhere" in told
    assert "cleared for public data alone" in told
    assert "the gate: closed (attestation expired); the attesters of its jurisdiction must attest it" in told
    attested_s, cleared_s = place.attest(party), place.clear(party)
    data = party.does("status").data
    assert (data["jurisdiction"], data["attested_until_s"], data["quorum"]) == ("DE", attested_s, 2)
    assert set(data["attesters"]) == {one.address for one in ATTESTERS}
    assert (data["clearance"], data["cleared_until_s"], data["suspended"]) == ("special", cleared_s, False)
    assert data["gate"] == "none"
    told = party.tells("status").out
    assert "the gate: open" in told
    assert "in no job" in told


def test_status_tells_of_attesters_who_went_and_of_what_ended(place: Place) -> None:
    party = place.admit(place.party("node", "one", 41))
    place.governor.act(place.network.nodes.remove_attester(ATTESTERS[0].address))
    data = party.does("status").data
    assert (data["attesters"], data["gate"]) == ([ATTESTERS[1].address], "attestation_expired")
    assert "of the attesters who signed it, 1 still count and 2 must" in party.tells("status").out
    place.network.to(max(data["attested_until_s"], data["cleared_until_s"]))
    told = party.tells("status").out
    assert "attestation in DE ended 20" in told
    assert "clearance for special data ended 20" in told


def test_a_suspension_is_told_even_where_the_gate_names_another_reason_first(place: Place) -> None:
    party = place.party("node", "one", 41)
    party.does("register")
    place.governor.act(place.network.nodes.suspend(party.address, DIGEST))
    told = party.tells("status").out
    assert "suspended by an auditor" in told
    assert "closed (attestation expired)" in told


@pytest.mark.parametrize("role", ROLES)
def test_status_makes_no_journal_and_no_store_and_asks_for_no_password(place: Place, role: str) -> None:
    party = place.party(role, "one", 41)
    party.rewrite('password_file = "', '# password_file = "')
    assert party.does("status").code == 0
    assert sorted(path.name for path in place.folder.iterdir()) == ["one"]
    assert not (party.config.parent / "journal.sqlite").exists()


def test_status_and_register_work_while_a_daemon_holds_the_key(place: Place) -> None:
    party = place.party("node", "one", 41)
    with KeyLock(party.config.parent / "account.json"):
        assert party.does("register").data["changed"] is True
        assert party.does("status").data["key_card"] is not None


def test_status_tells_what_a_party_is_to_do_in_its_job_and_what_its_journal_says(place: Place) -> None:
    node, *helpers = (place.admit(place.party("node", f"node-{number}", number)) for number in (41, 42, 43))
    aggregator = place.admit(place.party("aggregator", "member", 44))
    job = place.job(member=node, helpers=helpers, aggregator=aggregator)

    (told,) = node.does("status").data["jobs"]
    assert (told["job"], told["phase"], told["global_round"]) == (job, "training", 1)
    assert told["shards"]["DE"]["doing"].startswith("is to train and commit until ")
    (told,) = aggregator.does("status").data["jobs"]
    assert told["shards"]["DE"]["doing"].startswith("waits for updates until ")
    assert told["global_committee"] == {"doing": "waits for the shards", "gate": "none"}

    journal = NodeJournal(node.config.parent / "journal.sqlite")
    update = SealedUpdate(global_round=0, regional_round=0, digest=DIGEST, num_steps=1, sealed_bytes=1)
    journal.record_update(job, update)
    (told,) = node.does("status").data["jobs"]
    assert told["shards"]["DE"]["doing"].startswith("trained and sealed its update, is to commit it until ")
    assert told["notes"] == ["last trained: round 1.1"]
    place.commit(node, job)
    lines = node.tells("status").out
    assert (
        "DE, a member: collecting, regional round 1: committed its update of this round, waits for the others" in lines
    )

    other = NodeJournal(helpers[0].config.parent / "journal.sqlite")
    other.record_skipped(job, Skipped(act="train", global_round=0, regional_round=0, reason="the loss is not finite"))
    lines = helpers[0].tells("status").out
    assert "sits this round out" in lines
    assert "gave up to train in round 1.1: the loss is not finite" in lines
    for one in helpers:
        place.commit(one, job)
    (told,) = aggregator.does("status").data["jobs"]
    assert told["shards"]["DE"]["doing"].startswith("is to merge and vote until ")
    place.governor.act(place.network.nodes.suspend(aggregator.address, DIGEST))
    lines = aggregator.tells("status").out
    assert "on the global committee: waits for the shards; refused now: suspended, an auditor has suspended it" in lines
    journal.close()
    other.close()


def test_a_job_that_was_declined_is_told_with_its_reason(place: Place) -> None:
    nodes = [place.admit(place.party("node", f"node-{number}", number)) for number in (41, 42, 43)]
    aggregator = place.admit(place.party("aggregator", "member", 44))
    outside = place.party("node", "outside", 45)
    job = place.job(member=nodes[0], helpers=nodes[1:], aggregator=aggregator)
    assert outside.does("status").data["jobs"] == []
    for journal in (
        NodeJournal(outside.config.parent / "journal.sqlite"),
        AggregatorJournal(aggregator.config.parent / "journal.sqlite"),
    ):
        journal.record_declined(job, "its task is not approved")
        journal.close()
    assert outside.does("status").data["stays_out"] == {f"{job}": "its task is not approved"}
    assert f"stays out of job {job}: its task is not approved" in outside.tells("status").out
    (told,) = aggregator.does("status").data["jobs"]
    assert (told["stays_out"], told["shards"]["DE"]["doing"]) == ("its task is not approved", "takes no part")
    assert "  stays out: its task is not approved" in aggregator.tells("status").out


def test_a_damaged_journal_keeps_nobody_from_what_the_chain_says(place: Place) -> None:
    party = place.admit(place.party("node", "one", 41))
    journal = party.config.parent / "journal.sqlite"
    journal.write_bytes(b"no journal at all, but as long as the head of one" * 40)
    told = party.tells("status")
    assert (told.code, "the gate: open" in told.out) == (0, True)
    assert "journal: " in told.out
    assert "move it away" in told.out
    assert journal.read_bytes().startswith(b"no journal at all")


@pytest.mark.parametrize("role", ROLES)
def test_a_party_retires_once_and_is_forgotten(place: Place, role: str) -> None:
    party = place.admit(place.party(role, "one", 41))
    asked = party.tells("retire")
    assert (asked.code, "repeat the command with --yes" in asked.err) == (2, True)
    assert any(place.network.nodes.key_card_of(party.address))
    told = party.does("retire", "--yes")
    assert (told.code, told.data) == (0, {"changed": True, "address": party.address, "running_jobs": []})
    data = party.does("status").data
    assert (data["key_card"], data["attested_until_s"], data["cleared_until_s"]) == (None, None, None)
    again = party.does("retire")
    assert (again.code, again.data) == (0, {"changed": False, "address": party.address})
    assert party.does("register").data["changed"] is True


def test_retiring_needs_no_store(place: Place) -> None:
    party = place.party("node", "one", 41)
    party.does("register")
    party.rewrite(f'region = "dir:{place.folder}/region"', 'region = "http://127.0.0.1:1"')
    assert party.does("retire", "--yes").code == 0


@pytest.mark.parametrize("role", ROLES)
def test_whoever_has_a_part_in_a_running_job_retires_only_by_force(place: Place, role: str) -> None:
    nodes = [place.admit(place.party("node", f"node-{number}", number)) for number in (41, 42, 43)]
    aggregator = place.admit(place.party("aggregator", "member", 44))
    job = place.job(member=nodes[0], helpers=nodes[1:], aggregator=aggregator)
    party = nodes[0] if role == "node" else aggregator
    refused = party.tells("retire", "--yes")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert f"has a part in job {job}; " in refused.err
    assert "repeat with --force: the contract then refuses every further act of this account" in refused.err
    asked = party.tells("retire", "--force")
    assert (asked.code, f"It has a part in job {job}" in asked.err) == (2, True)
    assert any(place.network.nodes.key_card_of(party.address))
    assert party.does("retire", "--yes", "--force").data["changed"] is True
    assert "refused now: not registered" in party.tells("status").out


def test_a_job_that_is_over_keeps_nobody(place: Place) -> None:
    nodes = [place.admit(place.party("node", f"node-{number}", number)) for number in (41, 42, 43)]
    aggregator = place.admit(place.party("aggregator", "member", 44))
    job = place.job(member=nodes[0], helpers=nodes[1:], aggregator=aggregator)
    place.governor.act(place.jobs.cancel(job))
    assert nodes[0].does("retire", "--yes").data["changed"] is True
    (told,) = aggregator.does("status").data["jobs"]
    assert (told["phase"], told["shards"]["DE"]["doing"]) == ("cancelled", "nothing to do")
