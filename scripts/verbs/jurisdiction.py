"""``domicile jurisdiction``: places and how they stand; and, from its neighbour, who guards them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from scripts import arguments
from scripts.options import FILE, access_option, json_option
from scripts.verbs import jurisdiction_guards

if TYPE_CHECKING:
    from domicile.chain.sender import Call
    from domicile.protocol.jurisdiction import Tier
    from domicile.types import Digest, JurisdictionCode
    from scripts.access import Access
    from scripts.registry import Governance

TIER = click.Choice(["open", "conditional", "high_risk", "prohibited"])


@click.group("jurisdiction")
def group() -> None:
    """Places, how they stand, and how many attesters admit a node there."""


for verb in (jurisdiction_guards.quorum, jurisdiction_guards.guardian):
    group.add_command(verb)


@group.command("list")
@access_option
@json_option
def list_places(access: Path | None, as_json: bool) -> None:
    """List the places as a tree, with the tier that counts and the quorum that holds.

    Example: domicile jurisdiction list --access governor/access.toml

    Exit codes: 0 listed, 2 the access file is wrong, 5 the endpoint failed.
    """
    from scripts.access import open_access
    from scripts.documents import NO_DOCUMENT
    from scripts.registry import read_governance
    from scripts.telling import tell
    from scripts.wording import counted, spaced

    found = read_governance(open_access(access))
    rows, lines = [], []
    for place in found.tree():
        basis = None if place.legal_basis == NO_DOCUMENT else place.legal_basis.hex()
        rows.append(
            {
                "code": place.code,
                "parent": place.parent,
                "tier": place.tier.name.lower(),
                "strictest_tier": place.strictest.name.lower(),
                "quorum": place.quorum,
                "legal_basis": basis,
            }
        )
        inherited = "" if place.tier is place.strictest else f" (its own: {spaced(place.tier.name)})"
        admits = "no quorum yet" if place.quorum is None else f"quorum {counted(place.quorum, 'attester')}"
        told = f"basis {basis[:16]}" if basis else "no document"
        lines.append(f"{'  ' * place.depth}{place.code:<8} {spaced(place.strictest.name)}{inherited}, {admits}, {told}")
    guardians = sorted(found.registry.guardians)
    tell(as_json, {"jurisdictions": rows, "guardians": guardians}, lines or ["no places yet"])


@group.command("set")
@click.argument("code", type=arguments.code)
@click.option("--parent", type=arguments.code, help="The place that it lies in; fixed once it is listed.")
@click.option("--tier", type=TIER, help="How it stands. A stricter one counts at once, a looser one may have to wait.")
@click.option("--basis", type=FILE, help="The document that this is judged by; its sha-256 goes on chain.")
@access_option
@json_option
def set_place(
    code: JurisdictionCode,
    parent: JurisdictionCode | None,
    tier: str | None,
    basis: Path | None,
    access: Path | None,
    as_json: bool,
) -> None:
    """List a place, or give it another tier. Guardians tighten; whoever loosens may have to repeat the command later.

    Example: domicile jurisdiction set DE --parent EU --tier open --basis gdpr.pdf

    Exit codes: 0 done (now or before) or scheduled, 2 an argument is wrong or the account has no role or no ether for
    it, 3 the contract refused, 5 the endpoint failed.
    """
    from domicile.protocol.jurisdiction import Tier
    from scripts.access import open_access
    from scripts.documents import NO_DOCUMENT, file_digest
    from scripts.governing import Governed, Progress, carry_out, tell_done_before
    from scripts.registry import read_governance
    from scripts.telling import tell

    document = NO_DOCUMENT if basis is None else file_digest(basis)
    network = open_access(access)
    wanted = None if tier is None else Tier[tier.upper()]
    call, done = _change(network, read_governance(network), code, parent, wanted, document)
    if call is None:
        tell_done_before(done, as_json=as_json)
        return
    if call.action == "tighten":
        # A guardian's act, which needs no role that could make it wait.
        network.sender().act(call)
        tell(as_json, Governed(progress=Progress.DONE).data(), [done])
        return
    carry_out(network, call, done, as_json=as_json)


def _change(
    network: Access,
    found: Governance,
    code: JurisdictionCode,
    parent: JurisdictionCode | None,
    tier: Tier | None,
    document: Digest,
) -> tuple[Call | None, str]:
    """What is to be sent, if anything, and what to tell once it is done.

    Raises:
        ConfigurationError: a new place without a tier or below one that is not listed, or another parent than the one
            it was listed with.
    """
    from domicile.chain.contracts import Jurisdictions
    from domicile.errors import ConfigurationError
    from scripts.wording import spaced

    places = Jurisdictions(network.chain, network.deployment)
    known = next((place for place in found.tree() if place.code == code), None)
    if known is None:
        if tier is None:
            raise ConfigurationError(f"{code} is new: say with --tier how it stands")
        found.check_listed([parent] if parent else [], "--parent")
        below = f" below {parent}" if parent else ""
        return places.list(code, parent, tier, document), f"{code} listed{below}, {spaced(tier.name)}"
    if parent is not None and parent != known.parent:
        lies = f"lies in {known.parent}" if known.parent else "has no parent"
        raise ConfigurationError(f"{code} {lies}, which is fixed since it was listed; leave --parent out")
    if tier is None or tier is known.tier:
        return None, f"{code} is listed already, {spaced(known.tier.name)}"
    change = places.tighten if tier > known.tier else places.loosen
    return change(code, tier, document), f"{code} is {spaced(tier.name)} now, before {spaced(known.tier.name)}"
