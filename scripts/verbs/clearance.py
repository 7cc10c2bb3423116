"""``domicile clear`` and ``domicile suspend``: what an auditor grants and withdraws."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from scripts import arguments
from scripts.options import FILE, access_option, json_option

if TYPE_CHECKING:
    from domicile.protocol.eligibility import Sensitivity
    from domicile.types import Address, Digest
    from scripts.access import Access

CLASS = click.Choice(["personal", "special", "restricted"])


@click.command("clear")
@click.argument("account", type=arguments.address)
@click.option("--class", "name", type=CLASS, help="Most sensitive class of data that it may work on.")
@click.option("--until", "until_s", type=arguments.date, help="Last day of the clearance (UTC), as YYYY-MM-DD.")
@click.option("--days", type=click.IntRange(min=1), help="Days from today to the last one, by the chain's clock.")
@click.option("--policy", type=FILE, required=True, help="The policy that it was judged by; its sha-256 goes on chain.")
@click.option("--withdraw", is_flag=True, help="Take the clearance back.")
@access_option
@json_option
def clear(
    account: Address,
    name: str | None,
    until_s: int | None,
    days: int | None,
    policy: Path,
    withdraw: bool,
    access: Path | None,
    as_json: bool,
) -> None:
    """Clear a participant for a class of data until a day is over, or withdraw its clearance.

    Example: domicile clear 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 --class special --days 90 --policy policy.md

    Exit codes: 0 done (now or before) or scheduled, 2 an argument is wrong or the account has no role or no ether for
    it, 3 the contract refused (the account is not registered, the day is over), 5 the endpoint failed.
    """
    from domicile.errors import ConfigurationError
    from domicile.protocol.eligibility import Sensitivity
    from scripts.access import open_access
    from scripts.documents import file_digest

    if withdraw and (name is not None or until_s is not None or days is not None):
        raise ConfigurationError("--withdraw: goes without --class, --until and --days; leave them out")
    if not withdraw and name is None:
        raise ConfigurationError("--class: missing; say for which class of data, or --withdraw")
    if not withdraw and (until_s is None) is (days is None):
        raise ConfigurationError("--until, --days: name one of them, so that the clearance ends")
    document, network = file_digest(policy), open_access(access)
    if name is None:
        _withdraw(network, account, document, as_json=as_json)
        return
    end_s = arguments.end_of_day_s(network.chain.timestamp(), days) if days is not None else until_s or 0
    _clear(network, account, Sensitivity[name.upper()], document, end_s, as_json=as_json)


@click.command("suspend")
@click.argument("account", type=arguments.address)
@click.option(
    "--reason", help="Why, in words. Only a salted digest goes on chain; the words stay beside the access file."
)
@click.option("--file", "document", type=FILE, help="Why, as a document; its sha-256 goes on chain.")
@click.option("--lift", is_flag=True, help="End a suspension.")
@access_option
@json_option
def suspend(
    account: Address, reason: str | None, document: Path | None, lift: bool, access: Path | None, as_json: bool
) -> None:
    """Keep a participant out of everything at once, or let it in again.

    Example: domicile suspend 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 --reason "keys were stolen"

    Exit codes: 0 done (now or before) or scheduled, 2 an argument is wrong or the account has no role or no ether for
    it, 3 the contract refused (the account is not registered), 5 the endpoint failed.
    """
    from domicile.chain.contracts import Nodes
    from domicile.errors import ConfigurationError
    from domicile.protocol.refusals import UnknownNode
    from scripts.access import open_access
    from scripts.documents import NO_DOCUMENT, file_digest, mark_done, reason_digest
    from scripts.governing import Progress, govern, require_role, tell_done_before
    from scripts.telling import tell

    if (reason is None) is (document is None) or reason == "":
        raise ConfigurationError("--reason, --file: name one of them, so that others can ask why")
    network = open_access(access)
    nodes = Nodes(network.chain, network.deployment)
    if nodes.standing_of(account).suspended is not lift:
        state = "not suspended" if lift else "suspended already"
        tell_done_before(f"{account} is {state}", as_json=as_json)
        return
    if not lift and not any(nodes.key_card_of(account)):
        # As the contract would say, but before a reason is kept.
        raise UnknownNode(node=account)
    act = nodes.reinstate if lift else nodes.suspend
    sender, kept = network.sender(), None
    require_role(network, sender.address, act(account, NO_DOCUMENT))
    if document is not None:
        why = file_digest(document)
    else:
        why, kept = reason_digest(network.folder, account, "reinstate" if lift else "suspend", reason or "")
    governed = govern(network, sender, act(account, why))
    if kept is not None and governed.progress is Progress.DONE:
        mark_done(kept)
    state = "no longer suspended" if lift else "suspended"
    told = {**governed.data(), "digest": why.hex(), "kept": None if kept is None else str(kept)}
    lines = [governed.line(f"{account} is {state}, digest of the reason {why.hex()}")]
    tell(as_json, told, lines if kept is None else [*lines, f"its words and their salt are kept in {kept}"])


def _clear(
    network: Access, account: Address, sensitivity: Sensitivity, policy: Digest, until_s: int, *, as_json: bool
) -> None:
    from domicile.chain.contracts import Nodes
    from scripts.governing import carry_out, tell_done_before
    from scripts.wording import moment

    nodes = Nodes(network.chain, network.deployment)
    standing = nodes.standing_of(account)
    told = f"{sensitivity.name.lower()} data until {moment(until_s)}"
    same = (standing.clearance, standing.cleared_until_s) == (sensitivity, until_s)
    if same and _policy_of(network, account) == policy:
        tell_done_before(f"{account} is cleared for {told} already", as_json=as_json)
        return
    call = nodes.clear(account, sensitivity, policy, until_s)
    carry_out(network, call, f"{account} is cleared for {told}", as_json=as_json)


def _withdraw(network: Access, account: Address, policy: Digest, *, as_json: bool) -> None:
    from domicile.chain.contracts import Nodes
    from scripts.governing import carry_out, tell_done_before

    nodes = Nodes(network.chain, network.deployment)
    if not nodes.standing_of(account).cleared_until_s:
        tell_done_before(f"{account} has no clearance", as_json=as_json)
        return
    carry_out(network, nodes.withdraw_clearance(account, policy), f"{account} is not cleared any more", as_json=as_json)


def _policy_of(network: Access, account: Address) -> Digest | None:
    """Policy of the newest clearance; the contract keeps it in events alone."""
    from domicile.chain import events as ev

    told = ev.read_events(
        network.chain, network.deployment, network.deployment.first_block, network.chain.block_number()
    )
    granted = [one.policy for one in told if isinstance(one, ev.ClearanceGranted) and one.node == account]
    return granted[-1] if granted else None
