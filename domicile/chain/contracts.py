"""The contracts, typed: views give values of ours, actions give calls for a `Sender`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from typing import Any, Self

from domicile.chain.artifacts import load_artifacts
from domicile.chain.client import Chain
from domicile.chain.codec import Component, decode_values, encode_values, selector
from domicile.chain.deployment import Deployment
from domicile.chain.sender import Call
from domicile.protocol.attestation import Attestation
from domicile.protocol.board import Agreement, Answer
from domicile.protocol.budget import Budget, Dataset
from domicile.protocol.eligibility import Refusal, Requirement, Safeguard, Sensitivity, Standing
from domicile.protocol.jurisdiction import Tier
from domicile.protocol.proposal import GlobalProposal, RegionalProposal, SurvivorsProposal
from domicile.protocol.round import (
    NO_DATASET,
    Committee,
    JobParameters,
    JobState,
    Member,
    ShardParameters,
    ShardState,
)
from domicile.types import Address, DatasetId, Digest, JobId, JurisdictionCode, ShardIndex


class _Contract:
    """One contract at one address, its functions prepared once."""

    def __init__(self, chain: Chain, name: str, address: Address) -> None:
        self._chain = chain
        self.address = address
        functions = [entry for entry in load_artifacts()[name].abi if entry["type"] == "function"]
        self._functions: Mapping[str, tuple[bytes, Component]] = {
            entry["name"]: (selector(entry), entry) for entry in functions
        }

    def at(self, block: int) -> Self:
        """The same contract as it was after `block`."""
        pinned = copy(self)
        pinned._chain = self._chain.at(block)
        return pinned

    def _view(self, function: str, *arguments: object) -> Any:
        prefix, entry = self._functions[function]
        answer = self._chain.call(self.address, prefix + encode_values(entry["inputs"], arguments))
        return _returned(entry, answer)

    def _views(self, function: str, arguments: Iterable[tuple[object, ...]]) -> list[Any]:
        """One function for several arguments, in one round trip."""
        prefix, entry = self._functions[function]
        data = [prefix + encode_values(entry["inputs"], one) for one in arguments]
        return [_returned(entry, answer) for answer in self._chain.calls(self.address, data)]

    def _action(self, function: str, *arguments: object) -> Call:
        prefix, entry = self._functions[function]
        return Call(action=function, target=self.address, data=prefix + encode_values(entry["inputs"], arguments))


def _returned(entry: Component, answer: bytes) -> Any:
    values = decode_values(entry["outputs"], answer)
    return values[0] if len(values) == 1 else values


def _demanded(requirement: Requirement) -> tuple[object, ...]:
    """In the order in which the gate asks for it."""
    return (
        requirement.allowed,
        requirement.denied,
        requirement.max_tier,
        requirement.sensitivity,
        requirement.safeguards,
    )


class Jurisdictions(_Contract):
    """The half of NodeRegistry that is about places."""

    def __init__(self, chain: Chain, deployment: Deployment) -> None:
        super().__init__(chain, "NodeRegistry", deployment.node_registry)

    def list(self, code: JurisdictionCode, parent: JurisdictionCode | None, tier: Tier, legal_basis: Digest) -> Call:
        return self._action("list", code, parent or "", tier, legal_basis)

    def tighten(self, code: JurisdictionCode, tier: Tier, legal_basis: Digest) -> Call:
        return self._action("tighten", code, tier, legal_basis)

    def loosen(self, code: JurisdictionCode, tier: Tier, legal_basis: Digest) -> Call:
        return self._action("loosen", code, tier, legal_basis)

    def set_guardian(self, account: Address, enabled: bool) -> Call:
        return self._action("setGuardian", account, enabled)

    def index_of(self, code: JurisdictionCode) -> int:
        return int(self._view("indexOf", code))

    def code_at(self, index: int) -> JurisdictionCode:
        return JurisdictionCode(self._view("codeAt", index))

    def closure_of(self, index: int) -> int:
        return int(self._view("closureOf", index))

    def tier_of(self, code: JurisdictionCode) -> Tier:
        return Tier(self._view("tierOf", code))

    def is_guardian(self, account: Address) -> bool:
        return bool(self._view("isGuardian", account))


class Nodes(_Contract):
    """The half of NodeRegistry that is about participants."""

    def __init__(self, chain: Chain, deployment: Deployment) -> None:
        super().__init__(chain, "NodeRegistry", deployment.node_registry)
        self._chain_id = deployment.chain_id

    def register(self, key_card: Digest, safeguards: Safeguard) -> Call:
        return self._action("register", key_card, safeguards)

    def update_key_card(self, key_card: Digest, safeguards: Safeguard) -> Call:
        return self._action("updateKeyCard", key_card, safeguards)

    def retire(self) -> Call:
        return self._action("retire")

    def add_attester(self, attester: Address, jurisdictions: Sequence[JurisdictionCode]) -> Call:
        return self._action("addAttester", attester, jurisdictions)

    def remove_attester(self, attester: Address) -> Call:
        return self._action("removeAttester", attester)

    def set_quorum(self, jurisdiction: JurisdictionCode, quorum: int) -> Call:
        return self._action("setQuorum", jurisdiction, quorum)

    def raise_quorum(self, jurisdiction: JurisdictionCode, quorum: int) -> Call:
        return self._action("raiseQuorum", jurisdiction, quorum)

    def attest(self, attestation: Attestation, signatures: Sequence[bytes]) -> Call:
        """`signatures` in ascending order of the signers' addresses."""
        return self._action("attest", attestation, signatures)

    def revoke_attestation(self, node: Address, reason: Digest) -> Call:
        return self._action("revokeAttestation", node, reason)

    def clear(self, node: Address, sensitivity: Sensitivity, policy: Digest, valid_until_s: int) -> Call:
        return self._action("clear", node, sensitivity, policy, valid_until_s)

    def withdraw_clearance(self, node: Address, policy: Digest) -> Call:
        return self._action("withdrawClearance", node, policy)

    def suspend(self, node: Address, reason: Digest) -> Call:
        return self._action("suspend", node, reason)

    def reinstate(self, node: Address, reason: Digest) -> Call:
        return self._action("reinstate", node, reason)

    def refusal(self, node: Address, requirement: Requirement) -> Refusal:
        reason, _ = self._view("eligibility", node, *_demanded(requirement))
        return Refusal(reason)

    def refusals(self, nodes: Iterable[Address], requirement: Requirement) -> dict[Address, Refusal]:
        """What the gate says of each, in one round trip."""
        asked = tuple(nodes)
        answers = self._views("eligibility", ((node, *_demanded(requirement)) for node in asked))
        return {node: Refusal(reason) for node, (reason, _) in zip(asked, answers, strict=True)}

    def standing_of(self, node: Address) -> Standing:
        standing: Standing = self._view("standingOf", node)
        return standing

    def quorum_of(self, jurisdiction: JurisdictionCode) -> int:
        """Nearest quorum on the path to the root.

        Raises:
            QuorumNotSet: there is none.
        """
        return int(self._view("quorumOf", jurisdiction))

    def attester_of(self, attester: Address) -> tuple[int, int]:
        """Index and scope of a present attester.

        Raises:
            UnknownAttester: it is none, or was removed.
        """
        index, scope = self._view("attesterOf", attester)
        return index, scope

    def key_card_of(self, node: Address) -> Digest:
        return Digest(self._view("keyCardOf", node))

    def typed_data(self, attestation: Attestation) -> dict[str, Any]:
        """What an attester signs, as an EIP-712 document."""
        return attestation.typed_data(self._chain_id, self.address)


class Jobs(_Contract):
    """TrainingJobs."""

    def __init__(self, chain: Chain, deployment: Deployment) -> None:
        super().__init__(chain, "TrainingJobs", deployment.training_jobs)

    def create_job(
        self, parameters: JobParameters, shards: Sequence[ShardParameters], global_committee: Committee
    ) -> Call:
        return self._action("createJob", parameters, shards, global_committee)

    def join(self, job: JobId, shard: ShardIndex, dataset: DatasetId = NO_DATASET) -> Call:
        """With a dataset exactly where the job has a budget."""
        return self._action("join", job, shard, dataset)

    def leave(self, job: JobId) -> Call:
        return self._action("leave", job)

    def start(self, job: JobId) -> Call:
        return self._action("start", job)

    def cancel(self, job: JobId) -> Call:
        return self._action("cancel", job)

    def commit(self, job: JobId, global_round: int, regional_round: int, digest: Digest) -> Call:
        return self._action("commit", job, global_round, regional_round, digest)

    def vote_regional(self, job: JobId, shard: ShardIndex, proposal: RegionalProposal) -> Call:
        return self._action("voteRegional", job, shard, proposal)

    def report_export(self, job: JobId, shard: ShardIndex, global_round: int, payload: Digest) -> Call:
        return self._action("reportExport", job, shard, global_round, payload)

    def vote_global(self, job: JobId, proposal: GlobalProposal) -> Call:
        return self._action("voteGlobal", job, proposal)

    def advance(self, job: JobId) -> Call:
        return self._action("advance", job)

    def advance_shard(self, job: JobId, shard: ShardIndex) -> Call:
        return self._action("advanceShard", job, shard)

    def num_jobs(self) -> int:
        return int(self._view("numJobs"))

    def owner_of(self, job: JobId) -> Address:
        return Address(self._view("ownerOf", job))

    def committee_of(self, job: JobId, shard: ShardIndex) -> Committee:
        committee: Committee = self._view("committeeOf", job, shard)
        return committee

    def global_committee_of(self, job: JobId) -> Committee:
        committee: Committee = self._view("globalCommitteeOf", job)
        return committee

    def proposal_votes(self, proposal_id: bytes) -> int:
        """Mask of a proposal's voters by position in the committee; empty where one vote was enough."""
        return int(self._view("proposalVotes", proposal_id))

    def parameters_of(self, job: JobId) -> JobParameters:
        parameters: JobParameters = self._view("parametersOf", job)
        return parameters

    def snapshot(self, job: JobId) -> tuple[JobState, tuple[ShardState, ...]]:
        state, shards = self._view("snapshot", job)
        return state, tuple(shards)

    def shard_state(self, job: JobId, shard: ShardIndex) -> ShardState:
        state: ShardState = self._view("shardState", job, shard)
        return state

    def member_of(self, job: JobId, node: Address) -> Member:
        member: Member = self._view("memberOf", job, node)
        return member

    def requirement_of(self, job: JobId, shard: ShardIndex) -> Requirement:
        requirement: Requirement = self._view("requirementOf", job, shard)
        return requirement

    def global_requirement_of(self, job: JobId) -> Requirement:
        requirement: Requirement = self._view("globalRequirementOf", job)
        return requirement

    def commitments_of(self, job: JobId, shard: ShardIndex) -> Digest:
        return Digest(self._view("commitmentsOf", job, shard))

    def reports_of(self, job: JobId) -> Digest:
        return Digest(self._view("reportsOf", job))

    def regional_model_of(self, job: JobId, shard: ShardIndex) -> Digest:
        return Digest(self._view("regionalModelOf", job, shard))

    def global_model_of(self, job: JobId) -> Digest:
        return Digest(self._view("globalModelOf", job))


class Budgets(_Contract):
    """PrivacyLedger."""

    def __init__(self, chain: Chain, deployment: Deployment) -> None:
        super().__init__(chain, "PrivacyLedger", deployment.privacy_ledger)

    def register_dataset(self, commitment: Digest, holder: Address) -> Call:
        return self._action("registerDataset", commitment, holder)

    def grant_budget(self, dataset: DatasetId, budget: Budget, valid_until_s: int) -> Call:
        return self._action("grantBudget", dataset, budget.epsilon_micros, budget.delta_attos, valid_until_s)

    def return_budget(self, job: JobId, node: Address, spent: Budget) -> Call:
        return self._action("returnBudget", job, node, spent.epsilon_micros, spent.delta_attos)

    def num_datasets(self) -> int:
        return int(self._view("numDatasets"))

    def dataset_of(self, commitment: Digest) -> DatasetId:
        """Number of the dataset with a commitment, 0 for none."""
        return DatasetId(self._view("datasetOf", commitment))

    def dataset_at(self, dataset: DatasetId) -> Dataset:
        """A registered dataset.

        Raises:
            UnknownDataset: there is none of this number.
        """
        found: Dataset = self._view("datasetAt", dataset)
        return found

    def has_returned(self, job: JobId, node: Address) -> bool:
        """Whether a member's reservation ended other than by leaving before the start."""
        return bool(self._view("hasReturned", job, node))


class Board(_Contract):
    """UnmaskingBoard."""

    def __init__(self, chain: Chain, deployment: Deployment) -> None:
        super().__init__(chain, "UnmaskingBoard", deployment.unmasking_board)

    def vote_survivors(self, job: JobId, shard: ShardIndex, proposal: SurvivorsProposal) -> Call:
        return self._action("voteSurvivors", job, shard, proposal)

    def unmask(self, job: JobId, global_round: int, regional_round: int, digest: Digest) -> Call:
        """`digest` of the sealed answer in the region store."""
        return self._action("unmask", job, global_round, regional_round, digest)

    def agreement_of(self, job: JobId, shard: ShardIndex) -> Agreement:
        """The last set agreed on in a shard; none has 0 survivors."""
        agreement: Agreement = self._view("agreementOf", job, shard)
        return agreement

    def answer_of(self, job: JobId, node: Address) -> Answer:
        """The last round in which a node unmasked in a job."""
        answer: Answer = self._view("answerOf", job, node)
        return answer

    def survivors_votes(self, proposal_id: bytes) -> int:
        """Mask of a proposal's voters by position in the committee; empty where one vote was enough."""
        return int(self._view("survivorsVotes", proposal_id))
