"""Whether an attestation can still be given, signed and sent, by what the chain says now."""

from __future__ import annotations

from pathlib import Path

from domicile.chain import events as ev
from domicile.chain.client import Chain
from domicile.chain.contracts import Nodes
from domicile.chain.deployment import Deployment
from domicile.errors import ConfigurationError
from domicile.protocol.attestation import Attestation
from domicile.protocol.eligibility import Refusal
from domicile.protocol.registry import Attester
from domicile.types import Address
from scripts.attestation_file import AttestationRequest
from scripts.doctor.standing import ANYWHERE
from scripts.documents import file_digest
from scripts.registry import Governance, governance_at
from scripts.wording import listed, moment

ASK = "ask the party for a new request"
DAYS_MAX = 3650
DAY_S = 24 * 3600


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

    def check_network(self, request: AttestationRequest, source: str) -> None:
        """Raises:
        ConfigurationError: the request is for another network; `source` names the file.
        """
        ours = (self._deployment.chain_id, self._deployment.node_registry)
        if (request.chain_id, request.node_registry) != ours:
            raise ConfigurationError(
                f"{source}: is for registry {request.node_registry} on chain {request.chain_id}, this network is "
                f"{self._deployment.node_registry} on chain {self._deployment.chain_id}; use the other network's "
                f"configuration, or {ASK}"
            )

    def check(self, request: AttestationRequest, source: str) -> None:
        """Whether the chain would take an attestation of what a request states now.

        Raises:
            ConfigurationError: it would not; `source` names the file.
        """
        self.check_network(request, source)
        node = Address(request.node)
        if not any(self.nodes.key_card_of(node)):
            raise ConfigurationError(
                f"{source}: {node} is not registered; its operator enters it with `domicile node register` or "
                "`domicile aggregator register`"
            )
        self._check_place(request, source)
        self._check_validity(request, source)
        nonce = self.nodes.standing_of(node).nonce
        if request.nonce != nonce:
            raise ConfigurationError(
                f"{source}: its nonce is {request.nonce}, that of {node} is {nonce} by now: another attestation was "
                f"accepted or revoked since; {ASK}"
            )

    def _check_place(self, request: AttestationRequest, source: str) -> None:
        place = request.jurisdiction
        self.governance.check_listed([place], source)
        if self.governance.quorum(self.governance.codes.index(request.attestation.jurisdiction)) is None:
            raise ConfigurationError(
                f"{source}: {place} has no quorum of attesters yet; governance sets it with `domicile jurisdiction "
                "quorum`"
            )

    def _check_validity(self, request: AttestationRequest, source: str) -> None:
        start_s, end_s, now_s = request.valid_from_s, request.valid_until_s, self._chain.timestamp()
        if start_s >= end_s:
            raise ConfigurationError(f"{source}: its validity ends before it begins; {ASK}")
        if now_s >= end_s:
            raise ConfigurationError(f"{source}: its validity ended at {moment(end_s)}; {ASK}")
        if now_s < start_s:
            raise ConfigurationError(f"{source}: its validity begins at {moment(start_s)}; wait for that, or {ASK}")
        if end_s - start_s > (DAYS_MAX + 1) * DAY_S:
            raise ConfigurationError(f"{source}: its validity is longer than {DAYS_MAX} days; {ASK}")

    def quorum(self, request: AttestationRequest) -> int:
        """How many attesters the place asks for, once it was checked that it asks for any."""
        return self.nodes.quorum_of(request.attestation.jurisdiction)

    def is_accepted(self, request: AttestationRequest, source: str) -> bool:
        """Whether exactly this attestation is in force.

        Raises:
            ConfigurationError: it was accepted and does not count any more, since its attesters went.
        """
        node, now_s = Address(request.node), self._chain.timestamp()
        is_next = self.nodes.standing_of(node).nonce == request.nonce + 1
        if not is_next or now_s >= request.valid_until_s or self._newest_of(node) != request.attestation:
            return False
        if self.nodes.refusal(node, ANYWHERE) is Refusal.ATTESTATION_EXPIRED:
            raise ConfigurationError(
                f"{source}: was accepted, but too few of those who signed it are still attesters; {ASK}"
            )
        return True

    def _newest_of(self, node: Address) -> Attestation | None:
        """The attestation that was accepted last and not taken back since."""
        newest = None
        first, last = self._deployment.first_block, self._chain.block_number()
        for event in ev.read_events(self._chain, self._deployment, first, last):
            if isinstance(event, (ev.AttestationRevoked, ev.NodeRetired)) and event.node == node:
                newest = None
            if isinstance(event, ev.NodeAttested) and event.node == node:
                newest = Attestation(
                    node=node,
                    jurisdiction=event.jurisdiction,
                    assurance=event.assurance,
                    evidence=event.evidence,
                    valid_from_s=event.valid_from_s,
                    valid_until_s=event.valid_until_s,
                    nonce=event.nonce,
                )
        return newest

    def attester(self, account: Address, request: AttestationRequest) -> Attester:
        """An attester who may attest in the request's jurisdiction.

        Raises:
            ConfigurationError: the account is none (any more), or not for this place.
        """
        found = self.governance.registry.attesters.get(account)
        if found is None:
            raise ConfigurationError(
                f"{account} is no attester (any more); ask another one, `domicile attester list` shows who there is"
            )
        if not found.scope & self._path(request):
            places = listed(self.governance.scope(found.scope))
            raise ConfigurationError(
                f"{account} attests for {places}, not for {request.jurisdiction}; ask an attester of that place"
            )
        return found

    def able(self, request: AttestationRequest) -> list[Address]:
        """Who may sign a request."""
        return self.governance.attesters_of(request.attestation.jurisdiction)

    def _path(self, request: AttestationRequest) -> int:
        places = self.governance.registry.places
        return places.closures[places.codes.index(request.jurisdiction)]


def check_evidence(request: AttestationRequest, document: Path | None, source: str) -> None:
    """Whether a document is the one that a request relies on; `source` names the request.

    Raises:
        ConfigurationError: it is another one, or one is missing.
    """
    wanted = request.evidence.document
    if document is None and wanted is not None:
        raise ConfigurationError(f"--evidence: missing; {source} relies on a document, name the one that came with it")
    if document is not None and wanted is None:
        raise ConfigurationError(f"--evidence: {source} relies on no document; leave it out")
    if document is not None and file_digest(document).hex() != wanted:
        raise ConfigurationError(
            f"--evidence: {document} is not the document that {source} relies on; name the one that came with it, or "
            f"{ASK}"
        )


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
