"""``domicile role``: who may govern, audit, loosen and cancel."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from scripts import arguments
from scripts.options import access_option, json_option, yes_option

if TYPE_CHECKING:
    from domicile.chain.governance import Role
    from domicile.chain.role_book import RoleBook
    from domicile.types import Address
    from scripts.access import Access

ROLE = click.Choice(["administrator", "auditor", "governor", "loosener", "canceller"])


@click.group("role")
def group() -> None:
    """Who may govern, audit, loosen and cancel."""


@group.command()
@click.argument("role", type=ROLE)
@click.argument("account", type=arguments.address)
@click.option("--delay", "delay_s", type=click.IntRange(0, 2**32 - 1), default=0, help="Seconds that each act waits.")
@access_option
@json_option
def grant(role: str, account: Address, delay_s: int, access: Path | None, as_json: bool) -> None:
    """Give an account a role, or its role another delay.

    A longer delay counts at once, a shorter one after the difference.
    An auditor clears and suspends; a governor lists places, removes attesters and raises quorums; a loosener does
    whatever lets more in; a canceller stops what a loosener scheduled; an administrator gives and takes roles.

    Example: domicile role grant auditor 0x70997970C51812dc3A010C7d01b50e0d17dc79C8

    Exit codes: 0 done (now or before) or scheduled, 2 an argument is wrong or the account has no role or no ether for
    it, 3 the contract refused, 5 the endpoint failed.
    """
    from domicile.chain.governance import AccessRoles
    from scripts.access import open_access
    from scripts.governing import govern, tell_done_before
    from scripts.holdings import line
    from scripts.telling import tell

    network, kind = open_access(access), _role(role)
    book = _book(network)
    held = book.holding(kind, account)
    if held is not None and held.lasting_delay_s == delay_s:
        tell_done_before(f"{account} has it already: {line(held)}", as_json=as_json)
        return
    call = AccessRoles(network.deployment.access_manager).grant(kind, account, delay_s=delay_s)
    done = govern(network, network.sender(), call)
    now = book.holding(kind, account)
    tell(as_json, done.data(), [done.line(f"{account}: {role if now is None else line(now)}")])


@group.command()
@click.argument("role", type=ROLE)
@click.argument("account", type=arguments.address)
@yes_option
@access_option
@json_option
def revoke(role: str, account: Address, yes: bool, access: Path | None, as_json: bool) -> None:
    """Take a role from an account. Before the last holder of a role loses it, you are asked.

    Example: domicile role revoke loosener 0x70997970C51812dc3A010C7d01b50e0d17dc79C8

    Exit codes: 0 done (now or before) or scheduled, 2 an argument is wrong, not confirmed, or the account has no role
    or no ether for it, 3 the contract refused, 5 the endpoint failed.
    """
    from domicile.chain.governance import AccessRoles
    from scripts.access import open_access
    from scripts.governing import carry_out, tell_done_before
    from scripts.telling import confirm

    network, kind = open_access(access), _role(role)
    book = _book(network)
    if book.holding(kind, account) is None:
        tell_done_before(f"{account} is no {role}: nothing to take", as_json=as_json)
        return
    if [one.account for one in book.holdings(network.deployment.first_block) if one.role is kind] == [account]:
        confirm(f"{account} is the last {role}, and without an administrator no role is ever given again.", yes=yes)
    call = AccessRoles(network.deployment.access_manager).revoke(kind, account)
    carry_out(network, call, f"{account} is no {role} any more", as_json=as_json)


@group.command("list")
@access_option
@json_option
def list_roles(access: Path | None, as_json: bool) -> None:
    """List who holds which role.

    Example: domicile role list --access governor/access.toml

    Exit codes: 0 listed, 2 the access file is wrong, 5 the endpoint failed.
    """
    from scripts.access import open_access
    from scripts.holdings import as_data, line
    from scripts.telling import tell

    network = open_access(access)
    found = _book(network).holdings(network.deployment.first_block)
    names = network.settings.names
    lines = [f"{one.account}  {line(one)}  {names.get(one.account, '')}".rstrip() for one in found]
    tell(as_json, {"roles": [as_data(one) for one in found]}, lines or ["nobody holds a role"])


def _role(name: str) -> Role:
    from domicile.chain.governance import Role

    return Role[name.upper()]


def _book(network: Access) -> RoleBook:
    from domicile.chain.role_book import RoleBook

    return RoleBook(network.chain, network.deployment.access_manager)
