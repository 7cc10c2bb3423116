"""Whether an attestation can still be given, signed and sent, by what the chain says now."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_keys.exceptions import BadSignature
from eth_utils.exceptions import ValidationError

from domicile.chain.client import Chain
from domicile.chain.contracts import Nodes
from domicile.chain.deployment import Deployment
from domicile.errors import ConfigurationError
from domicile.protocol.registry import Attester
from domicile.types import Address
from scripts.attestation_file import AttestationRequest, AttestationSignature
from scripts.documents import file_digest
from scripts.registry import Governance, governance_at
from scripts.wording import counted, listed, moment

ASK = "ask the party for a new request"


@dataclass(frozen=True, kw_only=True, slots=True)
class Signed:
    """A signature whose signer was recovered and may attest in the place."""

    attester: Address
    signature: bytes


class Desk:
    """One network, as everybody who handles an attestation sees it."""

    def __init__(self, chain: Chain, deployment: Deployment) -> None:
        self._chain = chain
        self._deployment = deployment
        self.nodes = Nodes(chain, deployment)
        self._governance: Governance | None = None

    @property
    def governance(self) -> Governance:
        if self._governance is None:
            self._governance = governance_at(self._chain, self._deployment)
        return self._governance

    def check(self, request: AttestationRequest, source: str) -> None:
        """Whether the chain would still take an attestation of what a request states.

        Raises:
            ConfigurationError: it would not; `source` names the file.
        """
        ours = (self._deployment.chain_id, self._deployment.node_registry.lower())
        if (request.chain_id, request.node_registry.lower()) != ours:
            raise ConfigurationError(
                f"{source}: is for registry {request.node_registry} on chain {request.chain_id}, this network is "
                f"{self._deployment.node_registry} on chain {self._deployment.chain_id}; use the other network's "
                f"access file, or {ASK}"
            )
        node = Address(request.node)
        if not any(self.nodes.key_card_of(node)):
            raise ConfigurationError(f"{source}: {node} is not registered; its operator must register it first")
        nonce, now_s = self.nodes.standing_of(node).nonce, self._chain.timestamp()
        if request.nonce != nonce:
            raise ConfigurationError(
                f"{source}: its nonce is {request.nonce}, that of {node} is {nonce} by now: another attestation was "
                f"accepted or revoked since; {ASK}"
            )
        if request.valid_from_s >= request.valid_until_s:
            raise ConfigurationError(f"{source}: its validity ends before it begins; {ASK}")
        if now_s >= request.valid_until_s:
            raise ConfigurationError(f"{source}: its validity ended at {moment(request.valid_until_s)}; {ASK}")
        if request.jurisdiction not in self.governance.codes:
            raise ConfigurationError(
                f"{source}: {request.jurisdiction} is not listed on this network; governance must list it first"
            )

    def attester(self, account: Address, request: AttestationRequest) -> Attester:
        """An attester who may attest in the request's jurisdiction.

        Raises:
            ConfigurationError: the account is none (any more), or not for this place.
        """
        found = self.governance.registry.attesters.get(account)
        if found is None:
            raise ConfigurationError(f"{account} is no attester (any more); `domicile attester list` shows who is")
        if not found.scope & self._path(request):
            places = listed(self.governance.scope(found.scope))
            raise ConfigurationError(
                f"{account} attests for {places}, not for {request.jurisdiction}; ask an attester of that place"
            )
        return found

    def able(self, request: AttestationRequest) -> list[Address]:
        """Who may sign a request."""
        path = self._path(request)
        return [one for one, held in self.governance.registry.attesters.items() if held.scope & path]

    def signers(self, request: AttestationRequest, files: Iterable[tuple[Path, AttestationSignature]]) -> list[Signed]:
        """Each signature checked, in the order in which the contract takes them.

        Raises:
            ConfigurationError: one is of another request, forged, or of nobody who may attest here.
        """
        found: dict[Address, Signed] = {}
        for path, one in files:
            if one.request != request.digest.hex():
                raise ConfigurationError(
                    f"{path}: signs another request than the one named (or that was changed since); ask {one.attester} "
                    "to sign this one"
                )
            signer = self._recover(request, one)
            if signer is None or signer.lower() != one.attester.lower():
                raise ConfigurationError(f"{path}: is no signature of {one.attester}; ask for it anew")
            try:
                self.attester(signer, request)
            except ConfigurationError as exc:
                raise ConfigurationError(f"{path}: {exc}") from exc
            found[signer] = Signed(attester=signer, signature=bytes.fromhex(one.signature))
        return sorted(found.values(), key=lambda signed: int(signed.attester, 16))

    def require_quorum(self, request: AttestationRequest, signed: list[Signed]) -> None:
        """Raises:
        ConfigurationError: there are too few; says how many are missing and who could sign.
        """
        quorum = self.nodes.quorum_of(request.attestation.jurisdiction)
        if len(signed) >= quorum:
            return
        have = {one.attester for one in signed}
        others = [one for one in self.able(request) if one not in have]
        raise ConfigurationError(
            f"{request.jurisdiction} asks for {quorum} attesters, here is {counted(len(signed), 'signature')}; "
            + (f"ask {quorum - len(signed)} more of {listed(others)}" if others else "there are no further attesters")
        )

    def _path(self, request: AttestationRequest) -> int:
        places = self.governance.registry.places
        return places.closures[places.codes.index(request.jurisdiction)]

    def _recover(self, request: AttestationRequest, one: AttestationSignature) -> Address | None:
        message = encode_typed_data(full_message=self.nodes.typed_data(request.attestation))
        try:
            return Address(Account.recover_message(message, signature=bytes.fromhex(one.signature)))
        except (BadSignature, ValidationError, ValueError):
            return None


def check_evidence(request: AttestationRequest, document: Path | None) -> None:
    """Whether a document is the one that a request relies on.

    Raises:
        ConfigurationError: it is another one, or one is missing.
    """
    wanted = request.evidence.document
    if document is None:
        if wanted is not None:
            raise ConfigurationError(
                "--evidence: missing; the request relies on a document, name the one that came with it"
            )
        return
    if wanted is None:
        raise ConfigurationError("--evidence: the request relies on no document; leave it out")
    if file_digest(document).hex() != wanted:
        raise ConfigurationError(f"--evidence: {document} is not the document of the request; {ASK}")


def statement(request: AttestationRequest) -> list[str]:
    """What is stated, in words."""
    evidence = request.evidence
    relied = f"a document ({evidence.kind}, sha-256 {evidence.document})" if evidence.document else evidence.kind
    return [
        f"account {request.node} is in {request.jurisdiction}",
        f"  from {moment(request.valid_from_s)} until {moment(request.valid_until_s)}, assurance {request.assurance}",
        f"  relied on: {relied}",
        f"  registry {request.node_registry}, chain {request.chain_id}, nonce {request.nonce}",
    ]
