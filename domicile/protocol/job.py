"""One job as a value, and the transitions between its phases: the twin of TrainingJobs.

Whatever changes a phase goes through `_phase` and `_shard_phase`. Times are seconds on the chain's clock and come
as arguments.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from domicile.protocol import commitment, notice
from domicile.protocol.board import UnmaskingBoard
from domicile.protocol.eligibility import Requirement, Safeguard, Sensitivity
from domicile.protocol.maturity import is_mature, note_loss
from domicile.protocol.proposal import GlobalProposal, RegionalProposal
from domicile.protocol.round import (
    NO_LOSS,
    Committee,
    JobParameters,
    JobPhase,
    JobState,
    Member,
    ShardPhase,
    ShardState,
    StallReason,
)
from domicile.types import Address, Digest, JobId, JurisdictionCode, ShardIndex

NO_CONTRIBUTORS_YET = 65535
ANY_PLACE = 2**256 - 2
"""Every jurisdiction but *none*, as a mask."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job and its shards; `votes` holds the voters of each proposal by its id, `board` what another contract keeps.

    `denied` is a mask over jurisdiction indices. `told` has what acts made known, oldest first; whoever has read it
    may clear it.
    """

    chain_id: int
    contract: Address
    id: JobId
    owner: Address
    parameters: JobParameters
    denied: int
    places: tuple[JurisdictionCode, ...]
    committees: tuple[Committee, ...]
    global_committee: Committee
    state: JobState
    shards: tuple[ShardState, ...]
    commitments: tuple[Digest, ...]
    models: tuple[Digest, ...]
    reports: Digest
    model: Digest
    members: Mapping[Address, Member] = field(default_factory=dict)
    votes: Mapping[bytes, frozenset[Address]] = field(default_factory=dict)
    board: UnmaskingBoard = field(default_factory=UnmaskingBoard)
    told: tuple[notice.Notice, ...] = ()

    def telling(self, *news: notice.Notice) -> Job:
        """The job with more made known."""
        return replace(self, told=(*self.told, *news))

    def requirement(self, index: int) -> Requirement:
        """What the gate demands of a shard's members and committee."""
        return Requirement(
            allowed=1 << self.shards[index].jurisdiction,
            denied=self.denied,
            max_tier=self.state.max_tier,
            sensitivity=self.state.sensitivity,
            safeguards=self.state.safeguards,
        )

    def global_requirement(self) -> Requirement:
        """What the gate demands of the global committee: any listed place."""
        return Requirement(
            allowed=ANY_PLACE,
            denied=self.denied,
            max_tier=self.state.max_tier,
            sensitivity=Sensitivity.PUBLIC,
            safeguards=Safeguard.NONE,
        )

    def with_shard(self, index: int, shard: ShardState) -> Job:
        """The job with one shard's state replaced."""
        return replace(self, shards=(*self.shards[:index], shard, *self.shards[index + 1 :]))

    def with_commitments(self, index: int, running: Digest) -> Job:
        """The job with one running hash replaced."""
        return replace(self, commitments=(*self.commitments[:index], running, *self.commitments[index + 1 :]))

    def num_ready(self, at_least: ShardPhase) -> int:
        """Shards with enough members to train; with `STALLED`, only those that sit the round out."""
        return sum(self.is_ready(shard, at_least) for shard in self.shards)

    def is_ready(self, shard: ShardState, at_least: ShardPhase) -> bool:
        return shard.phase >= at_least and shard.num_members >= self.state.min_nodes


def open_global_round(job: Job, global_round: int, now_s: int) -> Job:
    """Opens every shard that has enough members, or fails where too few could report."""
    if job.num_ready(ShardPhase.IDLE) < job.parameters.min_shards:
        return _phase(job, JobPhase.FAILED, 0)
    state = replace(job.state, global_round=global_round, retries=0, num_reported=0, num_stalled=0)
    reports = commitment.global_seed(job.chain_id, job.contract, job.id, global_round)
    job = _phase(replace(job, state=state, reports=reports), JobPhase.TRAINING, _round_deadline(job, now_s))
    for index, shard in enumerate(job.shards):
        if shard.num_members < job.state.min_nodes:
            job = stall(job.with_shard(index, _reset(shard, 0)), index, StallReason.TOO_FEW_MEMBERS)
        else:
            job = _open_shard(job, index, 0, now_s)
    return job


def close_collecting(job: Job, index: int, now_s: int) -> Job:
    """All that a shard waits for has come: its committee may vote."""
    return _shard_phase(job, index, ShardPhase.AGGREGATING, window(job, now_s))


def close_if_complete(job: Job, index: int, now_s: int) -> Job:
    """Closes collecting early once all members have committed."""
    shard = job.shards[index]
    if shard.num_committed == shard.num_members and shard.num_committed >= job.state.min_nodes:
        return close_collecting(job, index, now_s)
    return job


def accept_regional(job: Job, index: int, proposal: RegionalProposal, contributors: int, now_s: int) -> Job:
    """Takes a regional model in: the next regional round opens, or it is mature, or the shard sits the round out."""
    shard = job.shards[index]
    best, stale = note_loss(
        shard.best_loss_micros, shard.stale_rounds, proposal.loss_micros, job.parameters.min_delta_micros
    )
    shard = replace(
        shard,
        least_contributors=min(shard.least_contributors, contributors),
        best_loss_micros=best,
        stale_rounds=stale,
    )
    models = (*job.models[:index], proposal.model, *job.models[index + 1 :])
    accepted = notice.RegionalModelAccepted(
        shard=ShardIndex(index),
        global_round=proposal.global_round,
        regional_round=proposal.regional_round,
        model=proposal.model,
        payload=proposal.payload,
        contributors=contributors,
        loss_micros=proposal.loss_micros,
    )
    job = replace(job.with_shard(index, shard), models=models).telling(accepted)
    done = shard.regional_round - shard.first_round + 1
    if not is_mature(done, stale, job.parameters):
        return _open_regional_round(job, index, shard.regional_round + 1, now_s)
    if shard.least_contributors >= job.parameters.min_contributors:
        return _shard_phase(job, index, ShardPhase.MATURE, window(job, now_s))
    return settle(stall(job, index, StallReason.TOO_FEW_CONTRIBUTORS), now_s)


def report(job: Job, index: int, exporter: Address, payload: Digest, now_s: int) -> Job:
    """Enters an export into the ledger."""
    reports = commitment.extend_reports(job.reports, ShardIndex(index), job.models[index], payload)
    state = replace(job.state, num_reported=job.state.num_reported + 1)
    exported = notice.ModelExported(
        shard=ShardIndex(index),
        exporter=exporter,
        global_round=state.global_round,
        jurisdiction=job.places[index],
        contributors=job.shards[index].least_contributors,
        model=job.models[index],
        payload=payload,
    )
    job = replace(job, reports=reports, state=state).telling(exported)
    return settle(_shard_phase(job, index, ShardPhase.REPORTED, 0), now_s)


def accept_global(job: Job, proposal: GlobalProposal, merged: int, now_s: int) -> Job:
    """Takes a global model of `merged` shards in: the job is complete, or its next global round opens."""
    accepted = notice.GlobalModelAccepted(
        global_round=proposal.global_round,
        model=proposal.model,
        payload=proposal.payload,
        shards=merged,
        reports=proposal.reports,
    )
    job = replace(job, model=proposal.model).telling(accepted)
    following = proposal.global_round + 1
    if following >= job.parameters.global_rounds:
        return _phase(job, JobPhase.COMPLETE, 0)
    return open_global_round(job, following, now_s)


def settle(job: Job, now_s: int) -> Job:
    """Once every shard has reported or stalled: merge, try the stalled ones again, or fail."""
    state = job.state
    if state.num_reported + state.num_stalled < state.num_shards:
        return job
    if state.num_reported >= job.parameters.min_shards:
        return _phase(job, JobPhase.MERGING, window(job, now_s))
    reachable = state.num_reported + job.num_ready(ShardPhase.STALLED)
    if state.retries == job.parameters.max_retries or reachable < job.parameters.min_shards:
        return _phase(job, JobPhase.FAILED, 0)
    job = replace(job, state=replace(state, retries=state.retries + 1))
    job = _phase(job, JobPhase.TRAINING, _round_deadline(job, now_s))
    for index, shard in enumerate(job.shards):
        if job.is_ready(shard, ShardPhase.STALLED):
            job = replace(job, state=replace(job.state, num_stalled=job.state.num_stalled - 1))
            job = _open_shard(job, index, shard.regional_round + 1, now_s)
    return job


def stall(job: Job, index: int, reason: StallReason) -> Job:
    """A shard sits the global round out."""
    job = job.with_shard(index, replace(job.shards[index], stall=reason))
    job = replace(job, state=replace(job.state, num_stalled=job.state.num_stalled + 1))
    return _shard_phase(job, index, ShardPhase.STALLED, 0)


def retry_shard(job: Job, index: int, now_s: int) -> Job:
    """Grants a shard's phase another window."""
    shard = job.shards[index]
    job = job.with_shard(index, replace(shard, retries=shard.retries + 1))
    return _shard_phase(job, index, shard.phase, window(job, now_s))


def retry_merge(job: Job, now_s: int) -> Job:
    """Grants the global merge another window, or fails."""
    if job.state.retries >= job.parameters.max_retries:
        return _phase(job, JobPhase.FAILED, 0)
    job = replace(job, state=replace(job.state, retries=job.state.retries + 1))
    return _phase(job, JobPhase.MERGING, window(job, now_s))


def cancel(job: Job) -> Job:
    return _phase(job, JobPhase.CANCELLED, 0)


def window(job: Job, now_s: int) -> int:
    """End of a window that opens now."""
    return now_s + job.state.collect_window_s


def _round_deadline(job: Job, now_s: int) -> int:
    """Long enough for every regional round at its slowest, an export and all retries of one shard."""
    windows = 2 * job.parameters.max_regional_rounds + job.parameters.max_retries + 1
    return now_s + windows * job.state.collect_window_s


def _reset(shard: ShardState, first_round: int) -> ShardState:
    return replace(
        shard,
        stall=StallReason.NONE,
        retries=0,
        stale_rounds=0,
        regional_round=first_round,
        first_round=first_round,
        num_committed=0,
        least_contributors=NO_CONTRIBUTORS_YET,
        best_loss_micros=NO_LOSS,
    )


def _open_shard(job: Job, index: int, first_round: int, now_s: int) -> Job:
    return _open_regional_round(
        job.with_shard(index, _reset(job.shards[index], first_round)), index, first_round, now_s
    )


def _open_regional_round(job: Job, index: int, regional_round: int, now_s: int) -> Job:
    shard = replace(job.shards[index], regional_round=regional_round, num_committed=0)
    seed = commitment.regional_seed(
        job.chain_id,
        job.contract,
        job.id,
        shard=ShardIndex(index),
        global_round=job.state.global_round,
        regional_round=regional_round,
    )
    job = job.with_shard(index, shard).with_commitments(index, seed)
    return _shard_phase(job, index, ShardPhase.COLLECTING, window(job, now_s))


def _phase(job: Job, phase: JobPhase, deadline_s: int) -> Job:
    job = replace(job, state=replace(job.state, phase=phase, deadline_s=deadline_s))
    state = job.state
    return job.telling(
        notice.JobPhaseChanged(
            phase=phase, global_round=state.global_round, retries=state.retries, deadline_s=deadline_s
        )
    )


def _shard_phase(job: Job, index: int, phase: ShardPhase, deadline_s: int) -> Job:
    shard = replace(job.shards[index], phase=phase, deadline_s=deadline_s)
    changed = notice.ShardPhaseChanged(
        shard=ShardIndex(index),
        phase=phase,
        stall=shard.stall,
        global_round=job.state.global_round,
        regional_round=shard.regional_round,
        retries=shard.retries,
        deadline_s=deadline_s,
    )
    return job.with_shard(index, shard).telling(changed)
