"""Attestations: *this node is in this jurisdiction*, as attesters sign it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from domicile.types import Address, Digest, JurisdictionCode

DOMAIN_NAME = "Domicile NodeRegistry"
DOMAIN_VERSION = "1"

_FIELDS = [
    ("node", "address"),
    ("jurisdiction", "bytes8"),
    ("assurance", "uint8"),
    ("evidence", "bytes32"),
    ("validFrom", "uint40"),
    ("validUntil", "uint40"),
    ("nonce", "uint16"),
]
_DOMAIN = [("name", "string"), ("version", "string"), ("chainId", "uint256"), ("verifyingContract", "address")]


@dataclass(frozen=True, kw_only=True, slots=True)
class Attestation:
    """Valid at t when ``valid_from_s <= t < valid_until_s``; `nonce` is the node's present attestation nonce."""

    node: Address
    jurisdiction: JurisdictionCode
    assurance: int
    evidence: Digest
    valid_from_s: int
    valid_until_s: int
    nonce: int

    def typed_data(self, chain_id: int, contract: Address) -> dict[str, Any]:
        """The EIP-712 document, bound to one chain and contract."""
        return {
            "types": {
                "EIP712Domain": [{"name": name, "type": kind} for name, kind in _DOMAIN],
                "Attestation": [{"name": name, "type": kind} for name, kind in _FIELDS],
            },
            "primaryType": "Attestation",
            "domain": {
                "name": DOMAIN_NAME,
                "version": DOMAIN_VERSION,
                "chainId": chain_id,
                "verifyingContract": contract,
            },
            "message": {
                "node": self.node,
                "jurisdiction": self.jurisdiction.encode("ascii").ljust(8, b"\0"),
                "assurance": self.assurance,
                "evidence": self.evidence,
                "validFrom": self.valid_from_s,
                "validUntil": self.valid_until_s,
                "nonce": self.nonce,
            },
        }
