"""Writing ``access.toml`` for somebody who governs, audits, attests or owns a job."""

from __future__ import annotations

import json
import os
from pathlib import Path

from domicile.errors import ConfigurationError
from domicile.types import Address
from scripts.key_making import ACCOUNT_FILE, HPKE_FILE
from scripts.outputs import write_private

TEMPLATE = """\
# How the command line reaches the network, and as whom. Paths are relative to this file.

[chain]
# A JSON-RPC endpoint of the chain.
rpc_url = {rpc_url}
# Written by `domicile deploy`; get it from whoever governs the network.
deployment = {deployment}
# Blocks behind the head at which the chain is read; more where blocks are reorganised.
confirmations = 0
# Most that is paid for a unit of gas.
max_fee_gwei = 100.0

[keys]
account = {account}
hpke = {hpke}
# Left out, the password is taken from DOMICILE_PASSWORD, or asked for.
{password_file}

[stores]
# Where documents and models are read: dir:PATH for a folder of blocks, http://HOST:PORT for the RPC of a Kubo daemon.
{border}

[names]
# What accounts are called on the screen: "0x..." = "name".
{names}
"""


def write_access_file(
    path: Path,
    *,
    address: Address,
    rpc_url: str,
    deployment: Path,
    border: str | None,
    password_file: Path | None,
    name: str | None,
) -> None:
    """Writes the file, whole or not at all; its owner alone reads it, since the endpoint's URL may hold a token.

    Raises:
        ConfigurationError: it cannot be written.
    """
    folder = path.parent
    text = TEMPLATE.format(
        rpc_url=toml(rpc_url),
        deployment=toml(beside(deployment, folder)),
        account=toml(ACCOUNT_FILE),
        hpke=toml(HPKE_FILE),
        password_file=_line("password_file", None if password_file is None else beside(password_file, folder)),
        border=_line(
            "border", None if border is None else store_beside(border, folder), example="http://127.0.0.1:5001"
        ),
        names=_line(json.dumps(address), name, example="me"),
    )
    try:
        write_private(path, text)
    except OSError as exc:
        raise ConfigurationError(f"{path} cannot be written ({exc.strerror}); name another folder") from exc


def _line(key: str, value: str | None, *, example: str = "password") -> str:
    """A key with its value, or as a comment that shows how it is written."""
    return f"# {key} = {toml(example)}" if value is None else f"{key} = {toml(value)}"


def beside(path: Path, folder: Path) -> str:
    """A path as it is written in a file of that folder: below it relative, elsewhere absolute."""
    absolute = Path(os.path.abspath(path))
    home = Path(os.path.abspath(folder))
    return str(absolute.relative_to(home)) if absolute.is_relative_to(home) else str(absolute)


def store_beside(location: str, folder: Path) -> str:
    """A store's location as it is written in a file of that folder."""
    scheme = "dir:"
    if not location.startswith(scheme):
        return location
    return scheme + beside(Path(location.removeprefix(scheme)), folder)


def same_location(one: str | None, other: str | None) -> bool:
    """Whether two locations, as somebody typed them or a file was read, name one store."""
    return _located(one) == _located(other)


def _located(location: str | None) -> str | Path | None:
    if location is None or not location.startswith("dir:"):
        return location
    return Path(location.removeprefix("dir:")).resolve()


def toml(value: str) -> str:
    """A TOML basic string; JSON's escapes are a part of TOML's."""
    return json.dumps(value, ensure_ascii=False)
