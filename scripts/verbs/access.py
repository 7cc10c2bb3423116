"""``domicile access``: the account and the configuration of whoever governs, audits, attests or owns a job."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from scripts import arguments
from scripts.options import NEW_FILE, NEW_FOLDER, access_option, json_option, password_file_option

if TYPE_CHECKING:
    from domicile.types import Address
    from scripts.access import Access

FILE_NAME = "access.toml"


@click.group("access")
def group() -> None:
    """Your account, and how the command line reaches the network."""


@group.command()
@click.option("--folder", type=NEW_FOLDER, required=True, help="Folder to make.")
@click.option("--rpc", "rpc_url", type=arguments.url, required=True, help="The chain's JSON-RPC endpoint.")
@click.option("--deployment", type=NEW_FILE, help="The network's deployment file (FOLDER/deployment.json).")
@click.option("--border", help="Location of the border store: dir:PATH or http://HOST:PORT.")
@click.option("--name", help="What your account is called on the screen.")
@password_file_option
@json_option
def init(
    folder: Path,
    rpc_url: str,
    deployment: Path | None,
    border: str | None,
    name: str | None,
    password_file: Path | None,
    as_json: bool,
) -> None:
    """Make an account, an HPKE key, and an access.toml with comments.

    For whoever governs, audits, attests or owns a job; nodes and aggregators have their own `init`. Nothing is sent.
    Keys that are there are never touched; an interrupted run is gone on with by the same command.

    Example: domicile access init --folder governor --rpc http://127.0.0.1:8545 --password-file governor.password

    Exit codes: 0 made (now or before), 2 an option is wrong, the password is missing, or the folder cannot be written.
    """
    from domicile.errors import ConfigurationError
    from scripts.access_file import write_access_file
    from scripts.key_making import ensure_keys
    from scripts.telling import tell

    path = folder / FILE_NAME
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as exc:
        raise ConfigurationError(f"--folder: {folder} cannot be made ({exc.strerror}); name another one") from exc
    if path.exists():
        _check_same(path, rpc_url=rpc_url, deployment=deployment, border=border)
    address, changed = ensure_keys(folder, password_file)
    if not path.exists():
        write_access_file(
            path,
            address=address,
            rpc_url=rpc_url,
            deployment=deployment or folder / "deployment.json",
            border=border,
            password_file=password_file,
            name=name,
        )
        changed = True
    done = f"{path} is for account {address}" if changed else f"made already: {path} is for account {address}"
    tell(as_json, {"changed": changed, "address": address, "file": str(path)}, [done])


@group.command()
@access_option
@json_option
def show(access: Path | None, as_json: bool) -> None:
    """Show your account, its balance, and what it may do on this network. Needs no password.

    Example: domicile access show --access governor/access.toml

    Exit codes: 0 shown, 2 the access file is wrong, 5 the endpoint failed.
    """
    from domicile.chain.role_book import RoleBook
    from scripts.access import open_access
    from scripts.holdings import as_data, line
    from scripts.money import WEI, balance_wei
    from scripts.telling import tell

    network = open_access(access)
    address = network.address
    held = RoleBook(network.chain, network.deployment.access_manager).holdings_of(address)
    may = _other_parts(network, address)
    wei = balance_wei(network.chain, address)
    data = {"address": address, "balance_wei": wei, "roles": [as_data(one) for one in held], **may}
    lines = [f"account {address}", f"balance {wei / WEI:.6g} ether", *(line(one) for one in held)]
    lines += [told.replace("_", " ") for told, holds in may.items() if holds]
    tell(as_json, data, lines if held or any(may.values()) else [*lines, "no role on this network"])


def _check_same(path: Path, *, rpc_url: str, deployment: Path | None, border: str | None) -> None:
    """Whether a file that is there says what the command asks for.

    Raises:
        ConfigurationError: it says something else.
    """
    from domicile.errors import ConfigurationError
    from domicile.settings import load_settings
    from scripts.access import AccessSettings
    from scripts.access_file import same_location

    there = load_settings(path, AccessSettings)
    same = {
        "chain.rpc_url": rpc_url == there.chain.rpc_url,
        "chain.deployment": deployment is None or deployment.resolve() == there.chain.deployment.resolve(),
        "stores.border": border is None or same_location(border, there.stores.get("border")),
    }
    differing = [key for key, holds in same.items() if not holds]
    if differing:
        raise ConfigurationError(f"{path} exists already with another {differing[0]}; edit it, or name another folder")


def _other_parts(network: Access, address: Address) -> dict[str, bool]:
    """What an account is in the NodeRegistry, which keeps no roles of the AccessManager."""
    from domicile.chain.contracts import Jurisdictions, Nodes
    from domicile.protocol.refusals import UnknownAttester

    nodes = Nodes(network.chain, network.deployment)
    try:
        nodes.attester_of(address)
        is_attester = True
    except UnknownAttester:
        is_attester = False
    return {
        "guardian": Jurisdictions(network.chain, network.deployment).is_guardian(address),
        "attester": is_attester,
        "registered_participant": any(nodes.key_card_of(address)),
    }
