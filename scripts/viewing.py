"""From what the chain tells to a view: pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from domicile.chain.events import MemberJoined
from domicile.history import JobHistory, RegionalKey
from domicile.learning.robust.settings import RobustSettings
from domicile.learning.settings import Aggregation
from domicile.lineage.gate import PastGate
from domicile.participation import GlobalParticipation, RegionalParticipation, ShardParticipation
from domicile.protocol.eligibility import Refusal, Requirement, Safeguard
from domicile.protocol.round import FINAL_PHASES, NO_LOSS, Committee, JobPhase, JobState, ShardPhase, ShardState
from domicile.roll_call import call_roll
from domicile.secure_sum.graph import degree_of, threshold_of
from domicile.types import Address, ShardIndex
from scripts.view import (
    AggregationView,
    CommitteeView,
    JobRules,
    JobView,
    RefusedParty,
    RuleView,
    ShardLoss,
    ShardView,
    UnmaskingView,
)

MICROS = 1_000_000
SHORT_ADDRESS = 8
"""Characters that an account without a name is shown by."""


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What a view is made of. The history MUST be at least as new as the states.

    `requirements`: what the gate demands in each shard, and last of the global committee.
    """

    history: JobHistory
    state: JobState
    shards: Sequence[ShardState]
    requirements: Sequence[Requirement]
    gate: PastGate
    time_of: Callable[[int], int]
    block: int
    now_s: int
    names: Mapping[Address, str]

    def name_of(self, account: str) -> str:
        return self.names.get(Address(account), account[:SHORT_ADDRESS])

    def view(self, name: str) -> JobView:
        """The job, without what only others know: figures, gas, and who was refused at joining."""
        history, state, parameters = self.history, self.state, self.history.created.parameters
        roll = call_roll(history, self.gate.of_shards(self.requirements))
        return JobView(
            job=history.created.job,
            name=name,
            owner=self.name_of(history.created.owner),
            rules=JobRules(
                num_global_rounds=parameters.global_rounds,
                min_nodes=parameters.min_nodes,
                min_survivors=parameters.min_survivors if is_masked(history) else None,
                min_shards=parameters.min_shards,
                max_retries=parameters.max_retries,
                sensitivity=parameters.sensitivity.name.lower(),
            ),
            phase=state.phase,
            before=history.job_phases[-2].phase if state.phase in FINAL_PHASES else None,
            global_round=state.global_round,
            newest_model=history.newest_global_round,
            retries=state.retries,
            since_s=self._job_since_s(),
            deadline_s=state.deadline_s,
            now_s=self.now_s,
            block=self.block,
            gas_used=0,
            shards=tuple(self._shard(index, shard) for index, shard in enumerate(self.shards)),
            global_committee=self._committee(
                history.created.global_committee,
                self.requirements[-1],
                state.global_round,
                [tally.voters for tally in history.global_tallies.get(state.global_round, {}).values()],
            ),
            figures=(),
            participation=tuple(named(one, self.name_of) for one in roll),
            refusals=(),
        )

    def _shard(self, index: int, shard: ShardState) -> ShardView:
        history, created = self.history, self.history.shards[index]
        key = (created.shard, self.state.global_round, shard.regional_round)
        members = history.members_of(created.shard)
        aggregating = shard.phase is ShardPhase.AGGREGATING
        unmasking = unmasking_of(history, key, self.name_of) if aggregating else None
        on_survivors = unmasking is not None and unmasking.survivors is None
        rivals = history.survivors_tallies if on_survivors else history.regional_tallies
        return ShardView(
            jurisdiction=created.parameters.jurisdiction,
            phase=shard.phase,
            stall=shard.stall,
            regional_round=shard.regional_round,
            retries=shard.retries,
            since_s=self._shard_since_s(index, shard),
            deadline_s=shard.deadline_s,
            members=tuple(sorted(self.name_of(node) for node in members)),
            committed=tuple(self.name_of(event.node) for event in history.commits_of(key)),
            refused=self._refused(members, self.requirements[index]),
            committee=self._committee(
                created.parameters.committee,
                self.requirements[index],
                key[1] + key[2],
                [tally.voters for tally in rivals.get(key, {}).values()],
            ),
            losses=tuple(
                ShardLoss(global_round=outer, regional_round=inner, loss=model.loss_micros / MICROS)
                for (of, outer, inner), model in history.regional_models.items()
                if of == index and model.loss_micros != NO_LOSS
            ),
            exports=tuple(number for number, exports in history.exports.items() if index in exports),
            unmasking=unmasking,
        )

    def _committee(
        self,
        committee: Committee,
        requirement: Requirement,
        turn: int,
        votes: Iterable[Sequence[Address]],
    ) -> CommitteeView:
        """The turn moves on by one each round. `votes`: the voters of each rival proposal."""
        first = turn % len(committee.members)
        ordered = (*committee.members[first:], *committee.members[:first])
        return CommitteeView(
            members=tuple(map(self.name_of, ordered)),
            quorum=committee.quorum,
            votes=tuple(tuple(map(self.name_of, voters)) for voters in votes),
            refused=self._refused(ordered, requirement),
        )

    def _refused(self, accounts: Sequence[Address], requirement: Requirement) -> tuple[RefusedParty, ...]:
        if self.state.phase in FINAL_PHASES:
            return ()
        found = {one: self.gate.refusal_now(one, requirement, self.block, self.now_s) for one in accounts}
        return tuple(
            RefusedParty(name=self.name_of(one), reason=reason, place=self.gate.place_of(one, self.block))
            for one, reason in found.items()
            if reason is not Refusal.NONE
        )

    def _job_since_s(self) -> int:
        rounds = (self.state.phase, self.state.global_round)
        changes = [one for one in self.history.job_phases if (one.phase, one.global_round) == rounds]
        return self.time_of(changes[0].block)

    def _shard_since_s(self, index: int, shard: ShardState) -> int:
        """0 for a shard that no round was opened in yet."""
        sought = (index, shard.phase, self.state.global_round, shard.regional_round)
        for one in self.history.shard_phases:
            if (one.shard, one.phase, one.global_round, one.regional_round) == sought:
                return self.time_of(one.block)
        return 0


def is_masked(history: JobHistory) -> bool:
    """Whether a job's updates are masked."""
    return Safeguard.SECURE_AGGREGATION in history.created.parameters.safeguards


def aggregation_of(kind: Aggregation, robust: RobustSettings | None) -> AggregationView:
    """As a job's file or its specification says."""
    if robust is None:
        return AggregationView(kind=kind)
    regions = robust.regions
    return AggregationView(
        kind=kind,
        updates=RuleView(rule=robust.rule, num_hostile=robust.num_hostile),
        regions=None if regions is None else RuleView(rule=regions.rule, num_hostile=regions.num_hostile),
    )


def unmasking_of(history: JobHistory, key: RegionalKey, name_of: Callable[[Address], str]) -> UnmaskingView | None:
    """How far the masks of a round came off; `None` where nothing is masked."""
    if not is_masked(history):
        return None
    agreed = history.survivors.get(key)
    nodes = () if agreed is None else agreed.nodes
    num_holders = degree_of(_num_founders(history, key[0])) + 1
    return UnmaskingView(
        survivors=None if agreed is None else tuple(sorted(map(name_of, nodes))),
        answered=tuple(name_of(event.node) for event in history.unmaskings_of(key) if event.node in nodes),
        threshold=threshold_of(num_holders),
        num_holders=num_holders,
    )


def _num_founders(history: JobHistory, shard: ShardIndex) -> int:
    """Members of a shard when the job was started, among whom masks are shared, whoever has left since."""
    start = next(one for one in history.job_phases if one.phase is JobPhase.TRAINING)
    before = (start.block, start.log_index)
    moves = [one for one in history.membership if one.shard == shard and (one.block, one.log_index) < before]
    return sum(1 if isinstance(one, MemberJoined) else -1 for one in moves)


def named(whole: GlobalParticipation, name_of: Callable[[str], str]) -> GlobalParticipation:
    """Participation with names in place of accounts."""

    def all_of(accounts: Sequence[Address]) -> tuple[Address, ...]:
        return tuple(Address(name_of(one)) for one in accounts)

    def regional(one: RegionalParticipation) -> RegionalParticipation:
        return replace(
            one,
            expected=all_of(one.expected),
            contributed=all_of(one.contributed),
            left_out=tuple(replace(lost, node=Address(name_of(lost.node))) for lost in one.left_out),
            awaited=all_of(one.awaited),
        )

    def of_shard(one: ShardParticipation) -> ShardParticipation:
        return replace(one, members=all_of(one.members), rounds=tuple(map(regional, one.rounds)))

    return replace(whole, shards=tuple(map(of_shard, whole.shards)))
