"""What is asked of a development chain: options with their defaults, and whether the chain that runs is the one."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from domicile.errors import ConfigurationError

if TYPE_CHECKING:
    from scripts.devnet.folder import DevnetOptions, Running

DEFAULT_PORT = 8545


def others_reach(host: str) -> bool:
    """Whether more than this machine reaches a chain that listens there."""
    return not ipaddress.IPv4Address(host).is_loopback


def options_for(asked: Mapping[str, object]) -> DevnetOptions:
    """What was asked for, and the defaults for the rest.

    Raises:
        ConfigurationError: an option makes no sense.
    """
    from domicile.chain.devnet import LOOPBACK
    from scripts.devnet.folder import DevnetOptions

    defaults: dict[str, object] = {"client": "anvil", "port": DEFAULT_PORT, "host": LOOPBACK}
    values: dict[str, Any] = {**defaults} | {name: value for name, value in asked.items() if value is not None}
    _check_host(values["host"])
    block_time_s = values.get("block_time_s")
    if block_time_s is not None and values["client"] == "ganache" and block_time_s != int(block_time_s):
        raise ConfigurationError(f"--block-time: ganache takes whole seconds, not {block_time_s:g}; use anvil")
    state, is_folder = values.get("state"), values["client"] == "ganache"
    if state is not None and Path(state).exists() and Path(state).is_dir() is not is_folder:
        raise ConfigurationError(f"--state: {state} was not kept by {values['client']}; name another place")
    return DevnetOptions(**{"block_time_s": None, "state": None} | values)


def _check_host(host: str) -> None:
    """Whether this machine can listen there.

    Raises:
        ConfigurationError: it is no IPv4 address of this machine.
    """
    try:
        with socket.socket() as probe:
            probe.bind((str(ipaddress.IPv4Address(host)), 0))
    except (OSError, ValueError):
        raise ConfigurationError(f"--host: {host!r} is no IPv4 address of this machine; write one that is") from None


def check_same(running: Running, asked: Mapping[str, object], folder: Path) -> None:
    """Whether the chain that runs is the one that is asked for; what was left out is as it is.

    Raises:
        ConfigurationError: it has another option.
    """
    present = asdict(running.options)
    for name, value in asked.items():
        if value is not None and value != present[name]:
            option = name.removesuffix("_s").replace("_", "-")
            there = "none" if present[name] is None else f"{present[name]}"
            raise ConfigurationError(
                f"--{option}: the chain in {folder} runs with {there}, not {value}; end it first with `domicile devnet "
                f"down --folder {folder}`, or name another --folder"
            )
