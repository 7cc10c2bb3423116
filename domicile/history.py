"""The record of a job, folded from the chain's events: what daemons, reports and audits all read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from domicile.chain import events as ev
from domicile.chain.client import Chain
from domicile.chain.deployment import Deployment
from domicile.protocol import commitment
from domicile.protocol.proposal import GlobalProposal, RegionalProposal
from domicile.types import Address, Digest, JobId, ShardIndex

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
    job_phases: list[ev.JobPhaseChanged] = field(default_factory=list)
    shard_phases: list[ev.ShardPhaseChanged] = field(default_factory=list)
    commits: dict[RegionalKey, list[ev.UpdateCommitted]] = field(default_factory=dict)
    regional_tallies: dict[RegionalKey, dict[bytes, RegionalTally]] = field(default_factory=dict)
    regional_models: dict[RegionalKey, ev.RegionalModelAccepted] = field(default_factory=dict)
    exports: dict[int, dict[ShardIndex, ev.ModelExported]] = field(default_factory=dict)
    global_tallies: dict[int, dict[bytes, GlobalTally]] = field(default_factory=dict)
    global_models: dict[int, ev.GlobalModelAccepted] = field(default_factory=dict)

    @property
    def newest_global_round(self) -> int | None:
        """The last global round that produced a model, or `None`."""
        return max(self.global_models, default=None)

    def members_of(self, shard: ShardIndex) -> list[Address]:
        """Members of a shard, in ascending order of address."""
        return sorted((a for a, s in self.members.items() if s == shard), key=str.lower)

    def commits_of(self, key: RegionalKey) -> list[ev.UpdateCommitted]:
        return self.commits.get(key, [])

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
        """Takes in the next event of this job."""
        match event:
            case ev.ShardCreated():
                self.shards.append(event)
            case ev.MemberJoined():
                self.members[event.node] = event.shard
                self.membership.append(event)
            case ev.MemberLeft():
                self.members.pop(event.node, None)
                self.membership.append(event)
            case ev.JobPhaseChanged():
                self.job_phases.append(event)
            case ev.ShardPhaseChanged():
                self.shard_phases.append(event)
            case ev.UpdateCommitted():
                self.commits.setdefault((event.shard, event.global_round, event.regional_round), []).append(event)
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


def history_of(events: Iterable[ev.JobEvent]) -> JobHistory:
    """One job's events, of which the first MUST be its creation, as a history."""
    opening, *others = events
    assert isinstance(opening, ev.JobCreated)  # noqa: S101
    history = JobHistory(created=opening)
    for event in others:
        history.apply(event)
    return history


class Histories:
    """Keeps the histories of all jobs up to date, reading each block once.

    A chain that was reorganised below what is known, or came back shorter, is read anew, into the same objects.
    """

    def __init__(self, chain: Chain, deployment: Deployment) -> None:
        self._chain = chain
        self._deployment = deployment
        self.block = deployment.first_block - 1
        """All is known up to this block."""
        self._hash: str | None = None
        self.now_s = 0
        """The chain's time when that was read."""
        self.jobs: dict[JobId, JobHistory] = {}
        self.registry_events: list[ev.Event] = []
        """Those of both registries, which are of no one job."""

    def update(self) -> bool:
        """Reads what is new; `False` if nothing can have changed since the last time.

        Whatever changes on chain is told by an event, or follows from the chain's time, which goes by whole seconds.
        """
        before_s = self.now_s
        head, self.now_s = self._chain.head()
        changed = head != self.block and self._read(head)
        return changed or self.now_s != before_s

    def _read(self, head: int) -> bool:
        """Takes in what happened up to `head`; whether anything did. A fault leaves everything as it was."""
        anew = self._hash is not None and self._chain.hash_of(self.block) != self._hash
        first = self._deployment.first_block if anew else self.block + 1
        # Before the events: should the chain change in between, the next look finds out.
        newest = self._chain.hash_of(head)
        events = list(ev.read_events(self._chain, self._deployment, first, head))
        known = dict(self.jobs)
        if anew:
            self.jobs.clear()
        for event in events:
            self._apply(event, known)
        self.block, self._hash = head, newest
        return anew or bool(events)

    def _apply(self, event: ev.Event, known: Mapping[JobId, JobHistory]) -> None:
        if isinstance(event, ev.JobCreated):
            history = JobHistory(created=event)
            if event.job in known:
                # Whoever follows the job holds this object.
                JobHistory.__init__(history := known[event.job], created=event)
            self.jobs[event.job] = history
        elif isinstance(event, ev.JobEvent):
            self.jobs[event.job].apply(event)
        else:
            self.registry_events.append(event)
