"""Creating a job: the twin of TrainingJobs' `createJob` and of JobRules."""

from __future__ import annotations

from collections.abc import Sequence

from domicile.protocol import notice
from domicile.protocol.budget import ATTOS
from domicile.protocol.job import Job
from domicile.protocol.jurisdiction import Jurisdictions, Tier
from domicile.protocol.listing import index_of, mask_of
from domicile.protocol.refusals import InvalidParameter
from domicile.protocol.round import (
    Committee,
    JobParameters,
    JobPhase,
    JobState,
    ShardParameters,
    ShardPhase,
    ShardState,
    StallReason,
)
from domicile.types import DIGEST_BYTES, Address, Digest, JobId, ShardIndex

MAX_SHARDS = 32
MAX_COMMITTEE = 32
MAX_WINDOW_S = 365 * 24 * 3600
_NOBODY = "0x" + "0" * 40
_ZERO = Digest(bytes(DIGEST_BYTES))


def create(
    *,
    chain_id: int,
    contract: Address,
    number: JobId,
    owner: Address,
    parameters: JobParameters,
    shards: Sequence[ShardParameters],
    global_committee: Committee,
    law: Jurisdictions,
    now_s: int,
) -> Job:
    """A job that is open for joining.

    Raises:
        InvalidParameter: a parameter makes no sense; UnknownJurisdiction: a place is not listed.
    """
    _check(parameters, len(shards))
    _check_committee(global_committee)
    indices = _check_shards(shards, law)
    denied = mask_of(law, parameters.denied)
    deadline_s = now_s + parameters.join_window_s
    return Job(
        chain_id=chain_id,
        contract=contract,
        id=number,
        owner=owner,
        parameters=parameters,
        denied=denied,
        places=tuple(shard.jurisdiction for shard in shards),
        committees=tuple(shard.committee for shard in shards),
        global_committee=global_committee,
        state=_joining(parameters, len(shards), denied, deadline_s),
        shards=tuple(_idle(index, shard.committee.quorum) for index, shard in zip(indices, shards, strict=True)),
        commitments=(_ZERO,) * len(shards),
        models=(_ZERO,) * len(shards),
        reports=_ZERO,
        model=_ZERO,
        told=(
            notice.JobCreated(owner=owner, parameters=parameters, global_committee=global_committee),
            *(notice.ShardCreated(shard=ShardIndex(index), parameters=shard) for index, shard in enumerate(shards)),
            notice.JobPhaseChanged(phase=JobPhase.JOINING, global_round=0, retries=0, deadline_s=deadline_s),
        ),
    )


def _joining(parameters: JobParameters, num_shards: int, denied: int, deadline_s: int) -> JobState:
    return JobState(
        phase=JobPhase.JOINING,
        global_round=0,
        retries=0,
        num_shards=num_shards,
        num_reported=0,
        num_stalled=0,
        deadline_s=deadline_s,
        collect_window_s=parameters.collect_window_s,
        sensitivity=parameters.sensitivity,
        max_tier=parameters.max_tier,
        safeguards=parameters.safeguards,
        min_nodes=parameters.min_nodes,
        has_denied=denied != 0,
        has_budget=parameters.epsilon_micros > 0,
    )


def _idle(jurisdiction: int, quorum: int) -> ShardState:
    return ShardState(
        phase=ShardPhase.IDLE,
        stall=StallReason.NONE,
        jurisdiction=jurisdiction,
        quorum=quorum,
        retries=0,
        stale_rounds=0,
        regional_round=0,
        first_round=0,
        num_members=0,
        num_committed=0,
        least_contributors=0,
        deadline_s=0,
        best_loss_micros=0,
    )


def _check(parameters: JobParameters, num_shards: int) -> None:
    _require(any(parameters.spec), "spec")
    _require(0 < parameters.join_window_s <= MAX_WINDOW_S, "joinWindowS")
    _require(0 < parameters.collect_window_s <= MAX_WINDOW_S, "collectWindowS")
    _require(parameters.global_rounds > 0, "globalRounds")
    _require(parameters.min_regional_rounds > 0, "minRegionalRounds")
    _require(parameters.max_regional_rounds >= parameters.min_regional_rounds, "maxRegionalRounds")
    _require(parameters.patience > 0, "patience")
    _require(parameters.min_nodes >= 2, "minNodes")
    _require(parameters.min_contributors >= 3, "minContributors")
    _require(0 < num_shards <= MAX_SHARDS, "shards")
    _require(0 < parameters.min_shards <= num_shards, "minShards")
    _require(Tier.OPEN <= parameters.max_tier <= Tier.HIGH_RISK, "maxTier")
    _require(parameters.epsilon_micros > 0 or parameters.delta_attos == 0, "epsilonMicros")
    _require(parameters.delta_attos < ATTOS, "deltaAttos")


def _check_committee(committee: Committee) -> None:
    members = committee.members
    _require(0 < len(members) <= MAX_COMMITTEE, "committee")
    _require(_NOBODY not in members and len(set(members)) == len(members), "committee")
    _require(0 < committee.quorum <= len(members), "quorum")


def _check_shards(shards: Sequence[ShardParameters], law: Jurisdictions) -> list[int]:
    """Indices of the shards' places; no place is another one's or lies in it."""
    indices: list[int] = []
    for shard in shards:
        _check_committee(shard.committee)
        indices.append(index_of(law, shard.jurisdiction))
        _require(indices.count(indices[-1]) == 1, "shards")
    own = mask_of(law, (shard.jurisdiction for shard in shards))
    for index in indices:
        _require(not law.closures[index] & ~(1 << index) & own, "shards")
    return indices


def _require(holds: bool, parameter: str) -> None:
    if not holds:
        raise InvalidParameter(parameter=parameter)
