"""`domicile node init` and `domicile aggregator init`: keys made once, and a configuration with few empty fields."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from aggregator.config import AggregatorConfig
from domicile.chain.account import Signer, address_in
from domicile.crypto.keys import HpkeKey
from domicile.errors import ConfigurationError
from domicile.learning.task import task_digest
from domicile.settings import load_settings
from node.config import NodeConfig
from tests.verbs.network_ground import Told, domicile

PASSWORD = "a password of a person"
URL = "http://127.0.0.1:1"
CONFIGS = {"node": NodeConfig, "aggregator": AggregatorConfig}
FILLED = {
    "chain.rpc_url": ('rpc_url = ""', f'rpc_url = "{URL}"'),
    "stores.border": ('border = ""', 'border = "dir:border"'),
    "data.train": ('train = ""', 'train = "rows.csv"'),
}
BLANKS = {"node": list(FILLED), "aggregator": list(FILLED)[:2]}
BOTH = pytest.mark.parametrize("role", CONFIGS)


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n", encoding="utf-8")
    return path


def init(role: str, folder: Path, *options: object) -> Told:
    return domicile(role, "init", "--folder", folder, "--name", "clinic-1", "--json", *options)


def fill_in(path: Path, *keys: str) -> None:
    text = path.read_text(encoding="utf-8")
    for key in keys:
        empty, filled = FILLED[key]
        assert text.count(f"\n{empty}\n") == 1
        text = text.replace(empty, filled)
    path.write_text(text, encoding="utf-8")


@BOTH
def test_a_made_configuration_works_once_its_empty_fields_are_filled_in(
    role: str, tmp_path: Path, password_file: Path
) -> None:
    folder = tmp_path / "party"
    told = init(role, folder, "--password-file", password_file)
    assert (told.code, told.err) == (0, "")
    assert (told.data["changed"], told.data["blanks"]) == (True, BLANKS[role])
    config = folder / f"{role}.toml"
    with pytest.raises(ConfigurationError, match=f"{', '.join(BLANKS[role])}: still empty; fill in"):
        load_settings(config, CONFIGS[role])
    fill_in(config, *BLANKS[role])
    settings = load_settings(config, CONFIGS[role])
    assert settings.chain.deployment == folder / "deployment.json"
    assert settings.journal == folder / "journal.sqlite"
    assert (settings.stores.region, settings.stores.border) == ("http://127.0.0.1:5001", f"dir:{folder}/border")
    assert settings.metrics.port is None
    if isinstance(settings, NodeConfig):
        assert settings.data.train == folder / "rows.csv"
        assert {one.use: one.digest for one in settings.tasks} == {
            use: task_digest(use, folder=Path()) for use in ("tabular", "images")
        }


@BOTH
def test_keys_are_their_owners_alone_and_open_with_the_password(role: str, tmp_path: Path, password_file: Path) -> None:
    folder = tmp_path / "party"
    told = init(role, folder, "--password-file", password_file)
    for name in ("account.json", "hpke.json"):
        assert (folder / name).stat().st_mode & 0o777 == 0o600
    assert Signer.load(folder / "account.json", PASSWORD).address == told.data["address"]
    HpkeKey.load(folder / "hpke.json", PASSWORD)
    assert {path.name for path in folder.iterdir()} == {"account.json", "hpke.json", f"{role}.toml"}
    assert PASSWORD not in (folder / f"{role}.toml").read_text(encoding="utf-8")


def test_a_second_run_changes_nothing_and_says_what_is_still_to_be_filled_in(
    tmp_path: Path, password_file: Path
) -> None:
    folder = tmp_path / "party"
    first = init("node", folder, "--password-file", password_file)
    fill_in(folder / "node.toml", "chain.rpc_url")
    before = {path: path.read_bytes() for path in folder.iterdir()}
    again = init("node", folder)
    assert again.data == {**first.data, "changed": False, "blanks": ["stores.border", "data.train"]}
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    ("option", "key"),
    {
        "--name other": "name",
        "--rpc http://127.0.0.1:2": "chain.rpc_url",
        "--deployment other.json": "chain.deployment",
        "--region dir:elsewhere": "stores.region",
        "--border dir:elsewhere": "stores.border",
        "--train other.csv": "data.train",
    }.items(),
)
def test_a_second_run_with_another_answer_is_refused(
    option: str, key: str, tmp_path: Path, password_file: Path
) -> None:
    folder = tmp_path / "party"
    assert init("node", folder, "--password-file", password_file).code == 0
    before = (folder / "node.toml").read_bytes()
    told = domicile("node", "init", "--folder", folder, "--name", "clinic-1", *option.split())
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert f"exists already with another {key}; edit it, or name another folder" in told.err
    assert (folder / "node.toml").read_bytes() == before


def test_answers_given_as_options_are_filled_in_and_the_folder_can_be_moved(
    tmp_path: Path, password_file: Path
) -> None:
    folder = tmp_path / "party"
    options = ("--rpc", URL, "--border", f"dir:{folder}/border", "--train", folder / "rows.csv")
    told = init("node", folder, *options, "--region", "dir:/srv/region", "--password-file", password_file)
    assert told.data["blanks"] == []
    assert init("node", folder, *options).data["changed"] is False
    shutil.move(folder, tmp_path / "moved")
    settings = load_settings(tmp_path / "moved" / "node.toml", NodeConfig)
    assert settings.stores.region == "dir:/srv/region"
    assert settings.stores.border == f"dir:{tmp_path}/moved/border"
    assert settings.data.train == tmp_path / "moved" / "rows.csv"
    assert settings.keys.password_file == password_file


def test_an_interrupted_run_is_gone_on_with_under_its_password_alone(tmp_path: Path, password_file: Path) -> None:
    folder = tmp_path / "party"
    first = init("node", folder, "--password-file", password_file)
    for name in ("hpke.json", "node.toml"):
        (folder / name).unlink()
    other = tmp_path / "other"
    other.write_text("another password", encoding="utf-8")
    refused = init("node", folder, "--password-file", other)
    assert (refused.code, "the password is wrong" in refused.err) == (2, True)
    assert not (folder / "hpke.json").exists()
    assert init("node", folder, "--password-file", password_file).data == first.data


@BOTH
@pytest.mark.parametrize(
    ("options", "which"),
    [("--region dir:x --border dir:./x", "the same store"), ("--border http://127.0.0.1:5001", "the local Kubo")],
)
def test_one_store_for_region_and_border_is_refused_before_anything_is_made(
    role: str, options: str, which: str, tmp_path: Path
) -> None:
    told = init(role, tmp_path / "party", *options.split())
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert f"--region, --border: both are {which}, so that everything in the region could be read outside" in told.err
    assert not (tmp_path / "party").exists()


@pytest.mark.slow
def test_an_interrupt_at_any_moment_leaves_no_half_of_a_file(tmp_path: Path, password_file: Path) -> None:
    folder = tmp_path / "party"
    command = [sys.executable, "-m", "scripts.main", "node", "init", "--folder", str(folder), "--name", "clinic-1"]
    for tenths in range(4, 40, 4):
        process = subprocess.Popen(
            [*command, "--password-file", str(password_file)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(tenths / 10)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) in (0, 130)
        if (folder / "account.json").exists():
            Signer.load(folder / "account.json", PASSWORD)
        if (folder / "hpke.json").exists():
            HpkeKey.load(folder / "hpke.json", PASSWORD)
        if (folder / "node.toml").exists():
            assert "[[tasks]]" in (folder / "node.toml").read_text(encoding="utf-8")
    told = init("node", folder, "--password-file", password_file)
    assert (told.code, told.data["address"]) == (0, address_in(folder / "account.json"))
