"""``domicile jurisdiction quorum|guardian``: who guards a place, against nodes and against laxity."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from scripts import arguments
from scripts.options import access_option, json_option

if TYPE_CHECKING:
    from domicile.types import Address, JurisdictionCode


@click.command()
@click.argument("code", type=arguments.code)
@click.argument("number", type=click.IntRange(1, 64))
@access_option
@json_option
def quorum(code: JurisdictionCode, number: int, access: Path | None, as_json: bool) -> None:
    """Set how many attesters admit a node in a place and below it. Raising counts at once, all else may have to wait.

    Example: domicile jurisdiction quorum EU 2

    Exit codes: 0 done (now or before) or scheduled, 2 an argument is wrong or the account has no role or no ether for
    it, 3 the contract refused, 5 the endpoint failed.
    """
    from domicile.chain.contracts import Nodes
    from domicile.protocol.listing import index_of
    from scripts.access import open_access
    from scripts.governing import carry_out, tell_done_before
    from scripts.registry import read_governance
    from scripts.wording import counted

    network = open_access(access)
    found = read_governance(network)
    found.check_listed([code], "CODE")
    now = found.quorum(index_of(found.registry.places, code))
    if now == number:
        tell_done_before(f"{code}: its quorum is {number} already", as_json=as_json)
        return
    nodes = Nodes(network.chain, network.deployment)
    call = nodes.set_quorum(code, number) if now is None or number < now else nodes.raise_quorum(code, number)
    done, able = f"{code}: {counted(number, 'attester')} together admit a node", len(found.attesters_of(code))
    if number > able:
        done += f"; only {able} may attest there, so that it admits nobody until `domicile attester add` adds more"
    carry_out(network, call, done, as_json=as_json)


@click.command()
@click.argument("account", type=arguments.address)
@click.option("--dismiss", is_flag=True, help="It is to be a guardian no longer.")
@access_option
@json_option
def guardian(account: Address, dismiss: bool, access: Path | None, as_json: bool) -> None:
    """Appoint a guardian, who makes tiers stricter at once and without a role, or dismiss one. Both may have to wait.

    A guardian should be a canceller too: `domicile role grant canceller ACCOUNT`.

    Example: domicile jurisdiction guardian 0x70997970C51812dc3A010C7d01b50e0d17dc79C8

    Exit codes: 0 done (now or before) or scheduled, 2 an argument is wrong or the account has no role or no ether for
    it, 3 the contract refused, 5 the endpoint failed.
    """
    from domicile.chain.contracts import Jurisdictions
    from scripts.access import open_access
    from scripts.governing import carry_out, tell_done_before

    network = open_access(access)
    places = Jurisdictions(network.chain, network.deployment)
    state = "no guardian" if dismiss else "a guardian"
    if places.is_guardian(account) is not dismiss:
        tell_done_before(f"{account} is {state} already", as_json=as_json)
        return
    carry_out(network, places.set_guardian(account, not dismiss), f"{account} is {state} now", as_json=as_json)
