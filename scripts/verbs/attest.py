"""``domicile attest``: from a party's request to an attestation on chain, by files that can be mailed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from scripts import arguments
from scripts.options import FILE, NEW_FILE, access_option, json_option, yes_option

if TYPE_CHECKING:
    from domicile.types import Address, JurisdictionCode
    from scripts.access import Access
    from scripts.attestation_file import EvidenceKind
    from scripts.party_access import PartyAccess

KIND = click.Choice(["registry-extract", "hosting-contract", "on-site-visit", "other"])


@click.group("attest")
def group() -> None:
    """State where a party is: request, sign, submit."""


@group.command()
@click.argument("config", type=FILE)
@click.option("--jurisdiction", type=arguments.code, required=True, help="Where the party is.")
@click.option("--evidence", type=FILE, help="The document that shows it; it is mailed beside the request.")
@click.option("--kind", type=KIND, default="other", show_default=True, help="What the attesters are to rely on.")
@click.option("--assurance", type=click.IntRange(0, 255), default=0, show_default=True, help="Grade of the evidence.")
@click.option("--days", type=click.IntRange(1, 3650), default=365, show_default=True, help="Validity from today.")
@click.option("--out", type=NEW_FILE, required=True, help="Request to write, for the attesters.")
@json_option
def request(
    config: Path,
    jurisdiction: JurisdictionCode,
    evidence: Path | None,
    kind: EvidenceKind,
    assurance: int,
    days: int,
    out: Path,
    as_json: bool,
) -> None:
    """Write a request for an attestation, by the configuration of a node or an aggregator. Nothing is sent.

    Example: domicile attest request clinic/node.toml --jurisdiction DE --evidence extract.pdf --kind registry-extract
    --out request.json

    Exit codes: 0 written (now or before), 2 an argument is wrong or the party is not registered, 5 the endpoint failed.
    """
    from domicile.errors import ConfigurationError
    from scripts.attestation_file import AttestationRequest, Evidence, read_file, write_file
    from scripts.attesting import Desk
    from scripts.documents import file_digest
    from scripts.outputs import check_output_file
    from scripts.telling import tell

    check_output_file(out, "--out")
    party = _party(config)
    desk, now_s = Desk(party.chain, party.deployment), party.chain.timestamp()
    made = AttestationRequest(
        chain_id=party.deployment.chain_id,
        node_registry=party.deployment.node_registry,
        node=party.address,
        jurisdiction=jurisdiction,
        assurance=assurance,
        evidence=Evidence.of(kind, None if evidence is None else file_digest(evidence)),
        valid_from_s=now_s,
        valid_until_s=arguments.end_of_day_s(now_s, days),
        nonce=desk.nodes.standing_of(party.address).nonce,
    )
    desk.check(made, str(config))
    changed = not out.exists()
    if changed:
        write_file(out, made)
    elif not made.asks_the_same(read_file(out, AttestationRequest)):
        raise ConfigurationError(f"--out: {out} holds another request; name another file, or remove it")
    quorum, able = desk.quorum(made), desk.able(made)
    lines = [
        f"{out}{'' if changed else ' holds this request already'}: mail it, with the document if there is one, to "
        f"{quorum} of the attesters of {jurisdiction}:",
        *(f"  {one}" for one in able),
    ]
    tell(as_json, {"changed": changed, "file": str(out), "quorum": quorum, "attesters": able}, lines)


@group.command()
@click.argument("request_file", metavar="REQUEST", type=FILE)
@click.option("--evidence", type=FILE, help="The document that came with the request.")
@click.option("--out", type=NEW_FILE, required=True, help="Signature to write, for whoever submits.")
@access_option
@yes_option
@json_option
def sign(request_file: Path, evidence: Path | None, out: Path, access: Path | None, yes: bool, as_json: bool) -> None:
    """Check a request against chain and evidence, and sign it as an attester. Nothing is sent.

    Example: domicile attest sign request.json --evidence extract.pdf --out berlin.signature.json --access
    attester/access.toml

    Exit codes: 0 signed (now or before), 2 an argument is wrong, the request does not hold, you are no attester of its
    place, or it was not confirmed, 5 the endpoint failed.
    """
    from domicile.errors import ConfigurationError
    from scripts.access import open_access
    from scripts.attestation_file import AttestationRequest, AttestationSignature, read_file, write_file
    from scripts.attestation_signatures import has_signed
    from scripts.attesting import Desk, check_evidence, statement
    from scripts.outputs import check_output_file
    from scripts.telling import confirm, progress, tell

    check_output_file(out, "--out")
    asked, network = read_file(request_file, AttestationRequest), open_access(access)
    desk = Desk(network.chain, network.deployment)
    desk.check(asked, str(request_file))
    desk.attester(network.address, asked)
    check_evidence(asked, evidence, str(request_file))
    told = {"changed": False, "file": str(out), "request": asked.digest.hex(), "attester": network.address}
    if out.exists():
        if not has_signed(desk, asked, read_file(out, AttestationSignature), network.address):
            raise ConfigurationError(f"--out: {out} holds another signature; name another file, or remove it")
        tell(as_json, told, [f"{out} holds your signature already"])
        return
    # Nobody signs what was not shown; data alone goes to standard output.
    for line in ("You state:", *statement(asked)):
        progress(as_json and yes, line)
    confirm("Sign this statement?", yes=yes)
    signature = network.signer().sign_typed_data(desk.nodes.typed_data(asked.attestation))
    write_file(
        out,
        AttestationSignature(request=asked.digest.hex(), attester=network.address, signature=signature.hex()),
    )
    tell(as_json, {**told, "changed": True}, [f"{out}: mail it to whoever submits the attestation"])


@group.command()
@click.argument("request_file", metavar="REQUEST", type=FILE)
@click.argument("signatures", type=FILE, nargs=-1, required=True)
@click.option("--config", type=FILE, help="Act as this node or aggregator, instead of by an access file.")
@access_option
@json_option
def submit(
    request_file: Path, signatures: tuple[Path, ...], config: Path | None, access: Path | None, as_json: bool
) -> None:
    """Check the signatures of a request and enter the attestation on chain. Anyone may.

    Example: domicile attest submit request.json berlin.signature.json bonn.signature.json --config clinic/node.toml

    Exit codes: 0 attested (now or before), 2 a file does not hold, signatures are missing or the account has no ether
    for it, 3 the contract refused, 5 the endpoint failed.
    """
    from scripts.attestation_file import AttestationRequest, AttestationSignature, read_file
    from scripts.attestation_signatures import require_quorum, signers
    from scripts.attesting import Desk
    from scripts.telling import tell
    from scripts.wording import counted, moment

    asked = read_file(request_file, AttestationRequest)
    files = [(path, read_file(path, AttestationSignature)) for path in signatures]
    network = _submitter(config, access)
    desk = Desk(network.chain, network.deployment)
    stated = f"{asked.node} is attested in {asked.jurisdiction} until {moment(asked.valid_until_s)}"
    desk.check_network(asked, str(request_file))
    if desk.is_accepted(asked, str(request_file)):
        tell(as_json, {"changed": False, "node": asked.node}, [f"{stated} already"])
        return
    desk.check(asked, str(request_file))
    signed = signers(desk, asked, files)
    require_quorum(desk, asked, signed)
    network.sender().act(desk.nodes.attest(asked.attestation, [one.signature for one in signed]))
    told = {"changed": True, "node": asked.node, "attesters": [one.attester for one in signed]}
    tell(as_json, told, [f"{stated}, by {counted(len(signed), 'attester')}"])


@group.command()
@click.argument("account", type=arguments.address)
@click.option("--reason", help="Why, in words; they are kept beside the access file, their salted digest is on chain.")
@click.option("--file", "document", type=FILE, help="A document that says why; its sha-256 goes on chain.")
@access_option
@yes_option
@json_option
def revoke(
    account: Address, reason: str | None, document: Path | None, access: Path | None, yes: bool, as_json: bool
) -> None:
    """Take an attestation back, as an attester of its place: one is enough, and it counts at once.

    Example: domicile attest revoke 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 --reason "moved abroad"

    Exit codes: 0 revoked (now or before), 2 an argument is wrong, it was not confirmed or the account has no ether for
    it, 3 the contract refused (you are no attester of that place), 5 the endpoint failed.
    """
    from domicile.chain.contracts import Nodes
    from domicile.errors import ConfigurationError
    from scripts.access import open_access
    from scripts.documents import file_digest, mark_done, reason_digest
    from scripts.telling import confirm, tell

    if (reason is None) is (document is None) or reason == "":
        raise ConfigurationError("--reason, --file: name one of them, so that others can ask why")
    network = open_access(access)
    nodes = Nodes(network.chain, network.deployment)
    if not nodes.standing_of(account).jurisdiction:
        tell(as_json, {"changed": False, "node": account}, [f"{account} has no attestation (any more)"])
        return
    confirm(f"Revoke the attestation of {account}? It is out of every job at once.", yes=yes)
    sender, kept = network.sender(), None
    if document is not None:
        why = file_digest(document)
    else:
        why, kept = reason_digest(network.folder, account, "revoke", reason or "")
    sender.act(nodes.revoke_attestation(account, why))
    lines = [f"{account} is attested no more, digest of the reason {why.hex()}"]
    if kept is not None:
        mark_done(kept)
        lines.append(f"its words and their salt are kept in {kept}")
    told = {"changed": True, "node": account, "digest": why.hex(), "kept": None if kept is None else str(kept)}
    tell(as_json, told, lines)


def _party(config: Path) -> PartyAccess:
    from scripts.doctor.case import load_config
    from scripts.party_access import PartyAccess

    return PartyAccess(config, load_config(config))


def _submitter(config: Path | None, access: Path | None) -> PartyAccess | Access:
    from domicile.errors import ConfigurationError
    from scripts.access import open_access

    if config is None:
        return open_access(access)
    if access is not None:
        raise ConfigurationError("--config, --access: name only one of them")
    return _party(config)
