"""``domicile attester``: who is trusted to say where a node is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from scripts import arguments
from scripts.options import access_option, json_option

if TYPE_CHECKING:
    from domicile.types import Address, JurisdictionCode


@click.group("attester")
def group() -> None:
    """Who is trusted to say where a node is."""


@group.command()
@click.argument("account", type=arguments.address)
@click.option(
    "--for", "codes", type=arguments.code, multiple=True, required=True, help="A place, with all below it. Repeatable."
)
@access_option
@json_option
def add(account: Address, codes: tuple[JurisdictionCode, ...], access: Path | None, as_json: bool) -> None:
    """Add an attester for places and all below them. Where your account must wait, repeat the command later.

    Example: domicile attester add 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 --for DE --for FR

    Exit codes: 0 done (now or before) or scheduled, 2 an argument is wrong or the account has no role or no ether for
    it, 3 the contract refused, 5 the endpoint failed.
    """
    from domicile.chain.contracts import Nodes
    from domicile.errors import ConfigurationError
    from domicile.protocol.listing import mask_of
    from scripts.access import open_access
    from scripts.governing import carry_out, tell_done_before
    from scripts.registry import read_governance
    from scripts.wording import listed

    network = open_access(access)
    found = read_governance(network)
    found.check_listed(codes, "--for")
    wanted = mask_of(found.registry.places, codes)
    held = found.registry.attesters.get(account)
    if held is not None and held.scope != wanted:
        raise ConfigurationError(
            f"{account} is an attester for {listed(found.scope(held.scope))}; its places never change, remove it with "
            "`domicile attester remove` and add it anew"
        )
    places = listed(found.scope(wanted))
    if held is not None:
        tell_done_before(f"{account} attests for {places} already", as_json=as_json)
        return
    # In the order of the places, so that the same places are the same act however they were written.
    call = Nodes(network.chain, network.deployment).add_attester(account, found.scope(wanted))
    carry_out(network, call, f"{account} attests for {places}", as_json=as_json)


@group.command()
@click.argument("account", type=arguments.address)
@access_option
@json_option
def remove(account: Address, access: Path | None, as_json: bool) -> None:
    """Remove an attester. Its signatures stop counting at once, so that nodes that need them are out.

    Example: domicile attester remove 0x70997970C51812dc3A010C7d01b50e0d17dc79C8

    Exit codes: 0 done (now or before) or scheduled, 2 an argument is wrong or the account has no role or no ether for
    it, 3 the contract refused, 5 the endpoint failed.
    """
    from domicile.chain.contracts import Nodes
    from scripts.access import open_access
    from scripts.governing import carry_out, tell_done_before
    from scripts.registry import read_governance

    network = open_access(access)
    if account not in read_governance(network).registry.attesters:
        tell_done_before(f"{account} is no attester", as_json=as_json)
        return
    call = Nodes(network.chain, network.deployment).remove_attester(account)
    carry_out(network, call, f"{account} is no attester any more", as_json=as_json)


@group.command("list")
@access_option
@json_option
def list_attesters(access: Path | None, as_json: bool) -> None:
    """List the attesters and the places that they attest for, each with all below it.

    Example: domicile attester list --access governor/access.toml

    Exit codes: 0 listed, 2 the access file is wrong, 5 the endpoint failed.
    """
    from scripts.access import open_access
    from scripts.registry import read_governance
    from scripts.telling import tell
    from scripts.wording import listed

    network = open_access(access)
    found = read_governance(network)
    names = network.settings.names
    rows = [
        {"attester": account, "for": found.scope(held.scope), "name": names.get(account)}
        for account, held in found.registry.attesters.items()
    ]
    lines = [
        f"{account}  for {listed(found.scope(held.scope))}  {names.get(account, '')}".rstrip()
        for account, held in found.registry.attesters.items()
    ]
    tell(as_json, {"attesters": rows}, lines or ["no attesters yet"])
