"""Writing the configuration of a node or an aggregator: every key with its meaning, and few of them to fill in."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domicile.errors import ConfigurationError
from domicile.party import PartySettings
from domicile.settings import blanks_of
from scripts.access_file import beside, same_location, store_beside, toml
from scripts.key_making import ACCOUNT_FILE, HPKE_FILE
from scripts.outputs import write_private

LOCAL_KUBO = "http://127.0.0.1:5001"
BUILT_IN_TASKS = ("tabular", "images")

COMMON = """\
# {title}. Paths are relative to this file. To be filled in: {blanks}.
# `domicile doctor {file}` says what is still wrong.

# What this party is called in logs and reports.
name = {name}
# What must survive a restart: which rounds were trained, sealed and stored. Keep it on a local disk.
journal = "journal.sqlite"

[chain]
# A JSON-RPC endpoint of the chain.
rpc_url = {rpc_url}
# Written by `domicile deploy`; get it from whoever governs the network.
deployment = {deployment}
# Blocks behind the head at which the chain is read; 2 or more where blocks are reorganised, at the cost of as many
# block times an act.
confirmations = 0
# Most that is paid for a unit of gas; above it, the daemon waits.
max_fee_gwei = 100.0
# Seconds between two looks at the chain.
poll_s = 0.5

[keys]
account = {account}
hpke = {hpke}
# Left out, the password is taken from DOMICILE_PASSWORD, or asked for where there is a terminal.
{password_file}

[stores]
# dir:PATH for a folder of blocks, http://HOST:PORT for the RPC of a Kubo daemon.
# The store of this jurisdiction, which nobody outside it can read.
region = {region}
# The store that all regions of the network can read.
border = {border}

[limits]
# Parameters of the largest model that is taken on. Left out, it follows from the machine's memory.
# max_parameters = 100000000

# Figures for Prometheus, on this machine alone unless a host is written out.
# [metrics]
# port = 9464

[jobs]
# Finished rounds that stay in the stores.
kept_rounds = 2
"""

NODE = """\
# "all": every job whose task is approved below. Or a list of their numbers: [1, 4].
join = "all"

[data]
# A CSV or Parquet file, or a folder of images, as the task wants it. It never leaves this machine.
train = {train}
# Left out, a part of the training data is held out.
# test = "test.csv"
# Number of this data in the privacy ledger, where its owner granted a budget (`domicile dataset register`). The node
# then joins jobs that reserve of it, and no others.
# dataset = 1

[privacy]
# Where the noise of jobs with privacy comes from: "secure", or "reproducible", which anybody can repeat and which
# therefore protects nobody.
noise = "secure"

# Code that may be run on the data: by name and by digest, so that nothing runs that was not approved. These come with
# the installed version of Domicile, which you trust by having installed it. To approve code of your own, read it, and
# write down what `domicile task digest FILE.py:Name` prints.
{tasks}
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class PartyAnswers:
    """What the operator says at once; the rest is filled in by hand."""

    name: str
    rpc_url: str | None
    deployment: Path | None
    region: str | None
    border: str | None
    train: Path | None
    password_file: Path | None


def write_party_file(path: Path, role: str, answers: PartyAnswers, task_digests: Mapping[str, str]) -> None:
    """Writes ``node.toml`` or ``aggregator.toml``, whole or not at all; its owner alone reads
    it, since a location may hold a token.

    Raises:
        ConfigurationError: it cannot be written.
    """
    text = _text(path, role, answers, task_digests)
    try:
        write_private(path, text)
    except OSError as exc:
        raise ConfigurationError(f"{path} cannot be written ({exc.strerror}); name another folder") from exc


def check_stores(answers: PartyAnswers) -> None:
    """Whether region and border are two stores, as far as their locations tell.

    Raises:
        ConfigurationError: they are one.
    """
    if answers.border and same_location(answers.region or LOCAL_KUBO, answers.border):
        raise ConfigurationError(
            f"--region, --border: both are {'the local Kubo' if answers.region is None else 'the same store'}, so that "
            "everything in the region could be read outside; name two stores"
        )


def absent_deployment(path: Path) -> Path | None:
    """The deployment file that a configuration names, if it is not there yet.

    Raises:
        ConfigurationError: the file is no TOML.
    """
    named = _at(_read(path), "chain", "deployment")
    found = path.parent / named if isinstance(named, str) else None
    return None if found is None or found.exists() else found


def blanks_in(path: Path) -> list[str]:
    """Keys that are still to be filled in.

    Raises:
        ConfigurationError: the file is no TOML.
    """
    return blanks_of(_read(path), PartySettings)


def check_same(path: Path, answers: PartyAnswers) -> None:
    """Whether a file that is there says what its operator asks for once more; what is left out is not asked.

    Raises:
        ConfigurationError: it says something else, or is no TOML.
    """
    table, folder = _read(path), path.parent
    asked = {
        ("name",): answers.name,
        ("chain", "rpc_url"): answers.rpc_url,
        ("chain", "deployment"): answers.deployment and beside(answers.deployment, folder),
        ("keys", "password_file"): answers.password_file and beside(answers.password_file, folder),
        ("stores", "region"): answers.region and store_beside(answers.region, folder),
        ("stores", "border"): answers.border and store_beside(answers.border, folder),
        ("data", "train"): answers.train and beside(answers.train, folder),
    }
    for key, wanted in asked.items():
        if wanted is not None and _at(table, *key) != wanted:
            raise ConfigurationError(
                f"{path} exists already with another {'.'.join(key)}; edit it, or name another folder"
            )


def _at(table: dict[str, Any], *key: str) -> object:
    found: object = table
    for part in key:
        found = found.get(part) if isinstance(found, dict) else None
    return found


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigurationError(f"{path} cannot be read ({exc.strerror}); make it a file of yours") from exc
    except ValueError as exc:
        raise ConfigurationError(f"{path}: not valid TOML: {exc}; mend that line, or move the file away") from exc


def _text(path: Path, role: str, answers: PartyAnswers, task_digests: Mapping[str, str]) -> str:
    folder = path.parent
    password_file = answers.password_file
    values = {
        "title": "A data holder's node" if role == "node" else "A committee member",
        "file": path.name,
        "blanks": ", ".join(_blanks_of(role, answers)) or "nothing",
        "name": toml(answers.name),
        "rpc_url": toml(answers.rpc_url or ""),
        "deployment": toml(beside(answers.deployment or folder / "deployment.json", folder)),
        "account": toml(ACCOUNT_FILE),
        "hpke": toml(HPKE_FILE),
        "password_file": '# password_file = "password"'
        if password_file is None
        else f"password_file = {toml(beside(password_file, folder))}",
        "region": toml(store_beside(answers.region or LOCAL_KUBO, folder)),
        "border": toml(store_beside(answers.border, folder) if answers.border else ""),
        "train": toml(beside(answers.train, folder) if answers.train else ""),
        "tasks": "\n".join(_approvals(task_digests.items())),
    }
    return (COMMON + (NODE if role == "node" else "")).format(**values)


def _blanks_of(role: str, answers: PartyAnswers) -> list[str]:
    filled = {"rpc_url": answers.rpc_url, "border": answers.border, "train": answers.train}
    asked = [(part, key) for part, key in PartySettings.BLANKS if part != "data" or role == "node"]
    return [f"{part}.{key}" for part, key in asked if filled[key] is None]


def _approvals(tasks: Iterable[tuple[str, str]]) -> list[str]:
    return [f"[[tasks]]\nuse = {toml(use)}\ndigest = {toml(found)}" for use, found in tasks]
