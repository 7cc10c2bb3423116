"""`node init` and `aggregator init`: keys that are made once, and a configuration that works once it is filled in."""

from __future__ import annotations

import shutil
import tomllib
from itertools import cycle
from pathlib import Path

import pytest

from aggregator.config import AggregatorConfig
from domicile.chain.account import Signer
from domicile.crypto.keys import HpkeKey
from domicile.errors import ConfigurationError
from domicile.learning.task import task_digest
from domicile.settings import load_settings
from node.config import NodeConfig
from tests.verbs.network_ground import NODE, PASSWORD, Told, domicile, interrupt, write_account, write_keys

BLANKS = {"node": ["chain.rpc_url", "stores.border", "data.train"], "aggregator": ["chain.rpc_url", "stores.border"]}
MODELS = {"node": NodeConfig, "aggregator": AggregatorConfig}
BOTH = pytest.mark.parametrize("role", ["node", "aggregator"])


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


@BOTH
def test_a_deployment_file_that_is_not_there_yet_is_named_at_once(
    role: str, tmp_path: Path, password_file: Path
) -> None:
    folder, given = tmp_path / "clinic", tmp_path / "net" / "deployment.json"
    write_keys(folder, NODE)
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
    write_keys(tmp_path / "clinic", NODE)
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
    write_keys(folder, NODE)
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


def test_a_folder_can_be_moved_with_what_lies_in_it(tmp_path: Path, password_file: Path) -> None:
    folder = tmp_path / "here"
    write_keys(folder, NODE)
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
    account = write_account(folder / "account.json", NODE).read_bytes()
    (folder / ".hpke.json.new").write_text("half a k", encoding="utf-8")
    (folder / ".node.toml.new").write_text("name = ", encoding="utf-8")
    other = tmp_path / "other"
    other.write_text("another password", encoding="utf-8")
    refused = init("node", folder, other)
    assert (refused.code, "the password is wrong" in refused.err) == (2, True)
    told = init("node", folder, password_file)
    assert (told.code, told.data["changed"], told.data["address"]) == (0, True, NODE.address)
    assert (folder / "account.json").read_bytes() == account
    HpkeKey.load(folder / "hpke.json", PASSWORD)
    assert not list(folder.glob(".*"))


@pytest.mark.slow
def test_an_interrupt_at_any_moment_leaves_nothing_half_written(tmp_path: Path, password_file: Path) -> None:
    """Both roles take turns: they are made by the same code."""
    for tenths, role in zip(range(4, 44, 5), cycle(MODELS), strict=False):
        folder = tmp_path / role
        command = (role, "init", "--folder", folder, "--name", "clinic", "--password-file", password_file)
        interrupt(command, tenths / 10)
        if (folder / "account.json").exists():
            Signer.load(folder / "account.json", PASSWORD)
        if (folder / "hpke.json").exists():
            HpkeKey.load(folder / "hpke.json", PASSWORD)
        if (folder / f"{role}.toml").exists():
            with pytest.raises(ConfigurationError, match="still empty"):
                load_settings(folder / f"{role}.toml", MODELS[role])
    for role in MODELS:
        assert init(role, tmp_path / role, password_file).code == 0
