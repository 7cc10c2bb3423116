"""Every verb and kind of wrong input, one row an error: one line that names cause and mend, its exit code, and nothing
is written or sent. What is wrong within files of attestations, orders and configurations has tables of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from domicile.chain.account import Signer
from domicile.chain.devnet import Devnet
from scripts.command import cli
from tests.verbs.network_ground import GOVERNOR, NODE, OFFICE, OTHER, Network, domicile
from tests.verbs.party_ground import BERLIN, CLINIC, MEMBER, config, settle_with_attesters

ACCOUNT = NODE.address
SENDERS: tuple[Signer, ...] = (GOVERNOR, OFFICE, NODE, OTHER, BERLIN, CLINIC, MEMBER)

NO_ACCOUNT = "no account; write 0x and 40 hexadecimal digits"
NO_CODE = "no code of a jurisdiction; write ISO 3166-1 (DE)"
NOT_LISTED = "UnknownJurisdiction (code XX): it is not listed on this network (listed: DE, EU"
NO_FILE = "does not exist"
NO_TOML = "not valid TOML"
NO_ROLE = "has no role for"
NO_JOB = "job 9: no such job, there is none yet"
GONE = "cannot be reached"
ELSEWHERE = "deployment"

ROWS: tuple[tuple[str, str, int], ...] = (
    # What is not there at all.
    ("depoly", "No such command 'depoly'", 2),
    ("node enrol", "No such command 'enrol'", 2),
    ("--jsn", "No such option", 2),
    # One machine.
    ("sandbox", "Missing argument 'FOLDER'", 2),
    ("sandbox none", NO_FILE, 2),
    ("sandbox folder", "folder/network.toml: no such file; create it or name another one", 2),
    ("task digest", "Missing argument 'USE'", 2),
    ("task digest tables", "task 'tables': no task has this name", 2),
    ("task digest mine.py:Mine", "mine.py cannot be read", 2),
    ("task digest tabular --folder none", NO_FILE, 2),
    # A development chain.
    ("devnet up --client geth", "'geth' is not one of 'anvil', 'ganache'", 2),
    ("devnet up --port 0", "0 is not in the range 1<=x<=65535", 2),
    ("devnet up --port high", "'high' is not a valid integer", 2),
    ("devnet up --host nowhere", "'nowhere' is no IPv4 address of this machine; write one that is", 2),
    ("devnet up --block-time often", "'often' is not a valid float", 2),
    ("devnet up --block-time -1", "'--block-time': -1.0 is not in the range x>0", 2),
    ("devnet up --block-time inf", "inf is not finite", 2),
    ("devnet up --state folder", "was not kept by anvil; name another place", 2),
    ("devnet up --folder file", "is a file", 2),
    ("devnet status --folder file", "is a file", 2),
    ("devnet down --folder file", "is a file", 2),
    ("devnet down now", "Got unexpected extra argument (now)", 2),
    ("devnet fund", "Missing argument 'ACCOUNTS...'", 2),
    ("devnet fund 0x12", NO_ACCOUNT, 2),
    (f"devnet fund {ACCOUNT}", "no chain runs here; start one with `domicile devnet up`, or name its --rpc", 2),
    (f"devnet fund {ACCOUNT} --rpc http://127.0.0.1:1", GONE, 5),
    (f"devnet fund {ACCOUNT} --ether much", "'much' is not a valid float", 2),
    (f"devnet fund {ACCOUNT} --ether nan", "nan is not finite", 2),
    # An account to act with, and contracts.
    ("access init --folder new", "Missing option '--rpc'", 2),
    ("access init --folder new --rpc ftp://host", "--rpc: no JSON-RPC endpoint; write http://HOST:PORT", 2),
    ("access init --folder new --rpc http://127.0.0.1:1 --password-file none", NO_FILE, 2),
    ("access init --folder new --rpc http://127.0.0.1:1", "no password; set --password-file or the variable", 2),
    ("access show --access none.toml", "none.toml: no such file; name the access file of a network", 2),
    ("access show --access file", NO_TOML, 2),
    ("access show --access gone.toml", GONE, 5),
    ("access show --access elsewhere.toml", ELSEWHERE, 2),
    ("deploy --account file", "Missing option '--rpc'", 2),
    ("deploy --rpc http://127.0.0.1:1 --account file", "no password; set --password-file or the variable", 2),
    ("deploy --rpc http://127.0.0.1:1 --account OTHER_KEY --password-file PASSWORD --out new.json", GONE, 5),
    ("deploy --rpc RPC --account file --password-file PASSWORD --out new.json", "file can be read by others", 2),
    ("deploy --rpc RPC --account file --out none/new.json", "--out: there is no folder", 2),
    ("deploy --rpc RPC --account file --max-fee-gwei 0", "0.0 is not in the range x>0", 2),
    # Governance.
    ("role grant boss 0x12", "'boss' is not one of", 2),
    ("role grant auditor 0x12", NO_ACCOUNT, 2),
    (f"role grant auditor {ACCOUNT} --delay soon", "'soon' is not a valid integer", 2),
    (f"role grant auditor {ACCOUNT} --access OTHER", NO_ROLE, 2),
    (f"role revoke auditor {GOVERNOR.address} --yes --access OTHER", NO_ROLE, 2),
    (f"role revoke administrator {GOVERNOR.address}", "is the last administrator", 2),
    ("role list extra", "Got unexpected extra argument (extra)", 2),
    ("role list --access gone.toml", GONE, 5),
    ("jurisdiction list --access file", NO_TOML, 2),
    ("jurisdiction set germany --tier open", NO_CODE, 2),
    ("jurisdiction set NL", "NL is new: say with --tier how it stands", 2),
    ("jurisdiction set NL --tier fine", "'fine' is not one of", 2),
    ("jurisdiction set NL --tier open --parent XX", f"--parent: {NOT_LISTED}", 2),
    ("jurisdiction set DE --tier open --parent US", "DE lies in EU, which is fixed since it was listed", 2),
    ("jurisdiction set NL --tier open --basis none.pdf", NO_FILE, 2),
    ("jurisdiction set NL --tier open --access OTHER", NO_ROLE, 2),
    ("jurisdiction quorum EU 65", "65 is not in the range 1<=x<=64", 2),
    ("jurisdiction quorum XX 2", f"CODE: {NOT_LISTED}", 2),
    ("jurisdiction quorum EU 3 --access OTHER", NO_ROLE, 2),
    ("jurisdiction guardian me", NO_ACCOUNT, 2),
    (f"jurisdiction guardian {ACCOUNT} --access OTHER", NO_ROLE, 2),
    (f"attester add {ACCOUNT}", "Missing option '--for'", 2),
    (f"attester add {ACCOUNT} --for DE --for XX", f"--for: {NOT_LISTED}", 2),
    (f"attester add {BERLIN.address} --for FR", "is an attester for DE; its places never change", 2),
    (f"attester add {ACCOUNT} --for DE --access OTHER", NO_ROLE, 2),
    ("attester remove berlin", NO_ACCOUNT, 2),
    (f"attester remove {BERLIN.address} --access OTHER", NO_ROLE, 2),
    ("attester list --access elsewhere.toml", ELSEWHERE, 2),
    # An auditor's acts.
    (f"clear {ACCOUNT} --class special --days 9", "Missing option '--policy'", 2),
    (f"clear {ACCOUNT} --class public --days 9 --policy file", "'public' is not one of", 2),
    (f"clear {ACCOUNT} --class special --days 0 --policy file", "0 is not in the range x>=1", 2),
    (f"clear {ACCOUNT} --class special --until 2030-02-30 --policy file", "no day; write YYYY-MM-DD", 2),
    (f"clear {ACCOUNT} --class special --days 9 --policy file --access OTHER", NO_ROLE, 2),
    (f"clear {OFFICE.address} --class special --days 9 --policy file", "UnknownNode", 3),
    (f"suspend {ACCOUNT}", "--reason, --file: name one of them", 2),
    (f"suspend {ACCOUNT} --file none.txt", NO_FILE, 2),
    (f"suspend {ACCOUNT} --reason why --access OTHER", NO_ROLE, 2),
    # Parties.
    ("node init --folder new", "Missing option '--name'", 2),
    ("node register none.toml", NO_FILE, 2),
    ("node status file", NO_TOML, 2),
    ("node run", "Missing argument 'CONFIG'", 2),
    ("node run file", NO_TOML, 2),
    ("node retire MEMBER --yes", "aggregator", 2),
    ("aggregator init --folder new", "Missing option '--name'", 2),
    ("aggregator register folder", "is a directory", 2),
    ("aggregator status none.toml", NO_FILE, 2),
    ("aggregator run file", NO_TOML, 2),
    ("aggregator retire CLINIC --yes", "node", 2),
    ("doctor", "Missing argument 'CONFIG'", 2),
    ("doctor file", NO_TOML, 2),
    ("doctor CLINIC --rounds 0", "0 is not in the range x>=1", 2),
    ("doctor CLINIC --disk-rounds many", "'many' is not a valid integer", 2),
    ("doctor CLINIC --bundle none/support.zip", "lies in no folder that exists; name another file", 2),
    ("doctor CLINIC --bundle file", "exists already and is no bundle; name another file", 2),
    ("doctor CLINIC --log none.log --bundle support.zip", NO_FILE, 2),
    # Attestations.
    ("attest request CLINIC --out new.json", "Missing option '--jurisdiction'", 2),
    ("attest request CLINIC --jurisdiction DE --out new.json", "is not registered", 2),
    ("attest sign none.json --out new.json", NO_FILE, 2),
    ("attest sign file --out new.json", "is no attestation-request", 2),
    ("attest submit file", "Missing argument 'SIGNATURES...'", 2),
    ("attest submit file file", "is no attestation-request", 2),
    ("attest revoke 0x12 --yes --reason moved", NO_ACCOUNT, 2),
    # Jobs.
    ("job list --access gone.toml", GONE, 5),
    ("job create file", NO_TOML, 2),
    ("job create none.toml", NO_FILE, 2),
    ("job start 9", NO_JOB, 2),
    ("job cancel 9", NO_JOB, 2),
    ("job cancel first", "'first' is not a valid integer", 2),
    ("job advance 9", NO_JOB, 2),
    ("job advance first", "'first' is not a valid integer", 2),
    ("job advance 1 --access gone.toml", GONE, 5),
    ("job status 9", NO_JOB, 2),
    ("job watch 9", NO_JOB, 2),
    ("job export 9 --out new.safetensors", NO_JOB, 2),
    ("job export 9 --out none/new.safetensors", "--out: there is no folder", 2),
    ("job lineage 9", NO_JOB, 2),
    ("job join 9 --config CLINIC", NO_JOB, 2),
    ("job join 9", "Missing option '--config'", 2),
    ("job join 9 --config MEMBER", "aggregator", 2),
    ("job leave 9 --config CLINIC", NO_JOB, 2),
)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with Devnet() as devnet:
        yield settle_with_attesters(tmp_path_factory.mktemp("network"), devnet)


@pytest.fixture
def here(network: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a user types: a file that is nothing, a folder with nothing in it, and access files that lead astray."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DOMICILE_PASSWORD", raising=False)
    monkeypatch.setenv("DOMICILE_ACCESS", str(network.access("governor")))
    (tmp_path / "file").write_text("this is nothing", encoding="utf-8")
    (tmp_path / "folder").mkdir()
    access = network.access("governor").read_text(encoding="utf-8")
    access = access.replace('"account.json"', f'"{network.folder}/governor/account.json"')
    gone = access.replace(network.rpc_url, "http://127.0.0.1:1")
    (tmp_path / "gone.toml").write_text(gone, encoding="utf-8")
    elsewhere = network.folder / "elsewhere.json"
    if not elsewhere.exists():
        text = (network.folder / "deployment.json").read_text(encoding="utf-8")
        elsewhere.write_text(text.replace("31337", "11155111"), encoding="utf-8")
    leading_astray = access.replace("deployment.json", "elsewhere.json")
    (tmp_path / "elsewhere.toml").write_text(leading_astray, encoding="utf-8")
    return tmp_path


def is_content(path: Path) -> bool:
    """Locks of keys and stores are empty files, made by whoever opens one."""
    return path.is_file() and path.stat().st_size > 0


def state(network: Network, *folders: Path) -> tuple[dict[Path, bytes], list[str]]:
    """What must stay as it is: every file, and each account's number of transactions."""
    files = {path: path.read_bytes() for folder in folders for path in folder.rglob("*") if is_content(path)}
    return files, [network.chain.request("eth_getTransactionCount", one.address, "pending") for one in SENDERS]


@pytest.mark.parametrize(("command", "message", "code"), ROWS, ids=[row[0] for row in ROWS])
def test_what_is_wrong_is_told_in_one_line_and_nothing_is_written_or_sent(
    command: str, message: str, code: int, network: Network, here: Path
) -> None:
    names = {
        "RPC": network.rpc_url,
        "OTHER": str(network.access("other")),
        "OTHER_KEY": str(network.folder / "other" / "account.json"),
        "PASSWORD": str(network.folder / "password"),
        "CLINIC": str(config(network)),
        "MEMBER": str(config(network, "member")),
    }
    words = [names.get(word, word) for word in command.split()]
    before = state(network, here, network.folder)
    told = domicile(*words, *(["--json"] if takes_json(words) else []))
    assert (told.code, told.out) == (code, ""), told.err
    assert told.err.startswith("domicile: ")
    assert told.err.count("\n") == 1
    assert message in told.err
    files, transactions = state(network, here, network.folder)
    assert sorted(set(files.items()) ^ set(before[0].items())) == []
    assert transactions == before[1]


def leaves(command: click.Command, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every verb of a command, by its full name."""
    if not isinstance(command, click.Group):
        yield name.strip(), command
        return
    for part, below in command.commands.items():
        yield from leaves(below, f"{name} {part}")


VERBS = dict(leaves(cli))
SAYS_LINES_OF_JSON_ALWAYS = ("node run", "aggregator run")


def verb_of(words: list[str]) -> str:
    return next((name for name in (" ".join(words[:2]), words[0]) if name in VERBS), "")


def takes_json(words: list[str]) -> bool:
    verb = VERBS.get(verb_of(words))
    return verb is not None and any(one.opts == ["--json"] and one.is_flag for one in verb.params if is_option(one))


def is_option(parameter: click.Parameter) -> bool:
    return isinstance(parameter, click.Option)


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_a_row_an_example_exit_codes_and_json(verb: str) -> None:
    assert verb in {verb_of(command.split()) for command, _, _ in ROWS}, "add a row of wrong input above"
    told = domicile(*verb.split(), "--help")
    assert told.code == 0
    assert told.out.count("Example: ") == 1
    assert f"Example: domicile {verb}" in told.out
    assert len(re.findall("Exit codes: 0 ", told.out)) == 1
    assert "--json" in told.out or verb in SAYS_LINES_OF_JSON_ALWAYS
