"""Wrong input to the verbs of a party: one line with cause and mend, and nothing is made or sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from domicile.chain.account import Signer
from domicile.chain.devnet import Devnet
from tests.verbs.network_ground import Network, domicile
from tests.verbs.party_ground import CLINIC, config, settle_with_attesters

INIT = "node init --folder new --name clinic --password-file password"

MAKING: dict[str, tuple[str, str]] = {
    "no folder": ("node init --name clinic", "Missing option '--folder'"),
    "no name": ("aggregator init --folder new", "Missing option '--name'"),
    "a name of two words": (
        "node init --folder new --name two\u00a0words",
        "--name: 'two\\xa0words' is no name; take up to 64 letters, digits, dots, dashes and _",
    ),
    "a name too long": (f"aggregator init --folder new --name {'n' * 65}", "is no name; take up to 64 letters"),
    "no URL": (f"{INIT} --rpc key@host", "--rpc: no JSON-RPC endpoint; write http://HOST:PORT or https://HOST"),
    "no region": (f"{INIT} --region stores/de", "--region, --border: no store; write dir:PATH, or http://HOST:PORT"),
    "no border": (f"{INIT} --border dir:", "--region, --border: no store"),
    "no data for an aggregator": ("aggregator init --folder new --name a --train rows.csv", "No such option '--train'"),
    "no password": (
        "node init --folder new --name clinic",
        "no password; set --password-file or the variable DOMICILE_PASSWORD",
    ),
    "an empty password": (
        "node init --folder new --name clinic --password-file empty",
        "the password is empty; give one",
    ),
    "a password on the command line": (f"{INIT} --password secret", "No such option '--password'"),
    "a folder that is a file": ("node init --folder password --name clinic", "Directory 'password' is a file"),
    "a folder below a file": ("node init --folder password/new --name clinic", "password/new cannot be made"),
    "no configuration": ("node register", "Missing argument 'CONFIG'"),
    "a configuration that is not there": ("node status none.toml", "'none.toml' does not exist"),
    "no TOML": ("node register password", "password: not valid TOML"),
    "nothing in it": ("node run empty", "empty: name: missing; add this key"),
    "no such verb": ("node enroll node.toml", "No such command 'enroll'"),
}


@pytest.mark.parametrize(("command", "message"), MAKING.values(), ids=MAKING)
def test_what_is_wrong_before_there_is_a_party(
    command: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DOMICILE_PASSWORD", raising=False)
    (tmp_path / "password").write_text("no TOML", encoding="utf-8")
    (tmp_path / "empty").touch()
    told = domicile(*command.split(" "))
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert told.err.startswith("domicile: ")
    assert message in told.err
    assert not list(tmp_path.rglob("*.json"))
    assert not list(tmp_path.rglob("*.toml"))


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with Devnet() as devnet:
        yield settle_with_attesters(tmp_path_factory.mktemp("network"), devnet)


def rewritten(network: Network, folder: Path, *changes: tuple[str, str]) -> Path:
    """The clinic's configuration, in a folder of its own, with lines of it changed."""
    text = config(network).read_text(encoding="utf-8")
    for old, new in (('"account.json"', f'"{network.folder}/clinic/account.json"'), *changes):
        assert old in text
        text = text.replace(old, new)
    text = text.replace('"hpke.json"', f'"{network.folder}/clinic/hpke.json"')
    path = folder / "node.toml"
    path.write_text(text, encoding="utf-8")
    path.chmod(0o600)
    return path


CONFIGURATIONS: dict[str, tuple[tuple[str, str], int, str]] = {
    "an unknown key": (("poll_s = 0.5", "pol_s = 0.5"), 2, "chain.pol_s: unknown key; did you mean 'poll_s'?"),
    "no deployment file": (("deployment = ", 'deployment = "none.json" # '), 2, "none.json"),
    "another chain's deployment": (("rpc_url = ", 'rpc_url = "http://127.0.0.1:1" # '), 5, "cannot be reached"),
    "no account": (('"{folder}/clinic/account.json"', '"none.json"'), 2, "none.json cannot be read"),
    "an account that is none": (('"{folder}/clinic/account.json"', '"node.toml"'), 2, "no keystore of version 3"),
}


@pytest.mark.parametrize("verb", ["status", "register", "retire"])
@pytest.mark.parametrize(("change", "code", "message"), CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_what_is_wrong_in_a_configuration(
    network: Network, tmp_path: Path, verb: str, change: tuple[str, str], code: int, message: str
) -> None:
    old, new = change
    path = rewritten(network, tmp_path, (old.replace("{folder}", str(network.folder)), new))
    block = network.chain.block_number()
    told = domicile("node", verb, path, *(("--yes",) if verb == "retire" else ()))
    assert (told.code, told.out, told.err.count("\n")) == (code, "", 1), told.err
    assert message in told.err
    assert network.chain.block_number() == block


def test_a_wrong_password_is_named_with_its_file_and_never_shown(
    network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = rewritten(network, tmp_path, ("password_file = ", "# password_file = "))
    monkeypatch.setenv("DOMICILE_PASSWORD", "not the right one")
    told = domicile("node", "register", path)
    assert (told.code, told.err.count("\n")) == (2, 1)
    assert f"{path}: {network.folder}/clinic/account.json: the password is wrong" in told.err
    assert "not the right one" not in told.err


def test_a_node_s_configuration_is_no_aggregator_s_and_the_other_way_round(network: Network) -> None:
    told = domicile("aggregator", "status", config(network))
    assert (told.code, "configures a node; use `domicile node`, or name another file" in told.err) == (2, True)
    told = domicile("node", "register", config(network, "member"))
    assert (told.code, "configures an aggregator; use `domicile aggregator`" in told.err) == (2, True)


def test_an_account_without_a_balance_is_told_so(network: Network, tmp_path: Path) -> None:
    poor = Signer.from_key(b"\x2a" * 32)
    poor.save(tmp_path / "poor.json", "a password of tests", iterations=1024)
    path = rewritten(network, tmp_path)
    text = path.read_text(encoding="utf-8").replace(f"{network.folder}/clinic/account.json", "poor.json")
    path.write_text(text, encoding="utf-8")
    told = domicile("node", "register", path)
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert f"{poor.address} has 0 ether, and register may cost up to " in told.err
    assert "; send the account some" in told.err


def test_nobody_retires_by_mistake(network: Network) -> None:
    assert domicile("node", "register", config(network)).code == 0
    told = domicile("node", "retire", config(network))
    assert (told.code, told.out) == (2, "")
    assert "Nobody is there to answer; repeat the command with --yes" in told.err
    assert any(network.nodes.key_card_of(CLINIC.address))


@pytest.mark.parametrize("role", ["node", "aggregator"])
@pytest.mark.parametrize("verb", ["init", "register", "status", "run", "retire"])
def test_each_verb_says_how_it_is_used_with_one_example_and_its_exit_codes(role: str, verb: str) -> None:
    told = domicile(role, verb, "--help")
    assert told.code == 0
    assert told.out.count("Example: ") == 1
    assert f"Example: domicile {role} {verb} " in told.out
    assert told.out.count("Exit codes: 0 ") == 1
