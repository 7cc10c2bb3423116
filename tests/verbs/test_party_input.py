"""What is wrong in a party's configuration, password or account: one line with cause and mend, and nothing is sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from domicile.chain.account import Signer
from tests.verbs.network_ground import Network, domicile
from tests.verbs.party_ground import CLINIC, config


def rewritten(parties: Network, folder: Path, *changes: tuple[str, str]) -> Path:
    """The clinic's configuration, in a folder of its own, with lines of it changed."""
    text = config(parties).read_text(encoding="utf-8")
    for old, new in (('"account.json"', f'"{parties.folder}/clinic/account.json"'), *changes):
        assert old in text
        text = text.replace(old, new)
    text = text.replace('"hpke.json"', f'"{parties.folder}/clinic/hpke.json"')
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
    parties: Network, tmp_path: Path, verb: str, change: tuple[str, str], code: int, message: str
) -> None:
    old, new = change
    path = rewritten(parties, tmp_path, (old.replace("{folder}", str(parties.folder)), new))
    block = parties.chain.block_number()
    told = domicile("node", verb, path, *(("--yes",) if verb == "retire" else ()))
    assert (told.code, told.out, told.err.count("\n")) == (code, "", 1), told.err
    assert message in told.err
    assert parties.chain.block_number() == block


def test_a_wrong_password_is_named_with_its_file_and_never_shown(
    parties: Network, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = rewritten(parties, tmp_path, ("password_file = ", "# password_file = "))
    monkeypatch.setenv("DOMICILE_PASSWORD", "not the right one")
    told = domicile("node", "register", path)
    assert (told.code, told.err.count("\n")) == (2, 1)
    assert f"{path}: {parties.folder}/clinic/account.json: the password is wrong" in told.err
    assert "not the right one" not in told.err


def test_an_account_without_a_balance_is_told_so(parties: Network, tmp_path: Path) -> None:
    poor = Signer.from_key(b"\x2a" * 32)
    poor.save(tmp_path / "poor.json", "a password of tests", iterations=1024)
    path = rewritten(parties, tmp_path)
    text = path.read_text(encoding="utf-8").replace(f"{parties.folder}/clinic/account.json", "poor.json")
    path.write_text(text, encoding="utf-8")
    told = domicile("node", "register", path)
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert f"{poor.address} has 0 ether, and register may cost up to " in told.err
    assert "; send the account some" in told.err


def test_nobody_retires_by_mistake(parties: Network) -> None:
    told = domicile("node", "retire", config(parties))
    assert (told.code, told.out) == (2, "")
    assert "Nobody is there to answer; repeat the command with --yes" in told.err
    assert any(parties.nodes.key_card_of(CLINIC.address))
