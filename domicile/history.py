"""The record of a job, folded from the chain's events: what daemons, reports and audits all read."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from domicile.chain import events as ev
from domicile.chain.client import RETRY_PAUSES_S, Chain, Head
from domicile.chain.contracts import Jobs
from domicile.chain.deployment import Deployment
from domicile.clock import DEFAULT_CLOCK, JobClock
from domicile.errors import ChainFault, LineageError
from domicile.founders import Founders, founders_of
from domicile.protocol import commitment
from domicile.protocol.budget import Budget
from domicile.protocol.proposal import GlobalProposal, RegionalProposal
from domicile.protocol.round import NO_DATASET, JobPhase, JobState, ShardPhase, ShardState
from domicile.survivors import Survivors, SurvivorsTally, survivors_of
from domicile.types import Address, DatasetId, Digest, JobId, ShardIndex

KEPT_HEADS = 4_096
"""How many of the newest heads are remembered by their hash: a chain that was brought back from a state below the
oldest of them is told by it only when it has grown that far."""

RegionalKey = tuple[ShardIndex, int, int]
"""``(shard, global round, regional round)``"""


@dataclass(kw_only=True, slots=True)
class RegionalTally:
    """Votes for one proposal; the first voter is the one who sealed its payload."""

    proposal: RegionalProposal
    voters: list[Address] = field(default_factory=list)


@dataclass(kw_only=True, slots=True)
class GlobalTally:
    """Votes for one proposal; the first voter is the one who sealed its payload."""

    proposal: GlobalProposal
    voters: list[Address] = field(default_factory=list)


@dataclass(kw_only=True, slots=True)
class JobHistory:
    """All that the chain's events say of one job, in the order in which they happened."""

    created: ev.JobCreated
    shards: list[ev.ShardCreated] = field(default_factory=list)
    members: dict[Address, ShardIndex] = field(default_factory=dict)
    membership: list[ev.MemberJoined | ev.MemberLeft] = field(default_factory=list)
    datasets: dict[Address, DatasetId] = field(default_factory=dict)
    """Of which members, those who left included, reserved the job's budget."""

    unspent: dict[Address, Budget] = field(default_factory=dict)
    """What they gave back; with it their reservation ended."""

    founders: Founders | None = None
    """Who was in the job at its start; `None` before, and where the registry's events were not read."""

    job_phases: list[ev.JobPhaseChanged] = field(default_factory=list)
    shard_phases: list[ev.ShardPhaseChanged] = field(default_factory=list)
    commits: dict[RegionalKey, list[ev.UpdateCommitted]] = field(default_factory=dict)
    survivors_tallies: dict[RegionalKey, dict[bytes, SurvivorsTally]] = field(default_factory=dict)
    survivors: dict[RegionalKey, Survivors] = field(default_factory=dict)
    """What was agreed on, of rounds whose updates are masked."""

    unmaskings: dict[RegionalKey, list[ev.Unmasked]] = field(default_factory=dict)
    """Who answered to them, at most once each."""

    regional_tallies: dict[RegionalKey, dict[bytes, RegionalTally]] = field(default_factory=dict)
    regional_models: dict[RegionalKey, ev.RegionalModelAccepted] = field(default_factory=dict)
    exports: dict[int, dict[ShardIndex, ev.ModelExported]] = field(default_factory=dict)
    global_tallies: dict[int, dict[bytes, GlobalTally]] = field(default_factory=dict)
    global_models: dict[int, ev.GlobalModelAccepted] = field(default_factory=dict)

    def tells(self, state: JobState, shards: Sequence[ShardState]) -> bool:
        """Whether these phases and rounds are the last that the events told of.

        All that happened in a phase was told before its end: a set that the states call complete is in this history.
        """
        job = self.job_phases[-1]
        told = {event.shard: (event.phase, event.regional_round) for event in self.shard_phases}
        return (job.phase, job.global_round) == (state.phase, state.global_round) and all(
            told.get(ShardIndex(index), (ShardPhase.IDLE, 0)) == (shard.phase, shard.regional_round)
            for index, shard in enumerate(shards)
        )

    @property
    def clock(self) -> JobClock:
        """What every wait in this job follows from."""
        return JobClock(self.created.parameters.collect_window_s)

    @property
    def newest_global_round(self) -> int | None:
        """The last global round that produced a model, or `None`."""
        return max(self.global_models, default=None)

    def members_of(self, shard: ShardIndex) -> list[Address]:
        """Members of a shard, in ascending order of address."""
        return sorted((a for a, s in self.members.items() if s == shard), key=str.lower)

    def commits_of(self, key: RegionalKey) -> list[ev.UpdateCommitted]:
        return self.commits.get(key, [])

    def unmaskings_of(self, key: RegionalKey) -> list[ev.Unmasked]:
        return self.unmaskings.get(key, [])

    def running_hash(self, key: RegionalKey, deployment: Deployment) -> Digest:
        """Running hash over the commits of a regional round, as the contract holds it."""
        shard, global_round, regional_round = key
        running = commitment.regional_seed(
            deployment.chain_id,
            deployment.training_jobs,
            self.created.job,
            shard=shard,
            global_round=global_round,
            regional_round=regional_round,
        )
        for event in self.commits_of(key):
            running = commitment.extend_commitments(running, event.node, event.digest)
        return running

    def reports_hash(self, global_round: int, deployment: Deployment) -> Digest:
        """Running hash over the exports of a global round, as the contract holds it."""
        running = commitment.global_seed(deployment.chain_id, deployment.training_jobs, self.created.job, global_round)
        for event in self.exports.get(global_round, {}).values():
            running = commitment.extend_reports(running, event.shard, event.model, event.payload)
        return running

    def regional_tally(self, key: RegionalKey, payload: Digest) -> RegionalTally:
        """The proposal that brought a payload."""
        return next(t for t in self.regional_tallies[key].values() if t.proposal.payload == payload)

    def global_tally(self, global_round: int) -> GlobalTally:
        """The accepted proposal of a global round."""
        payload = self.global_models[global_round].payload
        return next(t for t in self.global_tallies[global_round].values() if t.proposal.payload == payload)

    def apply(self, event: ev.Event) -> None:
        """Takes in the next event of this job.

        Raises:
            ChainFault: it follows from an event that was not told.
        """
        match event:
            case ev.ShardCreated():
                self.shards.append(event)
            case ev.MemberJoined() | ev.MemberLeft() | ev.BudgetReturned():
                self._apply_membership(event)
            case ev.JobPhaseChanged():
                self.job_phases.append(event)
            case ev.ShardPhaseChanged():
                self.shard_phases.append(event)
            case ev.UpdateCommitted():
                self.commits.setdefault((event.shard, event.global_round, event.regional_round), []).append(event)
            case ev.SurvivorsVote() | ev.SurvivorsAgreed() | ev.Unmasked():
                self._apply_unmasking(event)
            case ev.RegionalVote():
                proposal = event.proposal
                key = (event.shard, proposal.global_round, proposal.regional_round)
                tallies = self.regional_tallies.setdefault(key, {})
                tallies.setdefault(event.proposal_id, RegionalTally(proposal=proposal)).voters.append(event.voter)
            case ev.RegionalModelAccepted():
                self.regional_models[event.shard, event.global_round, event.regional_round] = event
            case ev.ModelExported():
                self.exports.setdefault(event.global_round, {})[event.shard] = event
            case ev.GlobalVote():
                tallies_g = self.global_tallies.setdefault(event.proposal.global_round, {})
                tallies_g.setdefault(event.proposal_id, GlobalTally(proposal=event.proposal)).voters.append(event.voter)
            case ev.GlobalModelAccepted():
                self.global_models[event.global_round] = event
            case _:
                pass

    def _apply_unmasking(self, event: ev.SurvivorsVote | ev.SurvivorsAgreed | ev.Unmasked) -> None:
        of_round = event.proposal if isinstance(event, ev.SurvivorsVote) else event
        key = (event.shard, of_round.global_round, of_round.regional_round)
        match event:
            case ev.SurvivorsVote():
                tallies = self.survivors_tallies.setdefault(key, {})
                tallies.setdefault(event.proposal_id, SurvivorsTally(proposal=event.proposal)).voters.append(
                    event.voter
                )
            case ev.SurvivorsAgreed():
                tally = self.survivors_tallies.get(key, {}).get(event.proposal_id)
                if tally is None:
                    raise ChainFault(
                        "the endpoint told of survivors without the vote for them; reading the record anew"
                    )
                committed = (commit.node for commit in self.commits_of(key))
                self.survivors[key] = survivors_of(event.proposal_id, tally.proposal, committed)
            case ev.Unmasked():
                self.unmaskings.setdefault(key, []).append(event)

    def _apply_membership(self, event: ev.MemberJoined | ev.MemberLeft | ev.BudgetReturned) -> None:
        if isinstance(event, ev.BudgetReturned):
            self.unspent[event.node] = Budget(epsilon_micros=event.epsilon_micros, delta_attos=event.delta_attos)
            return
        self.membership.append(event)
        if isinstance(event, ev.MemberLeft):
            self.members.pop(event.node, None)
            return
        self.members[event.node] = event.shard
        self.unspent.pop(event.node, None)
        if event.dataset != NO_DATASET:
            self.datasets[event.node] = event.dataset


def history_of(events: Iterable[ev.JobEvent]) -> JobHistory:
    """One job's events as a history.

    Raises:
        LineageError: the first of them is not the job's creation.
    """
    match list(events):
        case [ev.JobCreated() as created, *others]:
            history = JobHistory(created=created)
        case _:
            raise LineageError("the record does not begin with its job's creation; ask another endpoint")
    for event in others:
        history.apply(event)
    return history


class Histories:
    """Keeps the histories of all jobs up to date, reading each block once, and anew where it became another one."""

    def __init__(self, chain: Chain, deployment: Deployment) -> None:
        self._chain = chain
        self._deployment = deployment
        self._states = Jobs(chain, deployment)
        self.patience_s: float = DEFAULT_CLOCK.stands_still_s
        """How long an older head that stands still is waited for before it is taken for all there is."""
        # The head that lies behind what was read, and since when.
        self._behind: tuple[Head, float] | None = None
        self.folds = 0
        """How often the record was folded from its start. Whoever keeps a history MUST drop it when this changes."""
        self._begin()

    def _begin(self) -> None:
        self.block = self._deployment.first_block - 1
        """All is known up to this block."""
        self.now_s = 0
        """The chain's time when that was read."""
        self.jobs: dict[JobId, JobHistory] = {}
        self.registry_events: list[ev.Event] = []
        """Those of both registries, which are of no one job."""
        self._key_cards: dict[Address, Digest] = {}
        # Hashes of heads that were read, in ascending order of their blocks.
        self._heads: dict[int, str] = {}
        self.folds += 1

    def update(self) -> bool:
        """Reads what is new; `False` if nothing can have changed since the last time.

        Whatever changes on chain is told by an event, or follows from the chain's time, which goes by whole seconds.

        Raises:
            ChainFault: the endpoint failed, or tells of a state older than what was read already.
        """
        head = self._chain.head()
        anew = not self._continues(head) or self._is_all_there_is(head)
        if anew:
            self._begin()
        elif head.number < self.block or head.time_s < self.now_s:
            raise ChainFault(
                f"the endpoint is at block {head.number} and {self.block} was read already; waiting for it to catch up"
            )
        num_events = self._read_to(head)
        passed, self.now_s = head.time_s != self.now_s, head.time_s
        return anew or passed or num_events > 0

    def snapshot(self, job: JobId, update: Callable[[], object]) -> tuple[JobState, tuple[ShardState, ...]]:
        """A job's state at the newest block that is read, of which its history then tells too.

        `update` MUST bring this record up to date; it is called before each look at the state.

        Raises:
            ChainFault: the endpoint failed, is behind, or does not agree with itself.
        """
        for pause_s in (*RETRY_PAUSES_S, None):
            update()
            # By the block's number, so that no other endpoint behind the same address answers from an older state.
            state, shards = self._states.at(self.block).snapshot(job)
            if self.jobs[job].tells(state, shards):
                return state, shards
            # While anvil mines, it answers for its newest block from the state of the next one already.
            if pause_s is not None:
                time.sleep(pause_s)
        raise ChainFault(f"the endpoint's state of job {job} is not what its events tell; waiting for them to agree")

    def _is_all_there_is(self, head: Head) -> bool:
        """Whether a head behind what was read has stood still for so long that it is no endpoint that catches up: a
        chain that makes blocks on demand was brought back from an older state, and nobody acts until it is read.
        """
        if head.number >= self.block:
            self._behind = None
            return False
        if self._behind is None or self._behind[0] != head:
            self._behind = head, time.monotonic()
        if time.monotonic() - self._behind[1] < self.patience_s:
            return False
        self._behind = None
        return True

    def _continues(self, head: Head) -> bool:
        """Whether the newest block that was read, and that this endpoint can know, is still the one that was read."""
        known = next((number for number in reversed(self._heads) if number <= head.number), None)
        if known is None:
            return True
        if known == head.number:
            found = head.block_hash
        elif known == head.number - 1:
            found = head.parent_hash
        else:
            found = self._chain.hash_of(known)
        return found == self._heads[known]

    def _read_to(self, head: Head) -> int:
        """Folds all blocks up to the head; how many events there were."""
        num_events = 0
        if head.number > self.block:
            # Read as a whole before any of it counts: a range that breaks off in the middle is read again.
            events = list(ev.read_events(self._chain, self._deployment, self.block + 1, head.number))
            for event in events:
                self._apply(event)
            num_events, self.block = len(events), head.number
            self._heads[head.number] = head.block_hash
            if len(self._heads) > KEPT_HEADS:
                del self._heads[next(iter(self._heads))]
        return num_events

    def _apply(self, event: ev.Event) -> None:
        if isinstance(event, ev.JobCreated):
            self.jobs[event.job] = JobHistory(created=event)
        elif isinstance(event, ev.JobEvent):
            if event.job not in self.jobs:
                self._begin()
                raise ChainFault(f"the endpoint told of job {event.job} without its creation; reading the record anew")
            try:
                self.jobs[event.job].apply(event)
            except ChainFault:
                self._begin()
                raise
            if isinstance(event, ev.JobPhaseChanged):
                self._note_start(event)
        else:
            self.registry_events.append(event)
            if isinstance(event, ev.NodeRegistered | ev.KeyCardChanged):
                self._key_cards[event.node] = event.key_card

    def _note_start(self, event: ev.JobPhaseChanged) -> None:
        history = self.jobs[event.job]
        if event.phase is JobPhase.TRAINING and history.founders is None:
            history.founders = founders_of(event.block, history.members, self._key_cards)
