"""What is handed to support holds what support needs, and no secret, however it got near."""

from __future__ import annotations

import ast
import base64
import json
import stat
import zipfile
from pathlib import Path

import pytest
from click.testing import CliRunner

from domicile.crypto.keys import HpkeKey
from domicile.errors import ConfigurationError
from domicile.types import Address, Digest, JobId
from node.journal import NodeJournal, SealedUpdate, Skipped
from scripts.command import cli
from scripts.doctor import logs
from scripts.doctor.masking import Masker, masked_url
from tests.scripts.doctor_ground import ACCOUNT_KEY, HPKE_SEED, PASSWORD, Clinic, replace_account

ROOT = Path(__file__).resolve().parents[2]
OTHER = Address("0x70997970C51812dc3A010C7d01b50e0d17dc79C8")
CANARIES = {
    "password": PASSWORD,
    "user of the URL": "canaryuserinfo",
    "password of the URL": "canary-url-password",
    "query of the URL": "canaryquerytoken",
    "row": "canary-row-value",
    "heading": "canary_heading",
    "environment": "canary-environment",
    "comment": "canary-comment",
    "foreign log line": "canarylogline",
    "mail": "canary.person@example.org",
    "metric": "0.987654321012",
    "number of rows": "7654321",
    "another's account": OTHER,
}
KEYS = {"account": ACCOUNT_KEY, "hpke": HPKE_SEED, "seeds": HpkeKey.from_seed(HPKE_SEED)._seeds}


def plant(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    """Puts a canary wherever a secret may lie or stray to."""
    for name in ("AWS_SECRET_ACCESS_KEY", "DOMICILE_SOMETHING"):
        monkeypatch.setenv(name, CANARIES["environment"])
    port = clinic.devnet.rpc_url.rpartition(":")[2]
    url = f"http://{CANARIES['user of the URL']}:{CANARIES['password of the URL']}@127.0.0.1:{port}/"
    clinic.rewrite(clinic.devnet.rpc_url, f"{url}?apikey={CANARIES['query of the URL']}")
    with clinic.config.open("a", encoding="utf-8") as file:
        file.write(f"# {CANARIES['comment']} {CANARIES['mail']}\n")
    heading, row = CANARIES["heading"], CANARIES["row"]
    (clinic.folder / "rows.csv").write_text(f"x1,x2,y,{heading}\n{row},1,1,{row}\n", encoding="utf-8")
    journal = NodeJournal(clinic.folder / "journal.sqlite")
    job = JobId(1)
    sealed = SealedUpdate(
        global_round=0, regional_round=0, digest=Digest(b"\x33" * 32), num_steps=7654321, sealed_bytes=1000
    )
    journal.record_update(job, sealed)
    journal.record_evaluation(job, 0, {"accuracy": float(CANARIES["metric"])}, int(CANARIES["number of rows"]))
    journal.record_declined(job, f"ConfigurationError: rows.csv: level '{row}' is not known; add it")
    journal.record_skipped(
        job, Skipped(act="train", global_round=1, regional_round=0, reason=f"ValueError: could not convert {row}")
    )
    journal._db.execute("CREATE TABLE other_software (note TEXT)")
    journal._db.execute("INSERT INTO other_software VALUES (?)", (row,))
    journal.close()
    write_log(clinic.folder / "log.jsonl", url)


def write_log(file: Path, url: str) -> None:
    row, line = CANARIES["row"], CANARIES["foreign log line"]
    events = [
        {"time": "2026-01-01T00:00:00.000+00:00", "level": "info", "party": "clinic", "event": "started"},
        {"event": "given_up", "job": 1, "global_round": 1, "reason": f"ValueError: could not convert {row}"},
        {"event": "declined", "job": 1, "cause": f"level '{row}' is not known"},
        {"event": "fault", "job": 1, "cause": f"{url}?apikey={CANARIES['query of the URL']} is down for '{row}'"},
        {"event": "refused", "job": 1, "reason": f"NotEligible (account {OTHER}): {PASSWORD}"},
        {"event": "left_out", "job": 1, "node": OTHER, "reason": "UNOPENABLE", "detail": row},
        {"event": "committed", "job": 1, "surprise": row, "payload": f"mail {CANARIES['mail']}"},
        {"event": line, "job": 1},
        {"event": "stopping", "trace": f'  File "daemon.py", line 7, in step\n    raise ValueError({row!r})'},
    ]
    raw = [f"{line}: a print of a task", '  File "mine.py", line 3, in load', f"ValueError: {row}", '{"event": ["x"]}']
    file.write_text("\n".join([*map(json.dumps, events), *raw]) + "\n", encoding="utf-8")


def bundle_of(clinic: Clinic) -> dict[str, bytes]:
    file = clinic.folder / "bundle.zip"
    done = CliRunner().invoke(cli, ["doctor", str(clinic.config), "--bundle", str(file)], catch_exceptions=False)
    assert done.exit_code in (0, 1)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with zipfile.ZipFile(file) as bundle:
        return {name: bundle.read(name) for name in bundle.namelist()}


def spellings(secret: bytes) -> set[bytes]:
    encoded = base64.b64encode(secret).rstrip(b"=")
    return {secret, secret.hex().encode(), secret.hex().upper().encode(), encoded, encoded[:-1]}


@pytest.mark.parametrize("in_a_job", [True, False])
def test_no_secret_is_in_any_member_however_it_is_spelt(
    clinic: Clinic, monkeypatch: pytest.MonkeyPatch, in_a_job: bool
) -> None:
    plant(clinic, monkeypatch)
    if not in_a_job:
        replace_account(clinic.folder)
    members = bundle_of(clinic)
    secrets = {name: one.encode() for name, one in CANARIES.items()} | KEYS
    found = [
        (name, member)
        for member, raw in members.items()
        for name, secret in secrets.items()
        if any(one in raw or one.lower() in raw.lower() for one in spellings(secret))
    ]
    assert found == []
    for file in ("account.json", "hpke.json"):
        document = json.loads((clinic.folder / file).read_text(encoding="utf-8"))
        ciphertext = document.get("key") or document["crypto"]["ciphertext"]
        assert not [name for name, raw in members.items() if ciphertext.encode() in raw]


def test_it_holds_what_support_needs(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    plant(clinic, monkeypatch)
    members = bundle_of(clinic)
    told = {name: json.loads(raw) for name, raw in members.items() if name.endswith(".json")}
    states = {(one["check"], one["state"]) for one in told["findings.json"]}
    assert {("registration", "ok"), ("data", "problem")} <= states
    assert told["configuration.json"]["keys"]["account"] == str(clinic.folder / "account.json")
    assert told["configuration.json"]["chain"]["rpc_url"].endswith("/***")
    assert told["chain.json"]["account"] == clinic.account
    assert told["chain.json"]["standing"]["clearance"] == "special"
    assert [one["state"]["phase"] for one in told["chain.json"]["jobs"]] == ["joining"]
    tables = told["journal.json"]["tables"]
    assert tables["updates"]["rows"] == [{"job": 1, "global_round": 0, "regional_round": 0, "pinned": 1}]
    assert tables["declined"]["rows"] == [{"job": 1, "reason": "ConfigurationError"}]
    assert tables["other_software"] == {"entries": 1}
    assert {"domicile", "python", "torch", "web3"} <= told["versions.json"].keys()
    log = [json.loads(line) for line in members["log.jsonl"].splitlines()]
    assert [one["event"] for one in log if "event" in one][:3] == ["started", "given_up", "declined"]
    assert log[1] == {"event": "given_up", "job": 1, "global_round": 1, "error": "ValueError"}
    assert {"frame": ["mine.py", "3", "load"]} in log
    assert log[8]["trace"] == [["daemon.py", "7", "step"]]
    assert b"read it before you send it" in members["contents.txt"]


def test_a_bundle_is_made_of_a_party_that_is_ill_too(clinic: Clinic) -> None:
    clinic.rewrite(clinic.devnet.rpc_url, "http://127.0.0.1:1/v3/canarypathtoken")
    (clinic.folder / "account.json").unlink()
    (clinic.folder / "journal.sqlite").write_bytes(b"no journal")
    members = bundle_of(clinic)
    assert not any(b"canarypathtoken" in raw for raw in members.values())
    assert "error" in json.loads(members["chain.json"])
    assert "error" in json.loads(members["journal.json"])
    assert json.loads(members["log.jsonl"])["error"] == "log.jsonl: No such file or directory"


def test_a_bundle_is_made_of_a_party_whose_configuration_is_half_filled(clinic: Clinic) -> None:
    clinic.rewrite(f'rpc_url = "{clinic.devnet.rpc_url}"', 'rpc_url = ""')
    members = bundle_of(clinic)
    assert "error" in json.loads(members["chain.json"])
    found = {(one["check"], one["state"]) for one in json.loads(members["findings.json"])}
    assert {("configuration", "problem"), ("journal", "ok"), ("contracts", "skipped")} <= found


def test_no_file_is_ever_overwritten(clinic: Clinic) -> None:
    file = clinic.folder / "rows.csv"
    before = file.read_bytes()
    done = CliRunner().invoke(cli, ["doctor", str(clinic.config), "--bundle", str(file)])
    assert isinstance(done.exception, ConfigurationError)
    assert "exists already and is no bundle; name another file" in str(done.exception)
    assert file.read_bytes() == before


def test_a_second_run_examines_anew_and_leaves_the_bundle_as_it_is(clinic: Clinic) -> None:
    bundle_of(clinic)
    file = clinic.folder / "bundle.zip"
    before = file.read_bytes()
    (clinic.folder / "account.json").chmod(0o644)
    again = CliRunner().invoke(cli, ["doctor", str(clinic.config), "--bundle", str(file)])
    assert again.exit_code == 1
    assert "problem  key files" in again.output
    assert again.output.splitlines()[-1].startswith(f"{file} was made already and stays as it is; for a new one, name")
    told = CliRunner().invoke(cli, ["doctor", str(clinic.config), "--json", "--bundle", str(file)]).output
    assert json.loads(told)["bundle"] == {"file": str(file), "changed": False, "without_log": None}
    assert file.read_bytes() == before


@pytest.mark.parametrize(("log", "cause"), [(None, "log.jsonl: No such file or directory"), ("", "log.jsonl is empty")])
def test_a_bundle_without_a_log_says_so_and_how_to_get_one(clinic: Clinic, log: str | None, cause: str) -> None:
    if log is not None:
        (clinic.folder / "log.jsonl").write_text(log, encoding="utf-8")
    file = clinic.folder / "bundle.zip"
    told = CliRunner().invoke(cli, ["doctor", str(clinic.config), "--bundle", str(file)]).output
    assert f"no log is in it: {cause}; name the daemon's log with --log" in told
    assert "journalctl" in told


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://127.0.0.1:8545", "http://127.0.0.1:8545"),
        ("http://127.0.0.1:8545/", "http://127.0.0.1:8545"),
        ("https://host.example/v3/0123456789abcdef", "https://host.example/***"),
        ("https://user:word@host.example", "https://host.example/***"),
        ("https://host.example/?key=secret", "https://host.example/***"),
        ("https://host.example#secret", "https://host.example/***"),
        ("http://[::1]:8545/secret", "http://[::1]:8545/***"),
        ("http://[broken/secret", "***"),
    ],
)
def test_of_a_url_only_host_and_port_are_shown(url: str, shown: str) -> None:
    assert masked_url(url) == shown
    assert Masker([], own_address=None).text(f"({url}), it is down") == f"({shown}), it is down"


def test_accounts_of_others_and_digests_are_cut_short_and_the_own_stays() -> None:
    own = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"
    masker = Masker([], own_address=own)
    assert masker.text(f"{own} met {OTHER} over {'ab' * 32}") == f"{own} met 0x70997970… over abababab…"


def test_the_events_that_may_leave_are_those_of_the_daemons() -> None:
    named: set[str] = set()
    for package in ("domicile", "node", "aggregator"):
        for file in (ROOT / package).rglob("*.py"):
            for call in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "log_event":
                    named |= {str(one.value) for one in call.args if isinstance(one, ast.Constant)}
    assert named | {"fault", "peer_error"} == set(logs.EVENTS)
