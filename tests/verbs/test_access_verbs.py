"""`domicile access`: keys that are made once, and a file that says how to reach a network."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from domicile.chain.account import Signer
from domicile.crypto.keys import HpkeKey
from domicile.settings import load_settings
from scripts.access import AccessSettings
from tests.verbs.network_ground import NODE, PASSWORD, Network, Told, domicile, interrupt, write_account, write_keys
from tests.verbs.terminal import at_a_terminal

URL = "http://127.0.0.1:1"
"""Nobody listens there: nothing is asked of a chain."""


def init(folder: Path, password_file: Path, *more: object) -> Told:
    return domicile(
        "access", "init", "--folder", folder, "--rpc", URL, "--password-file", password_file, "--json", *more
    )


def test_a_folder_is_made_once_with_keys_that_only_its_owner_reads(tmp_path: Path, password_file: Path) -> None:
    folder = tmp_path / "a" / "governor"
    first = init(folder, password_file, "--border", f"dir:{tmp_path}/border", "--name", "governor")
    assert (first.code, first.err, first.data["changed"]) == (0, "", True)
    signer = Signer.load(folder / "account.json", PASSWORD)
    HpkeKey.load(folder / "hpke.json", PASSWORD)
    assert first.data["address"] == signer.address
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir() if path.is_file()} == {0o600}
    settings = load_settings(folder / "access.toml", AccessSettings)
    assert settings.chain.deployment == folder / "deployment.json"
    assert settings.stores == {"border": f"dir:{tmp_path}/border"}
    assert settings.names == {signer.address: "governor"}
    before = {path: path.read_bytes() for path in folder.iterdir()}
    again = init(folder, password_file)
    assert (again.code, again.data) == (0, {**first.data, "changed": False})
    assert {path: path.read_bytes() for path in folder.iterdir()} == before
    assert sorted(path.name for path in before) == ["access.toml", "account.json", "hpke.json"]


def test_a_folder_can_be_moved_with_what_lies_in_it(tmp_path: Path) -> None:
    folder = tmp_path / "here"
    write_keys(folder, NODE)
    (folder / "password").write_text(PASSWORD, encoding="utf-8")
    assert init(folder, folder / "password").code == 0
    shutil.move(folder, tmp_path / "there")
    settings = load_settings(tmp_path / "there" / "access.toml", AccessSettings)
    assert settings.keys is not None
    assert settings.keys.password_file == tmp_path / "there" / "password"
    Signer.load(settings.keys.account, PASSWORD)


def test_another_network_in_the_same_folder_is_refused(tmp_path: Path, password_file: Path) -> None:
    folder = tmp_path / "governor"
    write_keys(folder, NODE)
    assert init(folder, password_file).code == 0
    for more, key in (
        (("--rpc", "http://127.0.0.1:2"), "chain.rpc_url"),
        (("--deployment", tmp_path / "other.json"), "chain.deployment"),
        (("--border", "dir:elsewhere"), "stores.border"),
    ):
        told = init(folder, password_file, *more)
        assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
        assert f"exists already with another {key}; edit it, or name another folder" in told.err


def test_an_interrupted_run_is_gone_on_with_under_its_password_alone(tmp_path: Path, password_file: Path) -> None:
    folder = tmp_path / "governor"
    account = write_account(folder / "account.json", NODE).read_bytes()
    (folder / ".hpke.json.new").write_text("half a k", encoding="utf-8")
    other = tmp_path / "other"
    other.write_text("another password", encoding="utf-8")
    refused = init(folder, other)
    assert (refused.code, "the password is wrong" in refused.err) == (2, True)
    assert not (folder / "hpke.json").exists()
    told = init(folder, password_file)
    assert (told.code, told.data["changed"], told.data["address"]) == (0, True, NODE.address)
    assert (folder / "account.json").read_bytes() == account
    HpkeKey.load(folder / "hpke.json", PASSWORD)
    assert not list(folder.glob(".*"))


@pytest.mark.slow
def test_an_interrupt_at_any_moment_leaves_no_half_of_a_key(tmp_path: Path, password_file: Path) -> None:
    folder = tmp_path / "governor"
    command = ("access", "init", "--folder", folder, "--rpc", URL, "--password-file", password_file)
    for tenths in range(4, 30, 3):
        interrupt(command, tenths / 10)
        if (folder / "account.json").exists():
            Signer.load(folder / "account.json", PASSWORD)
        if (folder / "hpke.json").exists():
            HpkeKey.load(folder / "hpke.json", PASSWORD)
    assert init(folder, password_file).code == 0


def asked_twice(first: str, second: str) -> list[tuple[str, str]]:
    return [("Password of", first), ("Once more", second)]


def test_whoever_is_asked_for_a_new_password_is_asked_twice_and_never_shown_it(tmp_path: Path) -> None:
    init_at = ("access", "init", "--rpc", URL, "--folder")
    code, screen = at_a_terminal((*init_at, tmp_path / "a"), asked_twice("one word", "another word"))
    assert (code, "the two passwords differ; nothing was made" in screen) == (2, True)
    assert not list((tmp_path / "a").iterdir())
    code, screen = at_a_terminal((*init_at, tmp_path / "b"), asked_twice("one word", "one word"))
    assert code == 0
    assert "one word" not in screen
    Signer.load(tmp_path / "b" / "account.json", "one word")


def test_the_access_file_that_nobody_names_lies_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DOMICILE_ACCESS", raising=False)
    told = domicile("access", "show")
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert "access.toml: no such file; name the access file of a network" in told.err


def test_a_new_account_is_shown_with_its_balance_once_the_network_is_there(
    network: Network, tmp_path: Path, password_file: Path
) -> None:
    folder = tmp_path / "office"
    write_keys(folder, Signer.from_key(b"\x66" * 32))
    made = domicile(
        *("access", "init", "--folder", folder, "--rpc", network.rpc_url, "--password-file", password_file),
        *("--deployment", network.folder / "deployment.json", "--json"),
    )
    password_file.unlink()
    shown = domicile("access", "show", "--access", folder / "access.toml", "--json")
    assert shown.data == {
        "address": made.data["address"],
        "balance_wei": 0,
        "roles": [],
        "guardian": False,
        "attester": False,
        "registered_participant": False,
    }
