"""Each thing that can be wrong with a party, provoked for real, is named with its mend; a healthy one is left alone."""

from __future__ import annotations

import json
import shutil
import socket
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner
from prometheus_client import start_http_server

from domicile import metrics
from domicile.chain.account import Signer
from domicile.chain.devnet import DEVELOPMENT_MNEMONIC, Devnet
from domicile.chain.sender import GWEI, Sender
from domicile.errors import ConfigurationError
from domicile.protocol.budget import Budget
from domicile.protocol.eligibility import Safeguard, Sensitivity
from domicile.protocol.jurisdiction import Tier
from domicile.types import Address, DatasetId, Digest
from node.journal import NodeJournal
from scripts.command import cli
from scripts.doctor.configuration import configuration
from scripts.doctor.finding import State
from scripts.doctor.network import GAS
from tests.scripts.doctor_ground import (
    ATTESTER,
    DAY_S,
    DIGEST,
    PASSWORD,
    PLACE,
    Clinic,
    deployment_with,
    order_and_join,
    order_masked,
    order_privately,
    replace_account,
    told,
)

ROOT = Path(__file__).resolve().parents[2]


def test_a_healthy_node_has_no_problem_and_no_warning(clinic: Clinic) -> None:
    findings = clinic.findings()
    assert [one.line() for one in findings if one.state is not State.OK] == []
    assert told(findings, "jobs", State.OK) == ["job 1, shard 0: joining, open to this account"]
    assert told(findings, "data", State.OK) == ["job 1: the data fits its task"]
    assert all(one.check and "\n" not in one.line() for one in findings)


def edit(old: str, new: str, name: str = "node.toml") -> Callable[[Clinic], None]:
    return lambda clinic: clinic.rewrite(old, new.replace("FOLDER", str(clinic.folder)), name)


def in_config(key: str, value: str) -> Callable[[Clinic], None]:
    """Gives a key another value, whatever it was."""

    def act(clinic: Clinic) -> None:
        lines = clinic.config.read_text(encoding="utf-8").splitlines()
        assert any(line.startswith(f"{key} =") for line in lines)
        told_value = value.replace("FOLDER", str(clinic.folder))
        changed = [f'{key} = "{told_value}"' if line.startswith(f"{key} =") else line for line in lines]
        clinic.config.write_text("\n".join(changed) + "\n", encoding="utf-8")

    return act


def rpc(method: str, *parameters: object) -> Callable[[Clinic], None]:
    return lambda clinic: clinic.chain.request(method, *parameters)


def remove_code(clinic: Clinic) -> None:
    clinic.chain.request("anvil_setCode", clinic.party.deployment.training_jobs, "0x")


def other_version(clinic: Clinic) -> None:
    abis = {**clinic.party.deployment.abis, "NodeRegistry": "0" * 64}
    deployment_with(clinic.folder, abis=abis)


def same_store(clinic: Clinic) -> None:
    shutil.rmtree(clinic.folder / "region")
    (clinic.folder / "region").symlink_to(clinic.folder / "border")


def away(clinic: Clinic) -> None:
    shutil.rmtree(clinic.folder / "region")


def other_folder(clinic: Clinic) -> None:
    away(clinic)
    (clinic.folder / "region").mkdir()
    (clinic.folder / "region" / "letter").touch()


def file_as_store(clinic: Clinic) -> None:
    shutil.rmtree(clinic.folder / "region")
    (clinic.folder / "region").touch()


def empty_account(clinic: Clinic) -> None:
    clinic.chain.request("anvil_setBalance", clinic.account, "0x0")


def raise_base_fee(clinic: Clinic) -> None:
    clinic.chain.request("anvil_setNextBlockBaseFeePerGas", hex(200 * GWEI))
    clinic.chain.request("evm_mine")


def foreign_address(clinic: Clinic) -> None:
    file = clinic.folder / "account.json"
    document = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({**document, "address": ATTESTER.address.removeprefix("0x")}), encoding="utf-8")


def change_card(clinic: Clinic) -> None:
    party = clinic.party
    party.sender.act(party.nodes.update_key_card(Digest(b"\x22" * 32), Safeguard.NONE))


def remove_attester(clinic: Clinic) -> None:
    clinic.govern(clinic.nodes.remove_attester(ATTESTER.address))


def revoke(clinic: Clinic) -> None:
    clinic.chain.request("anvil_setBalance", ATTESTER.address, hex(10**18))
    Sender(clinic.chain, ATTESTER).act(clinic.nodes.revoke_attestation(clinic.account, DIGEST))


def prohibit_place(clinic: Clinic) -> None:
    governor = Sender(clinic.chain, Signer.from_mnemonic(DEVELOPMENT_MNEMONIC))
    governor.act(clinic.places.set_guardian(governor.address, True))
    governor.act(clinic.places.tighten(PLACE, Tier.PROHIBITED, DIGEST))


def clear_for(sensitivity: Sensitivity) -> Callable[[Clinic], None]:
    def act(clinic: Clinic) -> None:
        clinic.govern(clinic.nodes.clear(clinic.account, sensitivity, DIGEST, clinic.now_s + 90 * DAY_S))

    return act


def clear_until(days: int) -> Callable[[Clinic], None]:
    def act(clinic: Clinic) -> None:
        until_s = clinic.now_s + days * DAY_S
        clinic.govern(clinic.nodes.clear(clinic.account, Sensitivity.SPECIAL, DIGEST, until_s))

    return act


def bind_journal(clinic: Clinic) -> None:
    with closing(NodeJournal(clinic.folder / "journal.sqlite")) as journal:
        journal.bind("the first")


def write_journal(version: int) -> Callable[[Clinic], None]:
    def act(clinic: Clinic) -> None:
        with closing(sqlite3.connect(clinic.folder / "journal.sqlite")) as connection:
            connection.execute(f"PRAGMA user_version = {version}")

    return act


def damage(name: str) -> Callable[[Clinic], int]:
    return lambda clinic: (clinic.folder / name).write_bytes(b"no such file" * 999)


def append(name: str, text: str) -> Callable[[Clinic], None]:
    def act(clinic: Clinic) -> None:
        with (clinic.folder / name).open("a", encoding="utf-8") as file:
            file.write(text)

    return act


PROBLEMS: list[tuple[str, str, Callable[[Clinic], object]]] = [
    ("key files", "run chmod 600 on it", lambda c: (c.folder / "account.json").chmod(0o644)),
    ("key files", "run chmod 600 on it", lambda c: (c.folder / "password").chmod(0o640)),
    ("key files", "keys.hpke: ", lambda c: (c.folder / "hpke.json").unlink()),
    ("account", "with an address; correct it", edit('"address"', '"Address"', "account.json")),
    ("password", "but holds the key of", foreign_address),
    ("password", "the password is wrong", edit(PASSWORD, "another one", "password")),
    ("password", "it is no keystore of version 3", edit('"version": 3', '"version": 9', "account.json")),
    ("endpoint", "cannot be reached", in_config("rpc_url", "http://127.0.0.1:1")),
    ("endpoint", "cannot be read", lambda c: (c.folder / "deployment.json").unlink()),
    ("endpoint", "the deployment file is for chain 5", lambda c: deployment_with(c.folder, chain_id=5)),
    ("contracts", "there is no code at", remove_code),
    ("contracts", "deployed with another interface", other_version),
    ("clock", "s behind the chain's, 120 s are tolerated", lambda c: c.pass_time(3600)),
    ("stores", "region and border are the same store", same_store),
    ("stores", "region is a file", file_as_store),
    ("stores", "region is not there; bring it back", away),
    ("stores", "region is no store, and not empty", other_folder),
    ("stores", "stores.border: store 127.0.0.1:1 cannot be reached", in_config("border", "http://127.0.0.1:1")),
    ("stores", "stores.region: store 127.0.0.1:1 cannot be reached", in_config("region", "http://127.0.0.1:1")),
    ("stores", "is no store; write dir:PATH", in_config("border", "nowhere")),
    ("balance", "is enough for 0 rounds", empty_account),
    ("balance", "lets nothing be sent", raise_base_fee),
    ("sealing key", "another key card of", change_card),
    ("registration", "is not registered", lambda c: replace_account(c.folder)),
    ("attestation", "it ended on", lambda c: c.pass_time(31 * DAY_S)),
    ("attestation", "are still attesters", remove_attester),
    ("attestation", "there is none in force", revoke),
    ("clearance", "it ended on", lambda c: c.pass_time(31 * DAY_S)),
    ("clearance", "there is none", lambda c: c.govern(c.nodes.withdraw_clearance(c.account, DIGEST))),
    ("clearance", "it is for personal, a running job asks for special", clear_for(Sensitivity.PERSONAL)),
    ("suspension", "an auditor has suspended", lambda c: c.govern(c.nodes.suspend(c.account, DIGEST))),
    ("jobs", "refused: suspended", lambda c: c.govern(c.nodes.suspend(c.account, DIGEST))),
    ("jobs", "refused: tier forbids", prohibit_place),
    ("tasks", "the file or the installed version changed", append("mine.py", "# one line more\n")),
    ("tasks", "cannot be read; correct the path", lambda c: (c.folder / "mine.py").unlink()),
    ("data", "no column 'x2'", edit("x1,x2,y", "x1,x3,y", "rows.csv")),
    ("data", "no such file", lambda c: (c.folder / "rows.csv").unlink()),
    ("data", "column 'x1' holds text", append("rows.csv", "a word,1.0,1\n")),
    ("journal", "has version 99", write_journal(99)),
    ("journal", "belongs to another deployment, the first, and not to TrainingJobs 0x", bind_journal),
    ("journal", "cannot be read", damage("journal.sqlite")),
    ("journal", "does not exist; create it", in_config("journal", "FOLDER/nowhere/journal.sqlite")),
]


@pytest.mark.parametrize(("check", "text", "break_it"), PROBLEMS, ids=lambda one: one if isinstance(one, str) else "")
def test_a_problem_is_named_with_its_mend(
    clinic: Clinic, check: str, text: str, break_it: Callable[[Clinic], object]
) -> None:
    break_it(clinic)
    found = told(clinic.findings(), check, State.PROBLEM)
    assert any(text in one for one in found), found
    assert all(";" in one or "Mend:" in one for one in found), found


WARNINGS: list[tuple[str, str, Callable[[Clinic], object]]] = [
    ("attestation", "it ends on", lambda c: c.pass_time(25 * DAY_S)),
    ("clearance", "ask an auditor for a new one in time", clear_until(3)),
    ("key card", "nobody can seal to this party", lambda c: shutil.rmtree(c.folder / "border" / "blocks")),
]


@pytest.mark.parametrize(("check", "text", "break_it"), WARNINGS, ids=lambda one: one if isinstance(one, str) else "")
def test_what_will_become_a_problem_is_a_warning(
    clinic: Clinic, check: str, text: str, break_it: Callable[[Clinic], object]
) -> None:
    break_it(clinic)
    found = told(clinic.findings(), check, State.WARNING)
    assert any(text in one for one in found), found


def test_an_attestation_that_ends_before_a_running_job_may_is_a_warning(clinic: Clinic) -> None:
    assert told(clinic.findings(), "attestation", State.WARNING) == []
    order_and_join(clinic.folder, collect_window_s=4 * DAY_S)
    for check in ("attestation", "clearance"):
        assert "job 2 may last until" in told(clinic.findings(), check, State.WARNING)[0]


def test_a_chain_that_stands_still_or_a_clock_that_is_fast_is_a_warning(clinic: Clinic) -> None:
    found = told(clinic.findings(clock=lambda: clinic.now_s + 600.0), "clock", State.WARNING)
    assert ["the newest block is 600 s old" in one for one in found] == [True]


def test_another_chain_behind_the_endpoint_is_named(clinic: Clinic) -> None:
    with Devnet(chain_id=4242) as other:
        in_config("rpc_url", other.rpc_url)(clinic)
        assert "the endpoint is chain 4242" in told(clinic.findings(), "endpoint", State.PROBLEM)[0]


def test_a_full_disk_is_a_problem_for_as_many_rounds_as_are_asked_for(clinic: Clinic) -> None:
    free = 300 << 20
    findings = clinic.findings(free_bytes=lambda _: free, disk_rounds=10)
    assert told(findings, "disk", State.PROBLEM) == []
    findings = clinic.findings(free_bytes=lambda _: free, disk_rounds=100_000)
    problems = told(findings, "disk", State.PROBLEM)
    assert len(problems) == 2
    assert all("300 MiB are free" in one and "for 100000 rounds; free some space" in one for one in problems)
    assert len(told(clinic.findings(free_bytes=lambda _: 0), "disk", State.PROBLEM)) == 3


def test_gas_is_reckoned_for_as_many_rounds_as_are_asked_for(clinic: Clinic) -> None:
    clinic.chain.request("anvil_setBalance", clinic.account, hex(10**16))
    assert told(clinic.findings(rounds=10), "balance", State.PROBLEM) == []
    [found] = told(clinic.findings(rounds=10_000), "balance", State.PROBLEM)
    assert "10000 are asked for; send" in found


def num_rounds(clinic: Clinic) -> int:
    """For which the account's balance is enough, by the doctor."""
    clinic.chain.request("anvil_setBalance", clinic.account, hex(10**17))
    clinic.chain.request("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
    clinic.chain.request("evm_mine")
    [line] = told(clinic.findings(), "balance", State.OK)
    return int(line.split("enough for ")[1].split(" rounds")[0].replace(",", ""))


def test_gas_of_masked_rounds_is_reckoned_for_masked_jobs_alone(clinic: Clinic) -> None:
    append("node.toml", "[jobs]\njoin = []\n")(clinic)
    plain = num_rounds(clinic)
    order_masked(clinic.folder, join=False)
    assert num_rounds(clinic) == pytest.approx(plain, rel=0.02), "another's job"
    order_masked(clinic.folder, join=True)
    masked = num_rounds(clinic)
    assert masked / plain == pytest.approx(GAS["commit"] / (GAS["commit"] + GAS["unmask"]), rel=0.02)


def test_gas_of_masked_rounds_is_reckoned_for_a_job_that_the_daemon_would_join(clinic: Clinic) -> None:
    plain = num_rounds(clinic)
    order_masked(clinic.folder, join=False)
    assert num_rounds(clinic) < plain / 2


def test_where_the_jobs_cannot_be_looked_at_gas_is_that_of_plain_rounds(clinic: Clinic) -> None:
    order_masked(clinic.folder, join=True)
    other_version(clinic)
    empty_account(clinic)
    findings = clinic.findings()
    assert told(findings, "balance", State.SKIPPED) == ["because of the problem with: contracts"]
    assert "is enough for 0 rounds" in told(findings, "balance", State.PROBLEM)[0]


def test_without_a_password_all_is_asked_but_what_needs_a_key(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOMICILE_PASSWORD", raising=False)
    clinic.rewrite(f'password_file = "{clinic.folder}/password"\n', "")
    findings = clinic.findings()
    assert "no password; set keys.password_file" in told(findings, "password", State.PROBLEM)[0]
    skipped = {one.check: one.text for one in findings if one.state is State.SKIPPED}
    assert skipped == {"sealing key": "because of the problem with: password"}
    assert told(clinic.findings(password_file=clinic.folder / "password"), "sealing key", State.OK)


IN_THE_WAY: list[tuple[str, Callable[[Clinic], object]]] = [
    ("key files", lambda c: (c.folder / "account.json").chmod(0o644)),
    ("password", edit(PASSWORD, "another one", "password")),
    ("sealing key", change_card),
]


@pytest.mark.parametrize(("check", "break_it"), IN_THE_WAY, ids=lambda one: one if isinstance(one, str) else "")
def test_a_problem_with_the_keys_hides_nothing_that_the_chain_tells(
    clinic: Clinic, check: str, break_it: Callable[[Clinic], object]
) -> None:
    remove_attester(clinic)
    clear_for(Sensitivity.PERSONAL)(clinic)
    append("rows.csv", "a word,1.0,1\n")(clinic)
    break_it(clinic)
    empty_account(clinic)
    findings = clinic.findings(free_bytes=lambda _: 0)
    problems = {one.check for one in findings if one.state is State.PROBLEM}
    assert problems == {check, "balance", "attestation", "clearance", "jobs", "data", "disk"}


NO_JOB: list[tuple[str, Callable[[Clinic], object]]] = [
    ("endpoint", in_config("rpc_url", "http://127.0.0.1:1")),
    ("account", edit('"address"', '"Address"', "account.json")),
    ("stores", in_config("border", "http://127.0.0.1:1")),
]


@pytest.mark.parametrize(("check", "break_it"), NO_JOB, ids=lambda one: one if isinstance(one, str) else "")
def test_where_the_jobs_cannot_be_looked_at_data_and_disk_are_as_far_as_possible(
    clinic: Clinic, check: str, break_it: Callable[[Clinic], object]
) -> None:
    break_it(clinic)
    findings = clinic.findings()
    for part in ("data", "disk"):
        assert told(findings, part, State.SKIPPED) == [f"because of the problem with: {check}"]
    assert told(findings, "data", State.OK) == ["readable, with 3 columns: x1, x2, y"]
    assert all("running jobs apart" in one for one in told(findings, "disk", State.OK))
    assert told(findings, "disk", State.OK)
    (clinic.folder / "rows.csv").unlink()
    findings = clinic.findings(free_bytes=lambda _: 0)
    assert "no such file" in told(findings, "data", State.PROBLEM)[0]
    assert "free some space" in told(findings, "disk", State.PROBLEM)[0]


def test_one_store_that_is_away_hides_nothing_about_the_other(clinic: Clinic) -> None:
    in_config("border", "http://127.0.0.1:1")(clinic)
    assert told(clinic.findings(), "stores", State.OK) == ["stores.region: reachable"]
    away(clinic)
    keys = [one.split(":")[0] for one in told(clinic.findings(), "stores", State.PROBLEM)]
    assert keys == ["stores.border", "stores.region"]


def test_a_taken_port_is_a_problem_unless_this_partys_daemon_listens_there(clinic: Clinic) -> None:
    with closing(socket.socket()) as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        append("node.toml", f"[metrics]\nport = {port}\n")(clinic)
        findings = clinic.findings()
        assert "cannot be listened on (Address already in use)" in told(findings, "metrics", State.PROBLEM)[0]
    assert told(clinic.findings(), "metrics", State.OK) == [f"127.0.0.1:{port} is free"]
    with figures(port, party="clinic"):
        assert told(clinic.findings(), "metrics", State.OK)[0].endswith("serves the figures of this party's daemon")
        clinic.rewrite('name = "clinic"', 'name = "neighbour"')
        assert told(clinic.findings(), "metrics", State.PROBLEM)


@contextmanager
def figures(port: int, *, party: str) -> Iterator[None]:
    metrics.BUILD.labels("0", "3", "node", party).set(1)
    server, thread = start_http_server(port, addr="127.0.0.1", registry=metrics.REGISTRY)
    yield
    server.shutdown()
    server.server_close()
    thread.join()


def test_without_a_job_the_tables_columns_are_looked_at(clinic: Clinic) -> None:
    replace_account(clinic.folder)
    (clinic.folder / "test.csv").write_text("x1,y\n1,1\n", encoding="utf-8")
    assert "readable, with 3 columns" in told(clinic.findings(), "data", State.OK)[0]
    clinic.rewrite("[[tasks]]", f'test = "{clinic.folder}/test.csv"\n[[tasks]]')
    assert "no column 'x2'" in told(clinic.findings(), "data", State.PROBLEM)[0]


def with_dataset(clinic: Clinic, number: int, *, holder: Address | None = None, granted: Budget | None = None) -> None:
    """The node's configuration names a dataset, of which it may be the holder."""
    owner, budgets = Sender(clinic.chain, Signer.from_mnemonic(DEVELOPMENT_MNEMONIC)), clinic.budgets
    owner.act(budgets.register_dataset(DIGEST, holder or clinic.account))
    if granted is not None:
        owner.act(budgets.grant_budget(DatasetId(1), granted, clinic.chain.timestamp() + DAY_S))
    clinic.rewrite("[data]", f"[data]\ndataset = {number}")


ASKED = "epsilon 8, delta 1e-05"
BUDGET_PROBLEMS = {
    "no dataset": (
        lambda _: None,
        "data.dataset: missing, and job 2 asks for a privacy budget; have the data's owner register and grant it",
    ),
    "no such dataset": (lambda c: with_dataset(c, 7), "data.dataset: 7 is registered by nobody; name what"),
    "of another node": (
        lambda c: with_dataset(c, 1, holder=ATTESTER.address),
        f"data.dataset: 1 is held by {ATTESTER.address}, not by this account",
    ),
    "nothing granted": (lambda c: with_dataset(c, 1), "job 2: GrantOver (dataset 1, valid_until_s 0): "),
    "too little granted": (
        lambda c: with_dataset(c, 1, granted=Budget.within(7.5, 1e-5)),
        f"job 2 asks for {ASKED} of dataset 1, of which epsilon 7.5, delta 1e-05 are left; join a job with a smaller",
    ),
}


@pytest.mark.parametrize(("spoil", "message"), BUDGET_PROBLEMS.values(), ids=list(BUDGET_PROBLEMS))
def test_a_budget_that_lets_the_node_into_no_private_job_is_a_problem(
    spoil: Callable[[Clinic], None], message: str, clinic: Clinic
) -> None:
    order_privately(clinic.folder)
    spoil(clinic)
    assert message in " ".join(told(clinic.findings(), "budget", State.PROBLEM))


def test_a_budget_that_is_enough_is_told_with_what_remains(clinic: Clinic) -> None:
    order_privately(clinic.folder)
    with_dataset(clinic, 1, granted=Budget.within(20.0, 1e-4))
    findings = clinic.findings()
    assert told(findings, "budget", State.PROBLEM) == []
    assert told(findings, "budget", State.OK) == [
        "dataset 1: granted epsilon 20, delta 0.0001, epsilon 20, delta 0.0001 remain",
        f"job 2 asks for {ASKED} of dataset 1, which is left",
    ]


def test_nothing_is_changed_by_looking(clinic: Clinic) -> None:
    def state() -> dict[str, tuple[int, bytes]]:
        files = (one for one in clinic.folder.rglob("*"))
        return {str(one): (one.stat().st_mtime_ns, one.read_bytes() if one.is_file() else b"") for one in files}

    shutil.rmtree(clinic.folder / "region")
    (clinic.folder / "region").mkdir()
    before, block = state(), clinic.chain.block_number()
    assert not [one for one in clinic.findings() if one.state is State.PROBLEM]
    assert state() == before
    assert clinic.chain.block_number() == block


def run(*arguments: str) -> tuple[int, str]:
    done = CliRunner().invoke(cli, ["doctor", *arguments])
    return done.exit_code, done.output


def test_exit_codes_tell_health_from_problems_and_json_says_the_same(clinic: Clinic) -> None:
    code, output = run(str(clinic.config))
    assert (code, "problem" in output) == (0, False)
    (clinic.folder / "account.json").chmod(0o644)
    code, output = run(str(clinic.config), "--json")
    found = json.loads(output)
    assert (code, found["role"], found["problems"]) == (1, "node", 1)
    states = {one["check"]: one["state"] for one in found["findings"]}
    assert (states["key files"], states["password"], states["endpoint"]) == ("problem", "skipped", "ok")


def test_a_wrong_configuration_or_option_is_no_finding_but_exit_code_2(clinic: Clinic) -> None:
    clinic.rewrite("rpc_url", "rpc_ulr")
    done = CliRunner().invoke(cli, ["doctor", str(clinic.config)])
    assert isinstance(done.exception, ConfigurationError)
    assert "did you mean 'rpc_url'?" in str(done.exception)
    for arguments in ([str(clinic.config), "--rounds", "0"], [str(clinic.folder / "nothing.toml")]):
        assert isinstance(CliRunner().invoke(cli, ["doctor", *arguments]).exception, ConfigurationError)


def test_of_a_half_filled_configuration_every_empty_field_is_named_and_all_else_is_examined(clinic: Clinic) -> None:
    for key, value in (("rpc_url", ""), ("border", ""), ("train", "")):
        in_config(key, value)(clinic)
    code, output = run(str(clinic.config), "--json")
    found = json.loads(output)["findings"]
    problems = [(one["check"], one["text"]) for one in found if one["state"] == "problem"]
    empty = ("chain.rpc_url", "stores.border", "data.train")
    assert (code, problems) == (1, [("configuration", f"{key}: still empty; fill in") for key in empty])
    fine = {one["check"] for one in found if one["state"] == "ok"}
    assert {"key files", "password", "stores", "tasks", "journal", "metrics"} <= fine
    skipped = {one["check"]: one["text"] for one in found if one["state"] == "skipped"}
    assert skipped["endpoint"] == skipped["balance"] == skipped["data"] == "because of the problem with: configuration"
    assert "data" not in fine
    assert [one["text"].split(":")[0] for one in found if (one["check"], one["state"]) == ("disk", "ok")]


def test_what_needs_the_empty_field_is_left_out_and_nothing_else(clinic: Clinic) -> None:
    in_config("border", "")(clinic)
    findings = clinic.findings()
    assert told(findings, "configuration", State.PROBLEM) == ["stores.border: still empty; fill in"]
    assert told(findings, "stores", State.OK) == ["stores.region: reachable"]
    skipped = {one.check for one in findings if one.state is State.SKIPPED}
    assert skipped == {"key card", "data", "disk"}


@pytest.mark.parametrize(
    ("mode", "url", "state", "text"),
    [
        (0o600, "https://host.example/v3/0123456789abcdef", State.OK, "readable by its owner alone"),
        (0o644, "http://127.0.0.1:8545", State.OK, "readable by others, holds no secret"),
        (0o640, "https://host.example/v3/0123456789abcdef", State.PROBLEM, "run chmod 600 on it"),
        (0o604, "https://user:word@host.example", State.PROBLEM, "a URL in it holds a password or a token"),
    ],
)
def test_a_configuration_that_others_can_read_is_a_problem_where_it_holds_a_secret(
    clinic: Clinic, mode: int, url: str, state: State, text: str
) -> None:
    in_config("border", url)(clinic)
    clinic.config.chmod(mode)
    case = clinic.case()
    [found] = configuration(case)
    assert (found.state, text in found.text, "0123456789abcdef" in found.text) == (state, True, False)


def test_code_lies_beside_the_configuration_unless_told_otherwise(clinic: Clinic) -> None:
    clinic.rewrite(f'folder = "{clinic.folder}"\n', "")
    assert told(clinic.findings(), "tasks", State.OK) == ["mine.py:Mine: as approved"]


def test_an_aggregators_file_is_recognised_and_asked_nothing_of_data(clinic: Clinic) -> None:
    text = clinic.config.read_text(encoding="utf-8")
    clinic.config.write_text(text[: text.index("[data]")], encoding="utf-8")
    findings = clinic.findings()
    assert {one.check for one in findings}.isdisjoint({"data", "tasks"})
    assert told(findings, "jobs", State.OK) == ["no running job lists this account"]
    assert told(findings, "registration", State.OK)


def test_gas_of_the_acts_is_that_of_the_snapshot() -> None:
    snapshot = json.loads((ROOT / "contracts" / "gas-snapshot.json").read_text(encoding="utf-8"))
    dearest = {act: max(gas for name, gas in snapshot.items() if name.split(",")[0] == act) for act in GAS}
    assert dearest == GAS
