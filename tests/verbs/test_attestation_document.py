"""The worked example of docs/attestation-format.md is what the code makes, and what its rules make by hand."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

from eth_keys.datatypes import Signature
from eth_utils.crypto import keccak

from domicile.chain.account import Signer
from domicile.types import Address
from scripts.attestation_file import AttestationRequest, AttestationSignature, read_file, write_file

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "attestation-format.md").read_text(encoding="utf-8")
EXTRACT = b"Handelsregister Berlin, HRB 1\n"
ATTESTER = Signer.from_key(bytes(range(1, 33)))

REQUEST, SIGNATURE = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", DOCUMENT, re.DOTALL))


def told(what: str) -> bytes:
    """A row of the example's table."""
    [digits] = re.findall(rf"^\| {re.escape(what)} \| `([0-9a-f]+)` \|$", DOCUMENT, re.MULTILINE)
    return bytes.fromhex(digits)


def word(value: int | str) -> bytes:
    """An ABI word of a number or an account."""
    return (int(value, 16) if isinstance(value, str) else value).to_bytes(32)


def read(folder: Path) -> tuple[AttestationRequest, AttestationSignature]:
    (folder / "request.json").write_text(json.dumps(REQUEST), encoding="utf-8")
    (folder / "signature.json").write_text(json.dumps(SIGNATURE), encoding="utf-8")
    return (
        read_file(folder / "request.json", AttestationRequest),
        read_file(folder / "signature.json", AttestationSignature),
    )


def test_the_code_makes_the_digests_and_the_signature_of_the_example(tmp_path: Path) -> None:
    request, signature = read(tmp_path)
    assert request.evidence.document == hashlib.sha256(EXTRACT).hexdigest()
    assert request.evidence.digest == told("evidence digest")
    assert request.digest == told("request digest")
    document = request.attestation.typed_data(request.chain_id, Address(request.node_registry))
    assert ATTESTER.sign_typed_data(document).hex() == signature.signature
    write_file(tmp_path / "again.json", request)
    assert json.loads((tmp_path / "again.json").read_text(encoding="utf-8")) == REQUEST


def test_the_rules_of_the_document_make_the_same_bytes_by_hand() -> None:
    evidence = REQUEST["evidence"]
    salted = bytes.fromhex(evidence["salt"]) + evidence["kind"].encode() + b"\0" + hashlib.sha256(EXTRACT).digest()
    assert hashlib.sha256(salted).digest() == told("evidence digest")
    canonical = json.dumps(REQUEST, sort_keys=True, separators=(",", ":")).encode("ascii")
    assert hashlib.sha256(canonical).digest() == told("request digest")
    assert SIGNATURE["request"] == told("request digest").hex()

    [domain_type, message_type] = (
        " ".join(found.split()).encode()
        for found in re.findall(r"`((?:EIP712Domain|Attestation)\(.*?\))`", DOCUMENT, re.DOTALL)
    )
    domain = keccak(
        keccak(domain_type)
        + keccak(b"Domicile NodeRegistry")
        + keccak(b"1")
        + word(REQUEST["chain_id"])
        + word(REQUEST["node_registry"])
    )
    assert domain == told("EIP-712 domain separator")
    message = keccak(
        keccak(message_type)
        + word(REQUEST["node"])
        + REQUEST["jurisdiction"].encode("ascii").ljust(32, b"\0")
        + word(REQUEST["assurance"])
        + told("evidence digest")
        + word(REQUEST["valid_from_s"])
        + word(REQUEST["valid_until_s"])
        + word(REQUEST["nonce"])
    )
    assert message == told("EIP-712 struct hash")
    digest = keccak(b"\x19\x01" + domain + message)
    assert digest == told("EIP-712 digest, which is signed")
    raw = bytes.fromhex(SIGNATURE["signature"])
    signer = Signature(raw[:64] + bytes([raw[64] - 27])).recover_public_key_from_msg_hash(digest)
    assert signer.to_checksum_address() == SIGNATURE["attester"] == ATTESTER.address


def test_every_key_of_both_files_is_in_the_document() -> None:
    for document in (REQUEST, SIGNATURE):
        for key in (*document, *(f"evidence.{one}" for one in document.get("evidence", ()))):
            assert key == "evidence" or f"`{key}`" in DOCUMENT
