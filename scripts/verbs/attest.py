"""``domicile attest``: from a party's request to an attestation on chain, by files that can be mailed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from scripts import arguments
from scripts.options import FILE, NEW_FILE, access_option, json_option, yes_option

if TYPE_CHECKING:
    from domicile.types import Address, JurisdictionCode
    from scripts.attestation_file import AttestationRequest
    from scripts.attesting import Desk

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
    kind: str,
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
    from scripts.party_verbs import open_network
    from scripts.telling import tell

    check_output_file(out, "--out")
    address, chain, deployment = open_network(config)
    desk, now_s = Desk(chain, deployment), chain.timestamp()
    document = None if evidence is None else file_digest(evidence)
    made = AttestationRequest(
        chain_id=deployment.chain_id,
        node_registry=deployment.node_registry,
        node=address,
        jurisdiction=jurisdiction,
        assurance=assurance,
        evidence=Evidence.of(kind, document),  # type: ignore[arg-type] # click checked it
        valid_from_s=now_s,
        valid_until_s=arguments.end_of_day_s(now_s, days),
        nonce=desk.nodes.standing_of(address).nonce,
    )
    desk.check(made, str(out))
    if out.exists():
        there = read_file(out, AttestationRequest)
        fresh = {"valid_from_s": made.valid_from_s, "evidence": made.evidence}
        same_document = (there.evidence.kind, there.evidence.document) == (made.evidence.kind, made.evidence.document)
        if not same_document or there.model_copy(update=fresh) != made:
            raise ConfigurationError(f"--out: {out} holds another request; name another file, or remove it")
        tell(as_json, {"changed": False, "file": str(out)}, [f"{out} holds this request already"])
        return
    write_file(out, made)
    quorum = desk.nodes.quorum_of(jurisdiction)
    able = desk.able(made)
    lines = [
        f"{out}: mail it, with the document if there is one, to {quorum} of the attesters of {jurisdiction}:",
        *(f"  {one}" for one in able),
    ]
    tell(as_json, {"changed": True, "file": str(out), "quorum": quorum, "attesters": list(able)}, lines)


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
    from scripts.attesting import Desk, check_evidence, statement
    from scripts.outputs import check_output_file
    from scripts.telling import confirm, tell

    check_output_file(out, "--out")
    asked, network = read_file(request_file, AttestationRequest), open_access(access)
    desk = Desk(network.chain, network.deployment)
    desk.check(asked, str(request_file))
    desk.attester(network.address, asked)
    check_evidence(asked, evidence)
    if out.exists():
        there = read_file(out, AttestationSignature)
        if (there.request, there.attester) != (asked.digest.hex(), network.address):
            raise ConfigurationError(f"--out: {out} holds another signature; name another file, or remove it")
        tell(as_json, {"changed": False, "file": str(out)}, [f"{out} holds your signature already"])
        return
    if not as_json:
        tell(False, {}, ["You state:", *statement(asked)])
    confirm("Sign this statement?", yes=yes)
    signer = network.signer()
    signature = signer.sign_typed_data(desk.nodes.typed_data(asked.attestation))
    write_file(
        out,
        AttestationSignature(request=asked.digest.hex(), attester=signer.address, signature=signature.hex()),
    )
    told = {"changed": True, "file": str(out), "attester": signer.address}
    tell(as_json, told, [f"{out}: mail it to whoever submits the attestation"])


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

    Exit codes: 0 attested (now or before), 2 a file does not hold or signatures are missing, 3 the contract refused,
    5 the endpoint failed.
    """
    from domicile.errors import ConfigurationError
    from scripts.access import open_access
    from scripts.attestation_file import AttestationRequest, AttestationSignature, read_file
    from scripts.attesting import Desk
    from scripts.party_verbs import open_network, party_sender
    from scripts.telling import tell
    from scripts.wording import counted, moment

    asked = read_file(request_file, AttestationRequest)
    files = [(path, read_file(path, AttestationSignature)) for path in signatures]
    if config is not None and access is not None:
        raise ConfigurationError("--config, --access: name only one of them")
    network = None if config is not None else open_access(access)
    if network is not None:
        chain, deployment = network.chain, network.deployment
    else:
        assert config is not None  # noqa: S101
        _, chain, deployment = open_network(config)
    desk = Desk(chain, deployment)
    stated = f"{asked.node} is attested in {asked.jurisdiction} until {moment(asked.valid_until_s)}"
    if _is_accepted(desk, asked):
        tell(as_json, {"changed": False, "node": asked.node}, [f"{stated} already"])
        return
    desk.check(asked, str(request_file))
    signed = desk.signers(asked, files)
    desk.require_quorum(asked, signed)
    sender = party_sender(config) if config is not None else network.sender() if network is not None else None
    assert sender is not None  # noqa: S101
    sender.act(desk.nodes.attest(asked.attestation, [one.signature for one in signed]))
    told = {"changed": True, "node": asked.node, "attesters": [one.attester for one in signed]}
    tell(as_json, told, [f"{stated}, by {counted(len(signed), 'attester')}"])


@group.command()
@click.argument("account", type=arguments.address)
@click.option("--reason", type=FILE, required=True, help="A document that says why; its sha-256 goes on chain.")
@access_option
@yes_option
@json_option
def revoke(account: Address, reason: Path, access: Path | None, yes: bool, as_json: bool) -> None:
    """Take an attestation back, as an attester of its place: one is enough, and it counts at once.

    Example: domicile attest revoke 0x70997970C51812dc3A010C7d01b50e0d17dc79C8 --reason moved.md

    Exit codes: 0 revoked (now or before), 2 an argument is wrong or it was not confirmed, 3 the contract refused (you
    are no attester of that place), 5 the endpoint failed.
    """
    from scripts.access import open_access
    from scripts.attesting import Desk
    from scripts.documents import file_digest
    from scripts.telling import confirm, tell

    network = open_access(access)
    nodes = Desk(network.chain, network.deployment).nodes
    if not nodes.standing_of(account).attested_until_s:
        tell(as_json, {"changed": False, "node": account}, [f"{account} has no attestation"])
        return
    digest = file_digest(reason)
    confirm(f"Revoke the attestation of {account}? It is out of every job at once.", yes=yes)
    network.sender().act(nodes.revoke_attestation(account, digest))
    tell(as_json, {"changed": True, "node": account, "reason": digest.hex()}, [f"{account} is attested no more"])


def _is_accepted(desk: Desk, asked: AttestationRequest) -> bool:
    """Whether exactly this attestation is in force."""
    from domicile.types import Address

    standing = desk.nodes.standing_of(Address(asked.node))
    in_force = (standing.nonce, standing.attested_from_s, standing.attested_until_s)
    place = desk.governance.codes[standing.jurisdiction]
    wanted = (asked.nonce + 1, asked.valid_from_s, asked.valid_until_s)
    return in_force == wanted and place == asked.jurisdiction
