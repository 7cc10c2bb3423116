"""The verbs of a party: made once, registered, looked at beside its daemon, and retired."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest

from aggregator.config import AggregatorConfig
from domicile.chain.account import Signer
from domicile.crypto.keys import HpkeKey
from domicile.errors import ConfigurationError
from domicile.key_lock import KeyLock
from domicile.learning.task import task_digest
from domicile.settings import load_settings
from domicile.types import JobId
from node.config import NodeConfig
from node.journal import NodeJournal, SealedUpdate, Skipped
from tests.verbs.job_ground import ATTESTER, DIGEST, PARTIES, Region, commit
from tests.verbs.network_ground import PASSWORD, Told, domicile, interrupt, write_account

BLANKS = {"node": ["chain.rpc_url", "stores.border", "data.train"], "aggregator": ["chain.rpc_url", "stores.border"]}
MODELS = {"node": NodeConfig, "aggregator": AggregatorConfig}
BOTH = pytest.mark.parametrize("role", ["node", "aggregator"])


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n", encoding="utf-8")
    return path


def init(role: str, folder: Path, password_file: Path, *more: object) -> Told:
    return domicile(
        role, "init", "--folder", folder, "--name", "clinic", "--password-file", password_file, "--json", *more
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
@BOTH
def test_a_folder_is_made_once_with_keys_that_only_their_owner_reads(
    role: str, tmp_path: Path, password_file: Path
) -> None:
    folder = tmp_path / "a" / "clinic"
    first = init(role, folder, password_file)
    assert (first.code, first.err, first.data["changed"], first.data["blanks"]) == (0, "", True, BLANKS[role])
    signer = Signer.load(folder / "account.json", PASSWORD)
    HpkeKey.load(folder / "hpke.json", PASSWORD)
    assert first.data["address"] == signer.address
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    before = contents(folder)
    assert sorted(before) == sorted(["account.json", "hpke.json", f"{role}.toml"])
    again = init(role, folder, password_file)
    assert (again.code, again.data) == (0, {**first.data, "changed": False})
    assert contents(folder) == before


@pytest.mark.slow
@BOTH
def test_a_deployment_file_that_is_not_there_yet_is_named_at_once(
    role: str, tmp_path: Path, password_file: Path
) -> None:
    folder, given = tmp_path / "clinic", tmp_path / "net" / "deployment.json"
    first = init(role, folder, password_file)
    assert first.data["absent"] == str(folder / "deployment.json")
    (folder / f"{role}.toml").unlink()
    said = ("--folder", folder, "--name", "clinic", "--password-file", password_file, "--deployment", given)
    told = domicile(role, "init", *said)
    assert (told.code, f"{given} is not there yet: get it from whoever governs the network" in told.out) == (0, True)
    given.parent.mkdir()
    given.touch()
    assert "not there yet" not in domicile(role, "init", *said).out


@BOTH
def test_the_configuration_tells_all_its_blanks_at_once_and_holds_once_they_are_filled(
    role: str, tmp_path: Path, password_file: Path
) -> None:
    init(role, tmp_path / "clinic", password_file)
    path = tmp_path / "clinic" / f"{role}.toml"
    with pytest.raises(ConfigurationError, match=f"{', '.join(BLANKS[role])}: still empty; fill in"):
        load_settings(path, MODELS[role])
    text = path.read_text(encoding="utf-8")
    assert text.count('= ""\n') == len(BLANKS[role])
    assert sum(line.startswith("#") for line in text.splitlines()) > 15
    for key, value in (("rpc_url", "http://127.0.0.1:8545"), ("border", "dir:border"), ("train", "rows.csv")):
        text = text.replace(f'{key} = ""', f'{key} = "{value}"')
    path.write_text(text, encoding="utf-8")
    settings = load_settings(path, MODELS[role])
    assert settings.chain.deployment == path.parent / "deployment.json"
    assert settings.journal == path.parent / "journal.sqlite"
    assert settings.stores.region == "http://127.0.0.1:5001"
    assert settings.metrics.port is None
    if isinstance(settings, NodeConfig):
        approved = {one.use: one.digest for one in settings.tasks}
        assert approved == {use: task_digest(use) for use in ("tabular", "images")}
    assert init(role, path.parent, password_file).data["blanks"] == []


def test_what_is_said_at_once_is_no_blank_and_is_never_changed_by_saying_it_otherwise(
    tmp_path: Path, password_file: Path
) -> None:
    folder = tmp_path / "clinic"
    said = {
        "--rpc": ("http://127.0.0.1:1", "http://127.0.0.1:2", "chain.rpc_url"),
        "--deployment": (tmp_path / "net.json", tmp_path / "other.json", "chain.deployment"),
        "--region": (f"dir:{tmp_path}/de", f"dir:{tmp_path}/fr", "stores.region"),
        "--border": ("http://10.0.0.1:5001", "http://10.0.0.2:5001", "stores.border"),
        "--train": (folder / "rows.csv", folder / "others.csv", "data.train"),
    }
    first = [word for option, (value, _, _) in said.items() for word in (option, value)]
    assert init("node", folder, password_file, *first).data["blanks"] == []
    settings = load_settings(folder / "node.toml", NodeConfig)
    assert (settings.chain.deployment, settings.data.train) == (tmp_path / "net.json", folder / "rows.csv")
    assert (settings.stores.region, settings.stores.border) == (f"dir:{tmp_path}/de", "http://10.0.0.1:5001")
    assert settings.keys.password_file == password_file
    assert tomllib.loads((folder / "node.toml").read_text())["data"]["train"] == "rows.csv"
    before = contents(folder)
    assert init("node", folder, password_file, *first).data["changed"] is False
    for option, (_, other, key) in said.items():
        told = init("node", folder, password_file, option, other)
        assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
        assert f"exists already with another {key}; edit it, or name another folder" in told.err
    assert contents(folder) == before


@pytest.mark.slow
def test_a_folder_can_be_moved_with_what_lies_in_it(tmp_path: Path, password_file: Path) -> None:
    folder = tmp_path / "here"
    told = init("node", folder, password_file, "--border", f"dir:{folder}/border", "--train", folder / "rows.csv")
    assert told.code == 0
    shutil.move(folder, tmp_path / "there")
    text = (tmp_path / "there" / "node.toml").read_text(encoding="utf-8")
    (tmp_path / "there" / "node.toml").write_text(text.replace('rpc_url = ""', 'rpc_url = "http://127.0.0.1:1"'))
    settings = load_settings(tmp_path / "there" / "node.toml", NodeConfig)
    assert settings.stores.border == f"dir:{tmp_path}/there/border"
    assert settings.data.train == tmp_path / "there" / "rows.csv"


@BOTH
@pytest.mark.parametrize(
    ("options", "which"),
    [("--region dir:x --border dir:./x", "the same store"), ("--border http://127.0.0.1:5001", "the local Kubo")],
)
def test_one_store_for_region_and_border_is_refused_before_anything_is_made(
    role: str, options: str, which: str, tmp_path: Path, password_file: Path
) -> None:
    told = init(role, tmp_path / "clinic", password_file, *options.split())
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert f"--region, --border: both are {which}, so that everything in the region could be read outside" in told.err
    assert not (tmp_path / "clinic").exists()


def test_an_interrupted_run_is_gone_on_with_under_its_password_alone(tmp_path: Path, password_file: Path) -> None:
    folder = tmp_path / "clinic"
    first = init("node", folder, password_file)
    account = (folder / "account.json").read_bytes()
    for name in ("hpke.json", "node.toml"):
        (folder / name).unlink()
    (folder / ".hpke.json.new").write_text("half a k", encoding="utf-8")
    (folder / ".node.toml.new").write_text("name = ", encoding="utf-8")
    other = tmp_path / "other"
    other.write_text("another password", encoding="utf-8")
    refused = init("node", folder, other)
    assert (refused.code, "the password is wrong" in refused.err) == (2, True)
    assert init("node", folder, password_file).data == {**first.data, "changed": True}
    assert (folder / "account.json").read_bytes() == account
    HpkeKey.load(folder / "hpke.json", PASSWORD)
    assert not list(folder.glob(".*"))


@pytest.mark.slow
@BOTH
def test_an_interrupt_at_any_moment_leaves_nothing_half_written(role: str, tmp_path: Path, password_file: Path) -> None:
    folder = tmp_path / "clinic"
    command = (role, "init", "--folder", folder, "--name", "clinic", "--password-file", password_file)
    for tenths in range(4, 44, 5):
        interrupt(command, tenths / 10)
        if (folder / "account.json").exists():
            Signer.load(folder / "account.json", PASSWORD)
        if (folder / "hpke.json").exists():
            HpkeKey.load(folder / "hpke.json", PASSWORD)
        if (folder / f"{role}.toml").exists():
            with pytest.raises(ConfigurationError, match="still empty"):
                load_settings(folder / f"{role}.toml", MODELS[role])
    assert init(role, folder, password_file).code == 0


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


@pytest.mark.parametrize("name", ["berlin", "eu-agg"])
def test_a_party_registers_once_and_tells_a_new_key_card_apart(region: Region, name: str) -> None:
    account = PARTIES[name].address
    assert does(region, "retire", name, "--yes").code == 0
    first = does(region, "register", name)
    assert (first.code, first.err, first.data["changed"]) == (0, "", True)
    assert region.nodes.key_card_of(account).hex() == first.data["key_card"]
    block = region.chain.block_number()
    again = does(region, "register", name)
    assert (again.code, again.data) == (0, {**first.data, "changed": False})
    assert region.chain.block_number() == block

    kept = (region.folder / name / "hpke.json").read_bytes()
    (region.folder / name / "hpke.json").unlink()
    HpkeKey.generate().save(region.folder / name / "hpke.json", PASSWORD, scrypt_n=1024)
    path = region.config(name)
    told = domicile(path.stem, "register", path)
    assert (told.code, f"{account}: key card changed, key card " in told.out) == (0, True)
    assert region.nodes.key_card_of(account).hex() != first.data["key_card"]
    (region.folder / name / "hpke.json").write_bytes(kept)


def test_a_new_party_is_told_what_is_missing_and_who_can_mend_it(region: Region) -> None:
    fresh, folder = Signer.from_key(b"\x66" * 32), region.folder / "fresh"
    write_account(folder / "account.json", fresh)
    HpkeKey.generate().save(folder / "hpke.json", PASSWORD, scrypt_n=1024)
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
    lines = told_status(region, "berlin")
    assert any(line.startswith("attested in DE until 20") for line in lines)
    assert any("; of the attesters who signed it, 1 still count and 1 must" in line for line in lines)
    assert any(line.startswith("clearance for special data lasts until 20") for line in lines)
    assert "the gate: open" in lines
    account = PARTIES["berlin"].address
    region.governs(region.nodes.suspend(account, DIGEST))
    lines = told_status(region, "berlin")
    assert "suspended by an auditor" in lines
    assert any(line.startswith("the gate: closed (suspended); an auditor has suspended it") for line in lines)
    region.governs(region.nodes.reinstate(account, DIGEST))
    region.governs(region.nodes.remove_attester(ATTESTER.address))
    lines = told_status(region, "berlin")
    assert any(", 0 still count and 1 must" in line for line in lines)
    assert any(line.startswith("the gate: closed (attestation expired); the attesters of its") for line in lines)
    region.pass_time(31 * 24 * 3600)
    lines = told_status(region, "berlin")
    assert any(line.startswith("attestation in DE ended 20") for line in lines)
    assert any(line.startswith("clearance for special data ended 20") for line in lines)


def test_status_tells_the_part_in_each_job_and_what_the_journal_remarks(region: Region) -> None:
    region.orders()
    region.gather(1)
    assert region.does("start", 1).code == 0
    region.rewrite(region.config("berlin"), '"../password"', '"../no-password"')
    journal = NodeJournal(region.config("berlin").parent / "journal.sqlite")
    journal.record_update(
        JobId(1), SealedUpdate(global_round=0, regional_round=0, digest=DIGEST, num_steps=2, sealed_bytes=3)
    )
    journal.record_skipped(
        JobId(1), Skipped(act="evaluate", global_round=0, regional_round=-1, reason="no held-out rows")
    )
    # Like a daemon, which holds both while somebody looks.
    with KeyLock(region.config("berlin").parent / "account.json"):
        lines = told_status(region, "berlin")
    journal.close()
    assert lines[-4] == "job 1: training, global round 1"
    doing = "trained and sealed its update, is to commit it until 20"
    assert lines[-3].startswith(f"  EU, a member: collecting, regional round 1: {doing}")
    assert lines[-2:] == [
        "  last trained: round 1.1",
        "  gave up to evaluate in round 1: no held-out rows",
    ]
    region.governs(region.nodes.withdraw_clearance(PARTIES["berlin"].address, DIGEST))
    lines = told_status(region, "berlin")
    assert any("; refused now: not cleared, an auditor must clear it" in one for one in lines)
    place = does(region, "status", "eu-agg").data["jobs"][0]["shards"]["EU"]
    assert place.pop("doing").startswith("waits for updates until 20")
    assert place == {"part": "committee", "phase": "collecting", "regional_round": 1, "gate": "none"}
    assert told_status(region, "world-agg")[-1] == "  on the global committee: waits for the shards"


def test_status_tells_which_jobs_a_party_stays_out_of_and_why(region: Region) -> None:
    region.orders()
    assert region.node("join", 1, "berlin", "--shard", "EU").code == 0
    assert region.node("leave", 1, "berlin", "--yes").code == 0
    region.rewrite(region.spec, "steps = 2", "steps = 3")
    region.orders()
    journal = NodeJournal(region.config("berlin").parent / "journal.sqlite")
    journal.record_declined(JobId(2), "its code is not approved")
    journal.close()
    assert told_status(region, "berlin")[-3:] == [
        "stays out of job 1: left by hand",
        "stays out of job 2: its code is not approved",
        "in no job",
    ]


def test_a_damaged_journal_keeps_nobody_from_the_chain_s_word(region: Region) -> None:
    path = region.config("berlin").parent / "journal.sqlite"
    path.write_bytes(b"no journal at all, but as long as the head of one: " * 40)
    lines = told_status(region, "berlin")
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
    again = does(region, "retire", "berlin", "--yes")
    assert (again.code, again.data["changed"], region.chain.block_number()) == (0, False, block)
    assert does(region, "status", "berlin").data["suspended"] is True


@pytest.mark.parametrize("name", ["berlin", "eu-agg", "world-agg"])
def test_nobody_retires_from_a_running_job_unless_forced(region: Region, name: str) -> None:
    region.orders()
    region.gather(1)
    account, block = PARTIES[name].address, region.chain.block_number()
    told = does(region, "retire", name, "--yes")
    assert (told.code, told.out, told.err.count("\n"), region.chain.block_number()) == (2, "", 1, block)
    assert f"{account} has a part in job 1; " in told.err
    assert "repeat with --force: the contract then refuses every further act of this account" in told.err
    asked = does(region, "retire", name, "--force")
    assert (asked.code, "It has a part in job 1: the contract then refuses" in asked.err) == (2, True)
    done = does(region, "retire", name, "--force", "--yes")
    assert (done.code, done.data["changed"], done.data["running_jobs"]) == (0, True, [1])
    assert not any(region.nodes.key_card_of(account))
    assert does(region, "status", name).data["gate"] == "not_registered"


def test_a_job_that_is_over_holds_nobody(region: Region) -> None:
    region.orders()
    region.gather(1)
    assert region.does("start", 1).code == 0
    commit(region, "berlin", 1)
    assert region.does("cancel", 1, "--yes").code == 0
    assert does(region, "retire", "berlin", "--yes").code == 0
    assert "job 1: cancelled, global round 1" in told_status(region, "berlin")
