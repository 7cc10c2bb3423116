"""What a wrong settings file is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from domicile.errors import ConfigurationError
from domicile.party import PartySettings
from domicile.settings import load_settings

PROPER = """
name = "a"
journal = "journal.sqlite"
[chain]
rpc_url = "http://127.0.0.1:8545"
deployment = "deployment.json"
[keys]
account = "account.json"
hpke = "hpke.json"
[stores]
border = "dir:border"
[limits]
max_parameters = 1000
"""


def refusal(tmp_path: Path, text: str) -> str:
    file = tmp_path / "party.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigurationError) as refused:
        load_settings(file, PartySettings)
    message = str(refused.value)
    assert message.startswith(f"{file}: ")
    assert "\n" not in message
    return message.removeprefix(f"{file}: ")


@pytest.mark.parametrize(
    ("key", "misspelt", "told"),
    [
        ("rpc_url", "rpc_ulr", "chain.rpc_ulr: unknown key; did you mean 'rpc_url'?"),
        ("journal", "jurnal", "jurnal: unknown key; did you mean 'journal'?"),
        ("max_parameters", "max_params", "limits.max_params: unknown key; did you mean 'max_parameters'?"),
        ("border", "bordre", "stores.bordre: unknown key; did you mean 'border'?"),
    ],
)
def test_a_misspelt_key_is_named_itself_and_not_what_it_leaves_missing(
    tmp_path: Path, key: str, misspelt: str, told: str
) -> None:
    assert refusal(tmp_path, PROPER.replace(f"\n{key} =", f"\n{misspelt} =")) == told


def test_a_missing_key_and_a_wrong_value_are_named(tmp_path: Path) -> None:
    missing = PROPER.replace('hpke = "hpke.json"\n', "")
    assert refusal(tmp_path, missing) == "keys.hpke: missing; add this key"
    assert refusal(tmp_path, PROPER.replace("1000", "0")).startswith("limits.max_parameters: input should be greater")
