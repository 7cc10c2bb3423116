"""Files of an attestation on its way from the party to its attesters and to the chain (docs/attestation-format.md)."""

from __future__ import annotations

import hashlib
import json
import secrets
from pathlib import Path
from typing import Annotated, Literal, TypeVar

from eth_utils.address import is_checksum_address
from pydantic import AfterValidator, Field, ValidationError

from domicile.errors import ConfigurationError
from domicile.protocol.attestation import Attestation
from domicile.settings import Settings, describe
from domicile.types import Address, Digest, JurisdictionCode

EvidenceKind = Literal["registry-extract", "hosting-contract", "on-site-visit", "other"]
SALT_BYTES = 16
FILE_BYTES_MAX = 1 << 16

_HEX_32 = "^[0-9a-f]{64}$"


def _with_checksum(value: str) -> str:
    if not is_checksum_address(value):
        raise ValueError("no account with its EIP-55 checksum; correct this value")
    return value


Account = Annotated[str, AfterValidator(_with_checksum)]
"""In one spelling alone: a digit that was changed is found, and a request has one digest."""


class Evidence(Settings):
    """What the statement relies on. `document` is sha-256 of a document that is mailed beside the request; `None` where
    there is none. The salt keeps a document of few possible contents from being guessed from the digest on chain.
    """

    kind: EvidenceKind
    document: str | None = Field(default=None, pattern=_HEX_32)
    salt: str = Field(pattern="^[0-9a-f]{32}$")

    @property
    def digest(self) -> Digest:
        """What goes on chain: sha-256 of salt, kind in UTF-8, a zero byte, and the document's sha-256 or 32 zeros."""
        document = bytes(32) if self.document is None else bytes.fromhex(self.document)
        return Digest(hashlib.sha256(bytes.fromhex(self.salt) + self.kind.encode() + b"\0" + document).digest())

    @classmethod
    def of(cls, kind: EvidenceKind, document: Digest | None) -> Evidence:
        """With a fresh salt."""
        salt = secrets.token_hex(SALT_BYTES)
        return cls(kind=kind, document=None if document is None else document.hex(), salt=salt)


class AttestationRequest(Settings):
    """*Please state that this account is in this jurisdiction*; times in seconds on the chain's clock."""

    version: Literal["1"] = "1"
    type: Literal["attestation-request"] = "attestation-request"
    chain_id: int = Field(ge=1)
    node_registry: Account
    node: Account
    jurisdiction: str = Field(pattern="^[A-Z0-9-]{1,8}$")
    assurance: int = Field(ge=0, le=255)
    evidence: Evidence
    valid_from_s: int = Field(ge=0, lt=1 << 40)
    valid_until_s: int = Field(ge=0, lt=1 << 40)
    nonce: int = Field(ge=0, lt=1 << 16)

    @property
    def attestation(self) -> Attestation:
        return Attestation(
            node=Address(self.node),
            jurisdiction=JurisdictionCode(self.jurisdiction),
            assurance=self.assurance,
            evidence=self.evidence.digest,
            valid_from_s=self.valid_from_s,
            valid_until_s=self.valid_until_s,
            nonce=self.nonce,
        )

    def asks_the_same(self, other: AttestationRequest) -> bool:
        """Whether the other was made by the same command on the same day, with a salt of its own."""
        evidence = self.evidence.model_copy(update={"salt": other.evidence.salt})
        return other == self.model_copy(update={"valid_from_s": other.valid_from_s, "evidence": evidence})

    @property
    def digest(self) -> Digest:
        """sha-256 of the canonical JSON: sorted keys, no spaces."""
        canonical = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"))
        return Digest(hashlib.sha256(canonical.encode()).digest())


class AttestationSignature(Settings):
    """One attester's EIP-712 signature of a request, which `request` names by its digest."""

    version: Literal["1"] = "1"
    type: Literal["attestation-signature"] = "attestation-signature"
    request: str = Field(pattern=_HEX_32)
    attester: Account
    signature: str = Field(pattern="^[0-9a-f]{130}$")


KINDS = ("attestation-request", "attestation-signature")

F = TypeVar("F", AttestationRequest, AttestationSignature)


def read_file(path: Path, model: type[F]) -> F:
    """Reads a file that somebody else wrote.

    Raises:
        ConfigurationError: it is no such file; names what is wrong and whom to ask.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(FILE_BYTES_MAX + 1)
    except OSError as exc:
        raise ConfigurationError(f"{path} cannot be read ({exc.strerror}); name another file") from exc
    kind = model.model_fields["type"].default
    if len(raw) > FILE_BYTES_MAX:
        raise ConfigurationError(f"{path} is too long for an {kind}; name the right file")
    other = _kind_of(raw)
    if other in KINDS and other != kind:
        raise ConfigurationError(f"{path} is an {other}, where an {kind} is to be named; name the right file")
    try:
        return model.model_validate_json(raw)
    except ValidationError as exc:
        raise ConfigurationError(f"{path} is no {kind}: {describe(exc, model)}, or ask for it anew") from exc


def _kind_of(raw: bytes) -> object:
    """What a file says that it is, whatever else is wrong with it."""
    try:
        document = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return document.get("type") if isinstance(document, dict) else None


def write_file(path: Path, document: AttestationRequest | AttestationSignature) -> None:
    """Writes a file, whole or not at all.

    Raises:
        ConfigurationError: it cannot be written.
    """
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_text(json.dumps(document.model_dump(mode="json"), indent=2) + "\n", encoding="utf-8")
        new.replace(path)
    except OSError as exc:
        raise ConfigurationError(f"--out: {path} cannot be written ({exc.strerror}); name another file") from exc
