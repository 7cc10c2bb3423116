"""The verbs of a party that is made: registered, looked at beside its daemon, and retired."""

from __future__ import annotations

from dataclasses import replace

import pytest

from domicile.chain.account import Signer
from domicile.crypto.keys import HpkeKey
from domicile.key_lock import KeyLock
from domicile.protocol.eligibility import Refusal, Safeguard
from domicile.protocol.refusals import NotEligible
from domicile.types import DatasetId, JobId, ShardIndex
from node.journal import NodeJournal, SealedUpdate, Skipped
from tests.verbs.job_ground import ATTESTER, DIGEST, PARTIES, Region, commit
from tests.verbs.network_ground import PASSWORD, domicile, write_keys


@pytest.mark.parametrize("name", ["berlin", "eu-agg"])
def test_a_party_registers_once_and_tells_a_new_key_card_apart(region: Region, name: str) -> None:
    account = PARTIES[name].address
    assert region.party("retire", name, "--yes").code == 0
    first = region.party("register", name)
    assert (first.code, first.err, first.data["changed"]) == (0, "", True)
    assert region.nodes.key_card_of(account).hex() == first.data["key_card"]
    block = region.chain.block_number()
    again = region.party("register", name)
    assert (again.code, again.data) == (0, {**first.data, "changed": False})
    assert region.chain.block_number() == block

    (region.folder / name / "hpke.json").unlink()
    HpkeKey.generate().save(region.folder / name / "hpke.json", PASSWORD, scrypt_n=1024)
    path = region.config(name)
    told = domicile(path.stem, "register", path)
    assert (told.code, f"{account}: key card changed, key card " in told.out) == (0, True)
    assert region.nodes.key_card_of(account).hex() != first.data["key_card"]


PRIVATE = {
    "[task]\n": "[privacy]\nepsilon = 8.0\ndelta = 1e-5\nmax_grad_norm = 1.0\n[data]\nstratified = false\n[task]\n",
    'target = "y"\n': 'target = "y"\nstandardize = false\nmissing = "refuse"\n',
}


def offers(region: Region, name: str, *safeguards: str) -> dict[str, object]:
    """The operator writes down what the party is to offer, and registers it."""
    path = region.config(name)
    listed = ", ".join(f'"{one}"' for one in safeguards)
    path.write_text(f"safeguards = [{listed}]\n" + path.read_text(encoding="utf-8"), encoding="utf-8")
    told = region.party("register", name)
    assert told.code == 0, told.err
    return told.data


def test_who_does_not_offer_privacy_is_kept_out_of_a_job_that_asks_for_it_by_the_contract(region: Region) -> None:
    for old, new in PRIVATE.items():
        region.rewrite(region.spec, old, new)
    offered = ["differential_privacy", "secure_aggregation"]
    assert region.party("register", "berlin").data["safeguards"] == offered
    assert offers(region, "berlin")["safeguards"] == []
    assert region.party("register", "berlin").data["changed"] is False
    assert region.orders().code == 0
    told = region.node("join", 1, "berlin", "--shard", "EU")
    assert (told.code, told.err.count("\n")) == (3, 1)
    assert "MISSING_SAFEGUARD" in told.err
    account, requirement = PARTIES["berlin"].address, region.jobs.requirement_of(JobId(1), ShardIndex(0))
    with pytest.raises(NotEligible, match="MISSING_SAFEGUARD"):
        region.acts("berlin", region.jobs.join(JobId(1), ShardIndex(0), DatasetId(1)))
    assert region.nodes.refusal(account, replace(requirement, safeguards=Safeguard.NONE)) is Refusal.NONE
    region.rewrite(region.config("berlin"), "safeguards = []", 'safeguards = ["differential_privacy"]')
    assert region.party("register", "berlin").data["changed"] is True
    assert region.nodes.refusal(account, requirement) is Refusal.NONE


def test_a_committee_member_that_does_not_offer_privacy_is_named_before_the_job_is_ordered(region: Region) -> None:
    for old, new in PRIVATE.items():
        region.rewrite(region.spec, old, new)
    offers(region, "eu-agg")
    told = region.tells("create", region.spec)
    assert told.code == 0
    (warned,) = (line for line in told.out.splitlines() if "committees.EU: eu-agg " in line)
    assert "MISSING_SAFEGUARD" in warned


def test_a_safeguard_that_this_software_does_not_have_cannot_be_offered(region: Region) -> None:
    path = region.config("berlin")
    path.write_text('safeguards = ["tee"]\n' + path.read_text(encoding="utf-8"), encoding="utf-8")
    told = domicile("node", "register", path)
    assert (told.code, told.err.count("\n")) == (2, 1)
    assert "safeguards.0: " in told.err


def test_a_new_party_is_told_what_is_missing_and_who_can_mend_it(region: Region) -> None:
    fresh, folder = Signer.from_key(b"\x66" * 32), region.folder / "fresh"
    write_keys(folder, fresh)
    made = domicile(
        *("node", "init", "--folder", folder, "--name", "fresh", "--rpc", region.rpc_url, "--border", "dir:border"),
        *("--deployment", region.folder / "deployment.json", "--region", "dir:de", "--train", "rows.csv"),
    )
    assert (made.code, made.err) == (0, "")
    for place in ("de", "border"):
        (folder / place).mkdir()
    told = domicile("node", "status", folder / "node.toml")
    assert (told.code, told.err) == (0, "")
    assert told.out.splitlines() == [
        f"fresh, account {fresh.address}, 0 ether",
        "not registered",
        "not attested anywhere",
        "cleared for public data alone",
        "the gate: closed (not registered); `domicile node register` enters it",
        "journal: there is none yet, its daemon makes it",
        "in no job",
    ]
    assert not (folder / "journal.sqlite").exists()


def test_status_tells_attestation_clearance_and_suspension_as_they_change(region: Region) -> None:
    lines = region.status_of("berlin")
    assert any(line.startswith("attested in DE until 20") for line in lines)
    assert any("; of the attesters who signed it, 1 still count and 1 must" in line for line in lines)
    assert any(line.startswith("clearance for special data lasts until 20") for line in lines)
    assert "the gate: open" in lines
    account = PARTIES["berlin"].address
    region.governs(region.nodes.suspend(account, DIGEST))
    lines = region.status_of("berlin")
    assert "suspended by an auditor" in lines
    assert any(line.startswith("the gate: closed (suspended); an auditor has suspended it") for line in lines)
    region.governs(region.nodes.reinstate(account, DIGEST))
    region.governs(region.nodes.remove_attester(ATTESTER.address))
    lines = region.status_of("berlin")
    assert any(", 0 still count and 1 must" in line for line in lines)
    assert any(line.startswith("the gate: closed (attestation expired); the attesters of its") for line in lines)
    region.pass_time(31 * 24 * 3600)
    lines = region.status_of("berlin")
    assert any(line.startswith("attestation in DE ended 20") for line in lines)
    assert any(line.startswith("clearance for special data ended 20") for line in lines)


def test_status_tells_the_part_in_each_job_and_what_the_journal_remarks(region: Region) -> None:
    region.orders()
    region.gather(1)
    assert region.does("start", 1).code == 0
    region.rewrite(region.config("berlin"), '"../password"', '"../no-password"')
    journal = NodeJournal(region.journal_of("berlin"))
    journal.record_update(
        JobId(1), SealedUpdate(global_round=0, regional_round=0, digest=DIGEST, num_steps=2, sealed_bytes=3)
    )
    journal.record_skipped(
        JobId(1), Skipped(act="evaluate", global_round=0, regional_round=-1, reason="no held-out rows")
    )
    # Like a daemon, which holds both while somebody looks.
    with KeyLock(region.config("berlin").parent / "account.json"):
        lines = region.status_of("berlin")
    journal.close()
    assert lines[-4] == "job 1: training, global round 1"
    doing = "trained and sealed its update, is to commit it until 20"
    assert lines[-3].startswith(f"  EU, a member: collecting, regional round 1: {doing}")
    assert lines[-2:] == [
        "  last trained: round 1.1",
        "  gave up to evaluate in round 1: no held-out rows",
    ]
    region.governs(region.nodes.withdraw_clearance(PARTIES["berlin"].address, DIGEST))
    lines = region.status_of("berlin")
    assert any("; refused now: not cleared, an auditor must clear it" in one for one in lines)
    place = region.party("status", "eu-agg").data["jobs"][0]["shards"]["EU"]
    assert place.pop("doing").startswith("waits for updates until 20")
    assert place == {"part": "committee", "phase": "collecting", "regional_round": 1, "gate": "none"}
    assert region.status_of("world-agg")[-1] == "  on the global committee: waits for the shards"


def test_status_tells_which_jobs_a_party_stays_out_of_and_why(region: Region) -> None:
    region.orders()
    assert region.node("join", 1, "berlin", "--shard", "EU").code == 0
    assert region.node("leave", 1, "berlin", "--yes").code == 0
    region.rewrite(region.spec, "steps = 2", "steps = 3")
    region.orders()
    journal = NodeJournal(region.journal_of("berlin"))
    journal.record_declined(JobId(2), "its code is not approved")
    journal.close()
    assert region.status_of("berlin")[-3:] == [
        "stays out of job 1: left by hand",
        "stays out of job 2: its code is not approved",
        "in no job",
    ]


def test_a_damaged_journal_keeps_nobody_from_the_chain_s_word(region: Region) -> None:
    path = region.journal_of("berlin")
    path.write_bytes(b"no journal at all, but as long as the head of one: " * 40)
    lines = region.status_of("berlin")
    assert "the gate: open" in lines
    assert any(line.startswith("journal: ") and "move it away" in line for line in lines)
    assert path.read_bytes().startswith(b"no journal at all")


def test_a_party_retires_once_and_its_suspension_is_not_forgotten(region: Region) -> None:
    account = PARTIES["berlin"].address
    region.governs(region.nodes.suspend(account, DIGEST))
    told = domicile("node", "retire", region.config("berlin"), "--yes")
    assert (told.code, told.err) == (0, "")
    assert told.out == f"{account} is retired; end its daemon too, a start would register it anew\n"
    block = region.chain.block_number()
    again = region.party("retire", "berlin", "--yes")
    assert (again.code, again.data["changed"], region.chain.block_number()) == (0, False, block)
    assert region.party("status", "berlin").data["suspended"] is True


@pytest.mark.parametrize("name", ["berlin", "eu-agg", "world-agg"])
def test_nobody_retires_from_a_running_job_unless_forced(region: Region, name: str) -> None:
    region.orders()
    region.gather(1)
    account, block = PARTIES[name].address, region.chain.block_number()
    told = region.party("retire", name, "--yes")
    assert (told.code, told.out, told.err.count("\n"), region.chain.block_number()) == (2, "", 1, block)
    assert f"{account} has a part in job 1; " in told.err
    assert "repeat with --force: the contract then refuses every further act of this account" in told.err
    asked = region.party("retire", name, "--force")
    assert (asked.code, "It has a part in job 1: the contract then refuses" in asked.err) == (2, True)
    done = region.party("retire", name, "--force", "--yes")
    assert (done.code, done.data["changed"], done.data["running_jobs"]) == (0, True, [1])
    assert not any(region.nodes.key_card_of(account))
    assert region.party("status", name).data["gate"] == "not_registered"


def test_a_job_that_is_over_holds_nobody(region: Region) -> None:
    region.orders()
    region.gather(1)
    assert region.does("start", 1).code == 0
    commit(region, "berlin", 1)
    assert region.does("cancel", 1, "--yes").code == 0
    assert region.party("retire", "berlin", "--yes").code == 0
    assert "job 1: cancelled, global round 1" in region.status_of("berlin")
