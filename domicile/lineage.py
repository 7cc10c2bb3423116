"""Replaying a job's record: from the chain's events alone, and from every payload that is still stored.

Needs no key: nothing is opened. Everything is derived anew, and compared with what the events and the chain's present
state say, so that a missing or altered event shows as a difference and the difference names its place.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from domicile.chain import events as ev
from domicile.chain.client import Chain
from domicile.chain.contracts import Jobs
from domicile.chain.deployment import Deployment
from domicile.errors import BlockCorrupt, BlockMissing, LineageError
from domicile.protocol import commitment
from domicile.protocol.maturity import is_mature, note_loss
from domicile.protocol.round import NO_LOSS, Committee, ExclusionReason, JobPhase, ShardPhase
from domicile.storage.store import Store
from domicile.types import Address, Digest, JobId, JurisdictionCode, ShardIndex

PIECE_BYTES = 1 << 20
NOTHING_YET = Digest(b"")
PAYLOAD_BYTES_MAX = 1 << 50


@dataclass(frozen=True, kw_only=True, slots=True)
class RegionalLineage:
    """One accepted regional round: whose sealed updates went in, and who was left out."""

    regional_round: int
    model: Digest
    included: tuple[tuple[Address, Digest], ...]
    excluded: tuple[tuple[Address, ExclusionReason], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RegionLineage:
    """One exported regional model."""

    jurisdiction: JurisdictionCode
    contributors: int
    model: Digest
    payload: Digest
    rounds: tuple[RegionalLineage, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class GlobalLineage:
    """One global model and everything that went into it."""

    global_round: int
    model: Digest
    payload: Digest
    from_regions: tuple[RegionLineage, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Lineage:
    """The verdict; `problems` names each place that does not hold."""

    job: JobId
    verified: bool
    num_checks: int
    problems: tuple[str, ...]
    models: tuple[GlobalLineage, ...]
    payloads_checked: int
    payloads_gone: int


@dataclass(kw_only=True, slots=True)
class _Shard:
    """A shard as far as it was replayed."""

    jurisdiction: JurisdictionCode
    committee: Committee
    phase: ShardPhase = ShardPhase.IDLE
    global_round: int = -1
    regional_round: int = -1
    first_round: int = 0
    running: Digest = NOTHING_YET
    committed: dict[Address, Digest] = field(default_factory=dict)
    least_contributors: int = 65535
    best_loss: int = NO_LOSS
    stale_rounds: int = 0
    voters: dict[bytes, list[Address]] = field(default_factory=dict)
    awaiting: tuple[ev.RegionalVote, int] | None = None
    rounds: list[RegionalLineage] = field(default_factory=list)
    mature: bool = False


class _Replay:
    """Follows the events of one job."""

    def __init__(self, deployment: Deployment, created: ev.JobCreated) -> None:
        self.deployment = deployment
        self.job = created.job
        self.created = created
        self.parameters = created.parameters
        self.shards: list[_Shard] = []
        self.members: dict[Address, ShardIndex] = {}
        self.phase = JobPhase.NONE
        self.global_round = -1
        self.reports = Digest(b"")
        self.exported: dict[ShardIndex, RegionLineage] = {}
        self.global_voters: dict[bytes, list[Address]] = {}
        self.awaiting: tuple[ev.GlobalVote, int] | None = None
        self.models: list[GlobalLineage] = []
        self.payloads: dict[Digest, str] = {created.parameters.spec: "the specification"}
        self.problems: list[str] = []
        self.num_checks = 0

    def check(self, holds: bool, place: str) -> None:
        self.num_checks += 1
        if not holds:
            self.problems.append(place)

    def follow(self, event: ev.Event) -> None:
        match event:
            case ev.ShardCreated():
                self.check(event.shard == len(self.shards), f"shard {event.shard}: created out of order")
                self.shards.append(
                    _Shard(jurisdiction=event.parameters.jurisdiction, committee=event.parameters.committee)
                )
            case ev.MemberJoined():
                self.check(event.node not in self.members, f"{event.node}: joined twice")
                self.check(self.phase is JobPhase.JOINING, f"{event.node}: joined while the job was {self.phase.name}")
                self.members[event.node] = event.shard
            case ev.MemberLeft():
                self.check(self.members.pop(event.node, None) == event.shard, f"{event.node}: left without being in")
            case ev.JobPhaseChanged():
                self._job_phase(event)
            case ev.ShardPhaseChanged():
                self._shard_phase(event)
            case ev.UpdateCommitted():
                self._committed(event)
            case ev.RegionalVote():
                self._regional_vote(event)
            case ev.RegionalModelAccepted():
                self._regional_accepted(event)
            case ev.ModelExported():
                self._exported(event)
            case ev.GlobalVote():
                self._global_vote(event)
            case ev.GlobalModelAccepted():
                self._global_accepted(event)
            case _:
                pass

    def _job_phase(self, event: ev.JobPhaseChanged) -> None:
        place = f"job phase {event.phase.name} of global round {event.global_round}"
        if event.phase is JobPhase.TRAINING and event.global_round != self.global_round:
            self.check(event.global_round == self.global_round + 1, f"{place}: the round before it is missing")
            expected = JobPhase.JOINING if event.global_round == 0 else JobPhase.MERGING
            self.check(self.phase is expected, f"{place}: follows {self.phase.name}")
            self.check(len(self.models) == event.global_round, f"{place}: the global model before it is missing")
            self.global_round = event.global_round
            contract = self.deployment.training_jobs
            self.reports = commitment.global_seed(self.deployment.chain_id, contract, self.job, event.global_round)
            self.exported = {}
        elif event.phase is JobPhase.MERGING and self.phase is JobPhase.TRAINING:
            self.check(len(self.exported) >= self.parameters.min_shards, f"{place}: too few exports seen")
            settled = all(shard.phase in {ShardPhase.REPORTED, ShardPhase.STALLED} for shard in self.shards)
            self.check(settled, f"{place}: not every shard has reported or stalled")
        elif event.phase is JobPhase.COMPLETE:
            self.check(len(self.models) == self.parameters.global_rounds, f"{place}: a global model is missing")
        self.phase = event.phase

    def _shard_phase(self, event: ev.ShardPhaseChanged) -> None:
        shard = self.shards[event.shard]
        place = self._place(event.shard, event.global_round, event.regional_round)
        key = (event.global_round, event.regional_round)
        if event.phase is ShardPhase.COLLECTING and key != (shard.global_round, shard.regional_round):
            self._open_round(event, shard, place)
        elif event.phase is ShardPhase.AGGREGATING:
            enough = len(shard.committed) >= self.parameters.min_nodes
            self.check(enough, f"{place}: {len(shard.committed)} commits seen, {self.parameters.min_nodes} are needed")
        elif event.phase is ShardPhase.MATURE:
            self.check(shard.mature, f"{place}: became mature against the rule")
        elif event.phase is ShardPhase.REPORTED:
            self.check(event.shard in self.exported, f"{place}: reported without an export")
        shard.phase = event.phase

    def _open_round(self, event: ev.ShardPhaseChanged, shard: _Shard, place: str) -> None:
        if event.global_round != shard.global_round or shard.phase is ShardPhase.STALLED:
            fresh = event.global_round != shard.global_round
            expected = 0 if fresh else shard.regional_round + 1
            self.check(event.regional_round == expected, f"{place}: a round before it is missing")
            shard.first_round = event.regional_round
            shard.least_contributors, shard.best_loss, shard.stale_rounds = 65535, NO_LOSS, 0
            shard.rounds = []
        else:
            self.check(event.regional_round == shard.regional_round + 1, f"{place}: a round before it is missing")
            accepted = bool(shard.rounds) and shard.rounds[-1].regional_round == shard.regional_round
            self.check(accepted, f"{place}: the model of the round before it is missing")
            self.check(not shard.mature, f"{place}: opened although the model was mature")
        shard.global_round, shard.regional_round = event.global_round, event.regional_round
        shard.running = commitment.regional_seed(
            self.deployment.chain_id,
            self.deployment.training_jobs,
            self.job,
            shard=event.shard,
            global_round=event.global_round,
            regional_round=event.regional_round,
        )
        shard.committed, shard.voters, shard.mature = {}, {}, False

    def _committed(self, event: ev.UpdateCommitted) -> None:
        shard = self.shards[event.shard]
        place = f"{self._place(event.shard, event.global_round, event.regional_round)}: commit of {event.node}"
        self.check(self.members.get(event.node) == event.shard, f"{place}: not by a member of the shard")
        rounds = (event.global_round, event.regional_round)
        self.check(rounds == (shard.global_round, shard.regional_round), f"{place}: not in the round in progress")
        self.check(shard.phase is ShardPhase.COLLECTING, f"{place}: while the shard was {shard.phase.name}")
        self.check(event.node not in shard.committed, f"{place}: the second one in this round")
        shard.running = commitment.extend_commitments(shard.running, event.node, event.digest)
        shard.committed[event.node] = event.digest
        self.payloads[event.digest] = f"{place}: its sealed update"

    def _regional_vote(self, event: ev.RegionalVote) -> None:
        shard, proposal = self.shards[event.shard], event.proposal
        place = f"{self._place(event.shard, proposal.global_round, proposal.regional_round)}: vote of {event.voter}"
        self.check(event.voter in shard.committee.members, f"{place}: not by a member of the committee")
        expected = commitment.regional_proposal_id(self.job, event.shard, proposal)
        self.check(expected == event.proposal_id, f"{place}: the id is not the proposal's")
        rounds = (proposal.global_round, proposal.regional_round)
        self.check(rounds == (shard.global_round, shard.regional_round), f"{place}: not in the round in progress")
        same = proposal.commitments == shard.running
        self.check(same, f"{place}: its running hash is not that of the {len(shard.committed)} commits seen")
        excluded = [one.node for one in proposal.excluded]
        self.check(set(excluded) <= set(shard.committed), f"{place}: leaves out a node that did not commit")
        ordered = excluded == sorted(set(excluded), key=str.lower)
        self.check(ordered, f"{place}: its exclusions are not in order")
        contributors = len(shard.committed) - len(excluded)
        self.check(contributors >= self.parameters.min_nodes, f"{place}: too few contributors")
        publishable = contributors >= self.parameters.min_contributors
        self.check(publishable == (proposal.loss_micros != NO_LOSS), f"{place}: a loss that may not be published")
        voters = shard.voters.setdefault(event.proposal_id, [])
        self.check(event.voter not in voters, f"{place}: the second one for this proposal")
        voters.append(event.voter)
        self.payloads[proposal.payload] = f"{place}: its sealed model"
        if len(voters) >= shard.committee.quorum:
            shard.awaiting = (event, contributors)

    def _regional_accepted(self, event: ev.RegionalModelAccepted) -> None:
        shard = self.shards[event.shard]
        place = f"{self._place(event.shard, event.global_round, event.regional_round)}: accepted model"
        if shard.awaiting is None:
            self.check(False, f"{place}: no quorum of votes was seen for it")
            return
        vote, contributors = shard.awaiting
        shard.awaiting = None
        proposal = vote.proposal
        same = (proposal.model, proposal.payload, proposal.loss_micros) == (
            event.model,
            event.payload,
            event.loss_micros,
        )
        self.check(same, f"{place}: not what the committee voted for")
        self.check(
            event.contributors == contributors, f"{place}: says {event.contributors} contributors, not {contributors}"
        )
        left_out = {one.node: one.reason for one in proposal.excluded}
        shard.rounds.append(
            RegionalLineage(
                regional_round=event.regional_round,
                model=event.model,
                included=tuple((n, d) for n, d in shard.committed.items() if n not in left_out),
                excluded=tuple(left_out.items()),
            )
        )
        shard.least_contributors = min(shard.least_contributors, contributors)
        shard.best_loss, shard.stale_rounds = note_loss(
            shard.best_loss, shard.stale_rounds, event.loss_micros, self.parameters.min_delta_micros
        )
        done = event.regional_round - shard.first_round + 1
        shard.mature = is_mature(done, shard.stale_rounds, self.parameters)

    def _exported(self, event: ev.ModelExported) -> None:
        shard = self.shards[event.shard]
        place = f"{self._place(event.shard, event.global_round, shard.regional_round)}: export"
        self.check(shard.phase is ShardPhase.MATURE, f"{place}: while the shard was {shard.phase.name}")
        self.check(event.exporter in shard.committee.members, f"{place}: not by a member of the committee")
        self.check(event.jurisdiction == shard.jurisdiction, f"{place}: names another jurisdiction")
        enough = shard.least_contributors >= self.parameters.min_contributors
        self.check(enough, f"{place}: a model of fewer than {self.parameters.min_contributors} contributors")
        self.check(event.contributors == shard.least_contributors, f"{place}: names another number of contributors")
        accepted = bool(shard.rounds) and shard.rounds[-1].model == event.model
        self.check(accepted, f"{place}: not the model that the committee accepted")
        self.check(event.shard not in self.exported, f"{place}: the second one in this global round")
        self.reports = commitment.extend_reports(self.reports, event.shard, event.model, event.payload)
        self.payloads[event.payload] = f"{place}: its sealed model"
        self.exported[event.shard] = RegionLineage(
            jurisdiction=event.jurisdiction,
            contributors=event.contributors,
            model=event.model,
            payload=event.payload,
            rounds=tuple(shard.rounds),
        )

    def _global_vote(self, event: ev.GlobalVote) -> None:
        proposal, committee = event.proposal, self.created.global_committee
        place = f"global round {proposal.global_round}: vote of {event.voter}"
        self.check(event.voter in committee.members, f"{place}: not by a member of the committee")
        expected = commitment.global_proposal_id(self.job, proposal)
        self.check(expected == event.proposal_id, f"{place}: the id is not the proposal's")
        self.check(proposal.global_round == self.global_round, f"{place}: not in the round in progress")
        same = proposal.reports == self.reports
        self.check(same, f"{place}: its running hash is not that of the {len(self.exported)} exports seen")
        excluded = {one.shard for one in proposal.excluded}
        self.check(excluded <= set(self.exported), f"{place}: leaves out a shard that did not report")
        merged = len(self.exported) - len(excluded)
        self.check(merged >= self.parameters.min_shards, f"{place}: too few shards")
        voters = self.global_voters.setdefault(event.proposal_id, [])
        self.check(event.voter not in voters, f"{place}: the second one for this proposal")
        voters.append(event.voter)
        self.payloads[proposal.payload] = f"{place}: its sealed model"
        if len(voters) >= committee.quorum:
            self.awaiting = (event, merged)

    def _global_accepted(self, event: ev.GlobalModelAccepted) -> None:
        place = f"global round {event.global_round}: accepted model"
        if self.awaiting is None:
            self.check(False, f"{place}: no quorum of votes was seen for it")
            return
        vote, merged = self.awaiting
        self.awaiting = None
        proposal = vote.proposal
        same = (proposal.model, proposal.payload, proposal.reports) == (event.model, event.payload, event.reports)
        self.check(same, f"{place}: not what the committee voted for")
        self.check(event.shards == merged, f"{place}: says {event.shards} shards, not {merged}")
        excluded = {one.shard for one in proposal.excluded}
        regions = tuple(region for shard, region in self.exported.items() if shard not in excluded)
        self.models.append(
            GlobalLineage(
                global_round=event.global_round, model=event.model, payload=event.payload, from_regions=regions
            )
        )

    def _place(self, shard: int, global_round: int, regional_round: int) -> str:
        return f"global round {global_round}, shard {self.shards[shard].jurisdiction}, regional round {regional_round}"


def verify_lineage(chain: Chain, deployment: Deployment, job: JobId, stores: Mapping[str, Store]) -> Lineage:
    """Replays one job and reads every payload that is still in one of the stores.

    Raises:
        LineageError: the job's creation is not among the chain's events.
        ChainFault, StoreFault: the chain or a store cannot be reached.
    """
    replay: _Replay | None = None
    for event in ev.read_events(chain, deployment, deployment.first_block, chain.block_number()):
        if isinstance(event, ev.JobCreated) and event.job == job:
            replay = _Replay(deployment, event)
        elif isinstance(event, ev.JobEvent) and event.job == job and replay is not None:
            try:
                replay.follow(event)
            except IndexError:
                replay.check(False, f"block {event.block}: {type(event).__name__} of a shard whose creation is missing")
    if replay is None:
        raise LineageError(f"job {job}: its creation is missing from the chain's events; ask another endpoint")
    _compare_with_state(replay, Jobs(chain, deployment))
    checked, gone = _read_payloads(replay, stores)
    return Lineage(
        job=job,
        verified=not replay.problems,
        num_checks=replay.num_checks,
        problems=tuple(replay.problems),
        models=tuple(replay.models),
        payloads_checked=checked,
        payloads_gone=gone,
    )


def _compare_with_state(replay: _Replay, jobs: Jobs) -> None:
    """What the events told must be what the contract holds now."""
    state, shards = jobs.snapshot(replay.job)
    replay.check(state.phase is replay.phase, f"the job is {state.phase.name}, its events end at {replay.phase.name}")
    replay.check(
        state.global_round == max(replay.global_round, 0),
        f"the job is in global round {state.global_round}, its events end in {replay.global_round}",
    )
    same_spec = jobs.parameters_of(replay.job) == replay.parameters
    replay.check(same_spec, "the job's parameters are not those of its creation event")
    replay.check(len(shards) == len(replay.shards), f"{len(shards)} shards, {len(replay.shards)} seen in events")
    for index, (held, seen) in enumerate(zip(shards, replay.shards, strict=False)):
        place = f"shard {seen.jurisdiction}"
        replay.check(held.phase is seen.phase, f"{place} is {held.phase.name}, its events end at {seen.phase.name}")
        members = sum(of == index for of in replay.members.values())
        replay.check(held.num_members == members, f"{place} has {held.num_members} members, {members} seen in events")
        if seen.regional_round >= 0:
            running = jobs.commitments_of(replay.job, ShardIndex(index))
            replay.check(running == seen.running, f"{place}: its running hash is not that of the commits seen")
    if replay.global_round >= 0:
        same = jobs.reports_of(replay.job) == replay.reports
        replay.check(same, "the running hash of reports is not that of the exports seen")
    if replay.models:
        same = jobs.global_model_of(replay.job) == replay.models[-1].model
        replay.check(same, "the last global model is not the one seen in events")


def _read_payloads(replay: _Replay, stores: Mapping[str, Store]) -> tuple[int, int]:
    """Reads every payload that is stored somewhere; each block is compared with its digest on the way."""
    needed = {replay.parameters.spec} | ({replay.models[-1].payload} if replay.models else set())
    checked = gone = 0
    piece = memoryview(bytearray(PIECE_BYTES))
    for digest, place in replay.payloads.items():
        holders = [name for name, store in stores.items() if store.has(digest)]
        if not holders:
            gone += 1
            replay.check(digest not in needed, f"{place}: 0x{digest.hex()} is in no store")
        for name in holders:
            try:
                with stores[name].open(digest, max_bytes=PAYLOAD_BYTES_MAX) as source:
                    while source.readinto(piece):
                        pass
            except (BlockCorrupt, BlockMissing) as exc:
                replay.check(False, f"{place}: 0x{digest.hex()} in store {name!r} does not hold: {exc}")
                continue
            replay.check(True, place)
            checked += 1
    return checked, gone
