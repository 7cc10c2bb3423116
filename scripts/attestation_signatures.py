"""Signatures of an attestation, as whoever submits it gets them: whose they are, and whether there are enough."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

from domicile.errors import ConfigurationError
from domicile.types import Address
from scripts.attestation_file import AttestationRequest, AttestationSignature
from scripts.attesting import Desk
from scripts.wording import counted, listed

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of the group of secp256k1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Signed:
    """A signature whose signer was recovered and may attest in the place."""

    attester: Address
    signature: bytes


def signers(
    desk: Desk, request: AttestationRequest, files: Iterable[tuple[Path, AttestationSignature]]
) -> list[Signed]:
    """Each signature checked, one an attester, in the order in which the contract takes them.

    Raises:
        ConfigurationError: one is of another request, forged, or of nobody who may attest here.
    """
    found: dict[Address, Signed] = {}
    for path, one in files:
        if one.request != request.digest.hex():
            raise ConfigurationError(
                f"{path}: signs another request than the one named, or that was changed since; ask {one.attester} to "
                "sign this one"
            )
        signer = _recover(desk, request, one)
        if signer is None or signer != one.attester:
            raise ConfigurationError(f"{path}: is no signature of {one.attester}; ask for it anew")
        try:
            desk.attester(signer, request)
        except ConfigurationError as exc:
            raise ConfigurationError(f"{path}: {exc}") from exc
        found[signer] = Signed(attester=signer, signature=bytes.fromhex(one.signature))
    return sorted(found.values(), key=lambda signed: int(signed.attester, 16))


def require_quorum(desk: Desk, request: AttestationRequest, signed: list[Signed]) -> None:
    """Raises:
    ConfigurationError: there are too few; says how many are missing and who could sign.
    """
    quorum, have = desk.quorum(request), {one.attester for one in signed}
    if len(have) >= quorum:
        return
    others = [one for one in desk.able(request) if one not in have]
    missing = quorum - len(have)
    mend = (
        f"ask {missing} more of {listed(others)}"
        if len(others) >= missing
        else f"only {len(others)} more could sign, governance adds attesters with `domicile attester add`"
    )
    raise ConfigurationError(
        f"{request.jurisdiction} asks for {counted(quorum, 'attester')}, here is {counted(len(have), 'signature')}; "
        f"{mend}"
    )


def has_signed(desk: Desk, request: AttestationRequest, one: AttestationSignature, attester: Address) -> bool:
    """Whether a file is this attester's signature of this request."""
    return one.request == request.digest.hex() and one.attester == attester == _recover(desk, request, one)


def _recover(desk: Desk, request: AttestationRequest, one: AttestationSignature) -> Address | None:
    """Who signed, if the contract would take the signature: it refuses the second form that each has (EIP-2)."""
    signature = bytes.fromhex(one.signature)
    if signature[64] not in (27, 28) or int.from_bytes(signature[32:64]) > ORDER // 2:
        return None
    message = encode_typed_data(full_message=desk.nodes.typed_data(request.attestation))
    try:
        return Address(Account.recover_message(message, signature=signature))
    except (BadSignature, ValidationError, ValueError):
        return None
