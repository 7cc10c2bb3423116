"""The verbs of governance against a real chain: who may what, at once or after a delay, and safe to repeat."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from domicile.protocol.eligibility import Sensitivity
from domicile.protocol.jurisdiction import Tier
from domicile.types import JurisdictionCode
from scripts.documents import salted_digest
from tests.verbs.network_ground import GOVERNOR, NODE, OFFICE, OTHER, Network

DE, EU = JurisdictionCode("DE"), JurisdictionCode("EU")
DELAY_S = 3600


def changes(network: Network, *arguments: object, who: str = "governor") -> None:
    """Does something that was not done, and that a repetition finds done."""
    first = network.does(*arguments, who=who)
    assert (first.code, first.err, first.data["changed"], first.data["progress"]) == (0, "", True, "done")
    before = network.chain.block_number()
    again = network.does(*arguments, who=who)
    assert (again.code, again.data["changed"]) == (0, False)
    assert network.chain.block_number() == before


def delay(network: Network) -> None:
    """The governor imposes a delay on whatever it loosens."""
    changes(network, "role", "grant", "loosener", GOVERNOR.address, "--delay", DELAY_S)


def waits(network: Network, *arguments: object) -> None:
    """Is scheduled, waits, and is carried out by the same command once its time has come."""
    scheduled = network.does(*arguments)
    assert (scheduled.code, scheduled.data["changed"], scheduled.data["progress"]) == (0, True, "scheduled")
    waiting = network.does(*arguments)
    assert (waiting.code, waiting.data["changed"], waiting.data["progress"]) == (0, False, "waiting")
    told = network.tells(*arguments).out
    ready_s = waiting.data["ready_at_s"]
    assert f"{datetime.fromtimestamp(ready_s, UTC):%Y-%m-%d %H:%M:%S}" in told
    network.to(ready_s)
    done = network.does(*arguments)
    assert (done.code, done.data["changed"], done.data["progress"]) == (0, True, "done")


def listed(network: Network) -> dict[str, dict[str, object]]:
    return {one["code"]: one for one in network.does("jurisdiction", "list").data["jurisdictions"]}


def test_places_are_listed_as_a_tree_with_the_tier_and_the_quorum_that_count(network: Network) -> None:
    basis = network.document("law.txt", "the law")
    changes(network, "jurisdiction", "set", "US", "--tier", "open")
    changes(network, "jurisdiction", "set", "EU", "--tier", "conditional", "--basis", basis)
    changes(network, "jurisdiction", "set", "DE", "--parent", "EU", "--tier", "open")
    changes(network, "jurisdiction", "quorum", "EU", 2)
    found = listed(network)
    assert list(found) == ["US", "EU", "DE"]
    assert found["EU"]["legal_basis"] == hashlib.sha256(b"the law").hexdigest()
    assert found["DE"] == {
        "code": "DE",
        "parent": "EU",
        "tier": "open",
        "strictest_tier": "conditional",
        "quorum": 2,
        "legal_basis": None,
    }
    tree = network.tells("jurisdiction", "list").out.splitlines()
    assert tree[0].startswith("US       open, no quorum yet")
    assert tree[2].startswith("  DE       conditional (its own: open), quorum 2 attesters")


def test_where_no_place_is_listed_yet_it_is_said_so(network: Network) -> None:
    told = network.tells("jurisdiction", "set", "DE", "--tier", "open", "--parent", "XX")
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert "--parent: UnknownJurisdiction (code XX): it is not listed on this network (listed: none yet)" in told.err


def test_a_guardian_tightens_at_once_without_a_role_and_others_do_not(network: Network) -> None:
    changes(network, "jurisdiction", "set", "EU", "--tier", "open")
    refused = network.does("jurisdiction", "set", "EU", "--tier", "prohibited", who="office")
    assert (refused.code, refused.out) == (3, "")
    assert "NotGuardian" in refused.err
    assert "have governance appoint one first (`domicile jurisdiction guardian`)" in refused.err
    changes(network, "jurisdiction", "guardian", OFFICE.address)
    changes(network, "jurisdiction", "set", "EU", "--tier", "prohibited", who="office")
    assert network.places.tier_of(EU) is Tier.PROHIBITED
    changes(network, "jurisdiction", "guardian", OFFICE.address, "--dismiss")
    assert not network.places.is_guardian(OFFICE.address)


def test_what_loosens_waits_for_whoever_has_a_delay_and_the_same_command_carries_it_out(network: Network) -> None:
    changes(network, "jurisdiction", "set", "EU", "--tier", "conditional")
    delay(network)
    waits(network, "jurisdiction", "set", "EU", "--tier", "open")
    assert network.places.tier_of(EU) is Tier.OPEN
    waits(network, "jurisdiction", "quorum", "EU", 3)
    changes(network, "jurisdiction", "quorum", "EU", 4)
    waits(network, "jurisdiction", "quorum", "EU", 1)
    assert network.nodes.quorum_of(EU) == 1
    waits(network, "attester", "add", OTHER.address, "--for", "EU")
    changes(network, "attester", "remove", OTHER.address)


def test_the_parent_of_a_place_is_fixed_and_a_new_place_says_how_it_stands(network: Network) -> None:
    new = network.does("jurisdiction", "set", "DE")
    assert (new.code, new.err) == (2, "domicile: DE is new: say with --tier how it stands\n")
    changes(network, "jurisdiction", "set", "DE", "--tier", "open")
    moved = network.does("jurisdiction", "set", "DE", "--parent", "EU")
    assert moved.code == 2
    assert "DE has no parent, which is fixed since it was listed" in moved.err


def test_attesters_are_added_for_places_however_these_are_ordered_and_listed_with_them(network: Network) -> None:
    for code in ("EU", "US"):
        changes(network, "jurisdiction", "set", code, "--tier", "open")
    changes(network, "attester", "add", OTHER.address, "--for", "US", "--for", "EU")
    assert network.does("attester", "add", OTHER.address, "--for", "EU", "--for", "US").data["changed"] is False
    assert network.does("attester", "list").data["attesters"] == [
        {"attester": OTHER.address, "for": ["EU", "US"], "name": None}
    ]
    narrower = network.does("attester", "add", OTHER.address, "--for", "EU")
    assert narrower.code == 2
    assert "is an attester for EU, US; its places never change, remove it" in narrower.err
    changes(network, "attester", "remove", OTHER.address)
    assert network.does("attester", "list").data["attesters"] == []


def test_a_compliance_office_audits_once_it_has_the_role_and_no_longer_than_that(network: Network) -> None:
    policy = network.document("policy.md", "cleared for 90 days")
    clearing = ("clear", NODE.address, "--class", "special", "--until", "2100-01-31", "--policy", policy)
    before = network.does(*clearing, who="office")
    assert (before.code, before.out) == (2, "")
    assert "has no role for clear; an administrator gives it with `domicile role grant`" in before.err
    changes(network, "role", "grant", "auditor", OFFICE.address)
    changes(network, *clearing, who="office")
    standing = network.nodes.standing_of(NODE.address)
    assert standing.clearance is Sensitivity.SPECIAL
    assert datetime.fromtimestamp(standing.cleared_until_s, UTC) == datetime(2100, 2, 1, tzinfo=UTC)
    roles = network.does("access", "show", who="office").data["roles"]
    assert [one["role"] for one in roles] == ["auditor"]
    changes(network, "role", "revoke", "auditor", OFFICE.address)
    assert network.does("clear", NODE.address, "--withdraw", "--policy", policy, who="office").code == 2
    changes(network, "clear", NODE.address, "--withdraw", "--policy", policy)
    assert network.nodes.standing_of(NODE.address).cleared_until_s == 0


def test_a_clearance_of_some_days_ends_with_the_last_one_and_another_policy_is_another_clearance(
    network: Network,
) -> None:
    first, second = network.document("one.md", "1"), network.document("two.md", "2")
    changes(network, "clear", NODE.address, "--class", "personal", "--days", 30, "--policy", first)
    until_s = network.nodes.standing_of(NODE.address).cleared_until_s
    assert until_s % 86_400 == 0
    assert 30 * 86_400 < until_s - network.chain.timestamp() <= 31 * 86_400
    changes(network, "clear", NODE.address, "--class", "personal", "--days", 30, "--policy", second)


def test_a_suspension_is_salted_its_author_can_show_the_reason_and_it_can_be_lifted(network: Network) -> None:
    told = network.does("suspend", NODE.address, "--reason", "keys were stolen")
    assert told.data["changed"] is True
    assert network.nodes.standing_of(NODE.address).suspended
    kept = Path(told.data["kept"])
    document = json.loads(kept.read_text(encoding="utf-8"))
    assert kept.stat().st_mode & 0o077 == 0
    assert salted_digest(bytes.fromhex(document["salt"]), "keys were stolen").hex() == told.data["digest"]
    assert hashlib.sha256(b"keys were stolen").hexdigest() != told.data["digest"]
    assert network.does("suspend", NODE.address, "--reason", "keys were stolen").data["changed"] is False
    report = network.document("report.pdf", "all is well")
    lifted = network.does("suspend", NODE.address, "--lift", "--file", report)
    assert lifted.data["digest"] == hashlib.sha256(b"all is well").hexdigest()
    assert not network.nodes.standing_of(NODE.address).suspended
    assert network.does("suspend", NODE.address, "--lift", "--file", report).data["changed"] is False


def test_a_suspension_by_an_auditor_who_must_wait_is_carried_out_with_the_reason_it_was_scheduled_with(
    network: Network,
) -> None:
    changes(network, "role", "grant", "auditor", GOVERNOR.address, "--delay", DELAY_S)
    waits(network, "suspend", NODE.address, "--reason", "a reason")
    assert network.nodes.standing_of(NODE.address).suspended


@pytest.mark.parametrize("verb", [("suspend", "--reason", "x"), ("clear", "--class", "special", "--days", "9")])
def test_an_account_that_is_not_registered_is_refused_by_name(network: Network, verb: tuple[str, ...]) -> None:
    policy = ("--policy", network.document("p.md", "p")) if verb[0] == "clear" else ()
    refused = network.does(verb[0], OTHER.address, *verb[1:], *policy)
    assert (refused.code, refused.out, refused.err.count("\n")) == (3, "", 1)
    assert "UnknownNode" in refused.err
    assert not [one for one in (network.folder / "governor" / "reasons").glob("*") if '"x"' in one.read_text()]


def test_roles_are_listed_with_their_delays_and_a_shorter_delay_with_its_moment(network: Network) -> None:
    changes(network, "role", "grant", "loosener", OFFICE.address, "--delay", DELAY_S)
    changes(network, "role", "grant", "loosener", OFFICE.address, "--delay", 60)
    rows = network.does("role", "list").data["roles"]
    [office] = [one for one in rows if one["account"] == OFFICE.address]
    assert (office["role"], office["delay_s"], office["next_delay_s"]) == ("loosener", DELAY_S, 60)
    assert {one["role"] for one in rows if one["account"] == GOVERNOR.address} == {
        "administrator",
        "auditor",
        "governor",
        "loosener",
        "canceller",
    }
    line = next(one for one in network.tells("role", "list").out.splitlines() if OFFICE.address in one)
    assert re.search(r"loosener, each act waits 3,600 s \(60 s from 20\d\d-", line)


def test_the_last_administrator_is_not_lost_by_a_slip(network: Network) -> None:
    slip = network.does("role", "revoke", "administrator", GOVERNOR.address)
    assert (slip.code, slip.out) == (2, "")
    assert "is the last administrator" in slip.err
    changes(network, "role", "grant", "administrator", OFFICE.address)
    changes(network, "role", "revoke", "administrator", GOVERNOR.address)
    assert network.does("role", "revoke", "administrator", OFFICE.address, who="office").code == 2
    assert network.does("role", "revoke", "administrator", OFFICE.address, "--yes", who="office").data["changed"]


def test_a_role_granted_by_an_administrator_with_a_delay_waits(network: Network) -> None:
    changes(network, "role", "grant", "administrator", GOVERNOR.address, "--delay", DELAY_S)
    waits(network, "role", "grant", "auditor", OFFICE.address)
    assert [one["role"] for one in network.does("access", "show", who="office").data["roles"]] == ["auditor"]


def test_somebody_without_a_part_sees_the_network_and_is_told_so(network: Network) -> None:
    shown = network.tells("access", "show", who="other")
    assert (shown.code, shown.out.splitlines()[0]) == (0, f"account {OTHER.address}")
    assert shown.out.splitlines()[-1] == "no role on this network"
    changes(network, "jurisdiction", "set", "EU", "--tier", "open")
    changes(network, "attester", "add", OTHER.address, "--for", "EU")
    assert network.does("access", "show", who="other").data["attester"] is True
