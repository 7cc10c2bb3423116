"""Wrong input to the network verbs: one line with cause and mend, exit code 2, and nothing is done."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from domicile.chain.devnet import Devnet
from tests.verbs.network_ground import NODE, Network, domicile, settle

SOMEBODY = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
SWAPPED = "0x70997970C51812dc3A010C7d01b50e0d17dc79c8"
"""With a letter of another case than its checksum asks for."""


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with Devnet() as devnet:
        yield settle(tmp_path_factory.mktemp("network"), devnet)


WITHOUT_A_NETWORK: dict[str, tuple[str, str]] = {
    "no such verb": ("depoy", "No such command 'depoy'. Did you mean 'deploy'?; see `domicile --help`"),
    "devnet: unknown client": ("devnet up --client geth", "'geth' is not one of 'anvil', 'ganache'"),
    "devnet: port too high": ("devnet up --port 70000", "70000 is not in the range 1<=x<=65535"),
    "devnet: host is a name": ("devnet up --host nowhere", "--host: 'nowhere' is no IPv4 address of this machine"),
    "devnet: host is elsewhere": (
        "devnet up --host 203.0.113.7",
        "is no IPv4 address of this machine; write one that is",
    ),
    "devnet: block time of 0": ("devnet up --block-time 0", "0.0 is not in the range x>0"),
    "devnet: fractions on ganache": (
        "devnet up --client ganache --block-time 0.5",
        "--block-time: ganache takes whole seconds, not 0.5; use anvil",
    ),
    "devnet: folder is a file": ("devnet up --folder a-file", "Directory 'a-file' is a file"),
    "devnet: state of the other client": ("devnet up --state a-folder", "a-folder was not kept by anvil"),
    "devnet fund: nobody": ("devnet fund", "Missing argument 'ACCOUNTS...'"),
    "devnet fund: no account": ("devnet fund 0x12", "'0x12': no account; write 0x and 40 hexadecimal digits"),
    "devnet fund: a digit wrong": (f"devnet fund {SWAPPED}", "its checksum is wrong, so that a digit may be"),
    "devnet fund: no URL": (f"devnet fund {SOMEBODY} --rpc host:8545", "--rpc: no JSON-RPC endpoint"),
    "devnet fund: nothing": (f"devnet fund {SOMEBODY} --ether 0", "0.0 is not in the range 0<x<=1000"),
    "devnet fund: no chain": (
        f"devnet fund {SOMEBODY}",
        "devnet: no chain runs here; start one with `domicile devnet up`",
    ),
    "access init: no folder": ("access init --rpc http://127.0.0.1:1", "Missing option '--folder'"),
    "access init: no endpoint": ("access init --folder new", "Missing option '--rpc'"),
    "access init: no URL": ("access init --folder new --rpc key@host", "--rpc: no JSON-RPC endpoint; write http://"),
    "access init: no password": (
        "access init --folder new --rpc http://127.0.0.1:1",
        "no password; set --password-file or the variable DOMICILE_PASSWORD",
    ),
    "access init: empty password": (
        "access init --folder new --rpc http://127.0.0.1:1 --password-file empty",
        "the password is empty; give one",
    ),
    "access init: below a file": (
        "access init --folder a-file/new --rpc http://127.0.0.1:1 --password-file empty",
        "--folder: a-file/new cannot be made",
    ),
    "access show: no file": ("access show", "access.toml: no such file; name the access file of a network"),
    "access show: no TOML": ("access show --access a-file", "a-file: not valid TOML"),
    "deploy: no endpoint": ("deploy --account account.json", "Missing option '--rpc'"),
    "deploy: no URL": ("deploy --rpc ws://host --account a-file", "--rpc: no JSON-RPC endpoint; write http://"),
    "deploy: no account": ("deploy --rpc http://127.0.0.1:1 --account none.json", "none.json cannot be read"),
    "deploy: delay below 0": (
        "deploy --rpc http://127.0.0.1:1 --account a-file --loosening-delay -1",
        "-1 is not in the range",
    ),
    "deploy: no folder to write to": (
        "deploy --rpc http://127.0.0.1:1 --account a-file --out none/deployment.json",
        "--out: there is no folder",
    ),
}


@pytest.mark.parametrize(("command", "message"), WITHOUT_A_NETWORK.values(), ids=WITHOUT_A_NETWORK)
def test_what_is_wrong_before_there_is_a_network(
    command: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DOMICILE_PASSWORD", raising=False)
    monkeypatch.delenv("DOMICILE_ACCESS", raising=False)
    (tmp_path / "a-folder").mkdir()
    (tmp_path / "a-file").write_text("no TOML", encoding="utf-8")
    (tmp_path / "empty").touch()
    told = domicile(*command.split())
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert told.err.startswith("domicile: ")
    assert message in told.err
    assert not list(tmp_path.rglob("*.json"))
    assert not (tmp_path / "access.toml").exists()


IN_A_NETWORK: dict[str, tuple[str, int, str]] = {
    "role: unknown": (f"role grant boss {SOMEBODY}", 2, "'boss' is not one of 'administrator', 'auditor'"),
    "role: nobody": ("role grant auditor", 2, "Missing argument 'ACCOUNT'"),
    "role: delay too long": (f"role grant auditor {SOMEBODY} --delay 5000000000", 2, "is not in the range"),
    "jurisdiction: lower case": ("jurisdiction set de --tier open", 2, "'de': no code of a jurisdiction; write ISO"),
    "jurisdiction: too long": ("jurisdiction set EUROPEAN-UNION --tier open", 2, "no code of a jurisdiction"),
    "jurisdiction: tier unknown": ("jurisdiction set DE --tier fine", 2, "'fine' is not one of 'open'"),
    "jurisdiction: no such basis": ("jurisdiction set DE --tier open --basis none.pdf", 2, "'none.pdf' does not exist"),
    "jurisdiction: parent not listed": (
        "jurisdiction set DE --tier open --parent XX",
        2,
        "--parent: UnknownJurisdiction (code XX): it is not listed on this network (listed: none yet); correct it",
    ),
    "jurisdiction: new without a tier": ("jurisdiction set DE", 2, "DE is new: say with --tier how it stands"),
    "quorum: of nobody": ("jurisdiction quorum DE 0", 2, "0 is not in the range 1<=x<=64"),
    "quorum: place not listed": ("jurisdiction quorum DE 2", 2, "UnknownJurisdiction (code DE)"),
    "attester: for nothing": (f"attester add {SOMEBODY}", 2, "Missing option '--for'"),
    "attester: place not listed": (f"attester add {SOMEBODY} --for XX", 2, "UnknownJurisdiction (code XX)"),
    "clear: no policy": (f"clear {NODE.address} --class special --days 3", 2, "Missing option '--policy'"),
    "clear: no class": (f"clear {NODE.address} --days 3 --policy POLICY", 2, "--class: missing"),
    "clear: no end": (f"clear {NODE.address} --class special --policy POLICY", 2, "--until, --days: name one of them"),
    "clear: two ends": (
        f"clear {NODE.address} --class special --days 3 --until 2100-01-01 --policy POLICY",
        2,
        "--until, --days: name one of them",
    ),
    "clear: no day": (
        f"clear {NODE.address} --class special --until tomorrow --policy POLICY",
        2,
        "'tomorrow': no day; write YYYY-MM-DD",
    ),
    "clear: over already": (
        f"clear {NODE.address} --class special --until 2001-01-01 --policy POLICY",
        3,
        "OutsideValidity",
    ),
    "clear: withdrawn for a class": (
        f"clear {NODE.address} --withdraw --class special --policy POLICY",
        2,
        "--withdraw: goes without --class",
    ),
    "suspend: no reason": (f"suspend {NODE.address}", 2, "--reason, --file: name one of them"),
    "suspend: two reasons": (
        f"suspend {NODE.address} --reason x --file POLICY",
        2,
        "--reason, --file: name one of them",
    ),
}


@pytest.mark.parametrize(("command", "code", "message"), IN_A_NETWORK.values(), ids=IN_A_NETWORK)
def test_what_is_wrong_in_a_network(network: Network, command: str, code: int, message: str) -> None:
    policy = network.document("policy.md", "a policy")
    before = network.chain.block_number()
    told = network.tells(*command.replace("POLICY", str(policy)).split())
    assert (told.code, told.out, told.err.count("\n")) == (code, "", 1)
    assert told.err.startswith("domicile: ")
    assert message in told.err
    assert network.chain.block_number() == before


VERBS = [
    *(("devnet", verb) for verb in ("up", "status", "down", "fund")),
    *(("access", verb) for verb in ("init", "show")),
    ("deploy",),
    *(("role", verb) for verb in ("grant", "revoke", "list")),
    *(("jurisdiction", verb) for verb in ("list", "set", "quorum", "guardian")),
    *(("attester", verb) for verb in ("add", "remove", "list")),
    ("clear",),
    ("suspend",),
]


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_each_verb_says_how_it_is_used_with_one_example_and_its_exit_codes(verb: tuple[str, ...]) -> None:
    told = domicile(*verb, "--help")
    assert told.code == 0
    assert told.out.count("Example: ") == 1
    assert f"Example: domicile {' '.join(verb)}" in told.out
    assert told.out.count("Exit codes: 0 ") == 1
    assert "--json" in told.out
