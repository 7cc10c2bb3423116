"""What an act on a job makes known: the twin of TrainingJobs' events, without their place on a chain."""

from __future__ import annotations

from dataclasses import dataclass

from domicile.protocol.proposal import GlobalProposal, RegionalProposal, SurvivorsProposal
from domicile.protocol.round import Committee, JobParameters, JobPhase, ShardParameters, ShardPhase, StallReason
from domicile.types import Address, DatasetId, Digest, JurisdictionCode, ShardIndex


@dataclass(frozen=True, kw_only=True)
class Notice:
    """Without slots, so that the chain's events can inherit from it beside their own base."""


@dataclass(frozen=True, kw_only=True)
class JobCreated(Notice):
    owner: Address
    parameters: JobParameters
    global_committee: Committee


@dataclass(frozen=True, kw_only=True)
class ShardCreated(Notice):
    shard: ShardIndex
    parameters: ShardParameters


@dataclass(frozen=True, kw_only=True)
class MemberJoined(Notice):
    shard: ShardIndex
    node: Address
    dataset: DatasetId


@dataclass(frozen=True, kw_only=True)
class BudgetReturned(Notice):
    """Told by the PrivacyLedger."""

    dataset: DatasetId
    node: Address
    epsilon_micros: int
    delta_attos: int


@dataclass(frozen=True, kw_only=True)
class MemberLeft(Notice):
    shard: ShardIndex
    node: Address


@dataclass(frozen=True, kw_only=True)
class JobPhaseChanged(Notice):
    phase: JobPhase
    global_round: int
    retries: int
    deadline_s: int


@dataclass(frozen=True, kw_only=True)
class ShardPhaseChanged(Notice):
    shard: ShardIndex
    phase: ShardPhase
    stall: StallReason
    global_round: int
    regional_round: int
    retries: int
    deadline_s: int


@dataclass(frozen=True, kw_only=True)
class UpdateCommitted(Notice):
    shard: ShardIndex
    node: Address
    global_round: int
    regional_round: int
    digest: Digest


@dataclass(frozen=True, kw_only=True)
class RegionalVote(Notice):
    shard: ShardIndex
    voter: Address
    proposal_id: bytes
    proposal: RegionalProposal


@dataclass(frozen=True, kw_only=True)
class SurvivorsVote(Notice):
    """Told by the UnmaskingBoard, as are the next two."""

    shard: ShardIndex
    voter: Address
    proposal_id: bytes
    proposal: SurvivorsProposal


@dataclass(frozen=True, kw_only=True)
class SurvivorsAgreed(Notice):
    shard: ShardIndex
    global_round: int
    regional_round: int
    proposal_id: bytes
    survivors: int


@dataclass(frozen=True, kw_only=True)
class Unmasked(Notice):
    shard: ShardIndex
    node: Address
    global_round: int
    regional_round: int
    digest: Digest


@dataclass(frozen=True, kw_only=True)
class RegionalModelAccepted(Notice):
    shard: ShardIndex
    global_round: int
    regional_round: int
    model: Digest
    payload: Digest
    contributors: int
    loss_micros: int


@dataclass(frozen=True, kw_only=True)
class ModelExported(Notice):
    shard: ShardIndex
    exporter: Address
    global_round: int
    jurisdiction: JurisdictionCode
    contributors: int
    model: Digest
    payload: Digest


@dataclass(frozen=True, kw_only=True)
class GlobalVote(Notice):
    voter: Address
    proposal_id: bytes
    proposal: GlobalProposal


@dataclass(frozen=True, kw_only=True)
class GlobalModelAccepted(Notice):
    global_round: int
    model: Digest
    payload: Digest
    shards: int
    reports: Digest
