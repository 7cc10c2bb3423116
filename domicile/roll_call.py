"""Calling the roll: a job's events in their order, folded into who took part in each round."""

from __future__ import annotations

from dataclasses import dataclass, field

from domicile.chain import events as ev
from domicile.history import JobHistory
from domicile.participation import (
    Absence,
    Gate,
    GlobalParticipation,
    LeftOut,
    Outcome,
    RegionalParticipation,
    ShardParticipation,
)
from domicile.protocol.round import FINAL_PHASES, JobPhase, ShardPhase
from domicile.types import Address, ShardIndex


def call_roll(history: JobHistory, gate: Gate) -> tuple[GlobalParticipation, ...]:
    """Participation in every global round that was opened, in order."""
    roll = _Roll(history, gate)
    events: list[ev.JobEvent] = [
        *(*history.membership, *history.job_phases, *history.shard_phases),
        *(commit for commits in history.commits.values() for commit in commits),
        *history.regional_models.values(),
        *history.global_models.values(),
    ]
    for event in sorted(events, key=lambda one: (one.block, one.log_index)):
        roll.take(event)
    return tuple(one.told() for one in roll.rounds.values())


@dataclass(kw_only=True)
class _Regional:
    number: int
    expected: tuple[Address, ...]
    collecting: bool = True
    outcome: Outcome = Outcome.OPEN
    stall: str = ""
    committed: list[Address] = field(default_factory=list)
    absent: dict[Address, LeftOut] = field(default_factory=dict)

    def leave_out(self, node: Address, cause: Absence, reason: str = "") -> None:
        self.absent[node] = LeftOut(node=node, cause=cause, reason=reason)

    def end(self, outcome: Outcome, reason: str) -> None:
        """Ends a round that made no model."""
        self.outcome = outcome
        for node in self.committed:
            self.leave_out(node, Absence.NOT_MERGED, reason)

    def told(self) -> RegionalParticipation:
        merged = [one for one in self.committed if one not in self.absent and self.outcome is Outcome.MERGED]
        known = {*merged, *self.absent}
        return RegionalParticipation(
            regional_round=self.number,
            outcome=self.outcome,
            stall=self.stall,
            expected=self.expected,
            contributed=tuple(one for one in self.expected if one in merged),
            left_out=tuple(self.absent[one] for one in self.expected if one in self.absent),
            awaited=tuple(one for one in self.expected if one not in known),
        )


@dataclass(kw_only=True)
class _Shard:
    created: ev.ShardCreated
    members: tuple[Address, ...]
    outcome: Outcome = Outcome.OPEN
    reason: str = ""
    rounds: list[_Regional] = field(default_factory=list)

    def told(self) -> ShardParticipation:
        return ShardParticipation(
            shard=self.created.shard,
            jurisdiction=self.created.parameters.jurisdiction,
            outcome=self.outcome,
            reason=self.reason,
            members=self.members,
            rounds=tuple(one.told() for one in self.rounds),
        )


@dataclass(kw_only=True)
class _Global:
    number: int
    shards: list[_Shard]
    outcome: Outcome = Outcome.OPEN

    def told(self) -> GlobalParticipation:
        shards = tuple(one.told() for one in self.shards)
        return GlobalParticipation(global_round=self.number, outcome=self.outcome, shards=shards)


class _Roll:
    def __init__(self, history: JobHistory, gate: Gate) -> None:
        self.rounds: dict[int, _Global] = {}
        self._history = history
        self._gate = gate
        self._members: dict[Address, ShardIndex] = {}

    def take(self, event: ev.JobEvent) -> None:
        match event:
            case ev.MemberJoined():
                self._members[event.node] = event.shard
            case ev.MemberLeft():
                self._leave(event)
            case ev.JobPhaseChanged():
                self._job_phase(event)
            case ev.ShardPhaseChanged():
                self._shard_phase(event, self.rounds[event.global_round].shards[event.shard])
            case ev.UpdateCommitted():
                self.rounds[event.global_round].shards[event.shard].rounds[-1].committed.append(event.node)
            case ev.RegionalModelAccepted():
                self._accept(event)
            case ev.GlobalModelAccepted():
                self._accept_globally(self.rounds[event.global_round])
            case _:
                pass

    def _members_of(self, shard: ShardIndex) -> tuple[Address, ...]:
        return tuple(sorted((node for node, home in self._members.items() if home == shard), key=str.lower))

    def _leave(self, event: ev.MemberLeft) -> None:
        """Whoever leaves after its commit is in the merge all the same."""
        self._members.pop(event.node)
        newest = self.rounds[max(self.rounds)].shards[event.shard].rounds[-1:] if self.rounds else []
        for one in newest:
            if one.collecting and event.node not in one.committed:
                one.leave_out(event.node, Absence.LEFT)

    def _job_phase(self, event: ev.JobPhaseChanged) -> None:
        number = event.global_round
        if event.phase is JobPhase.TRAINING and number not in self.rounds:
            shards = [_Shard(created=one, members=self._members_of(one.shard)) for one in self._history.shards]
            self.rounds[number] = _Global(number=number, shards=shards)
        elif event.phase in FINAL_PHASES and number in self.rounds and self.rounds[number].outcome is Outcome.OPEN:
            self._end(self.rounds[number], event)

    def _end(self, whole: _Global, event: ev.JobPhaseChanged) -> None:
        whole.outcome = Outcome.ENDED
        for shard in whole.shards:
            for one in shard.rounds:
                if one.outcome is Outcome.OPEN:
                    self._close(shard, one, event.block)
                    one.end(Outcome.ENDED, f"job {event.phase.name.lower()}")
            if shard.outcome is Outcome.OPEN:
                shard.outcome, shard.reason = Outcome.ENDED, f"job {event.phase.name.lower()}"

    def _shard_phase(self, event: ev.ShardPhaseChanged, shard: _Shard) -> None:
        newest = shard.rounds[-1] if shard.rounds else None
        if event.phase is ShardPhase.COLLECTING:
            if newest is None or newest.number != event.regional_round:
                expected = self._members_of(event.shard)
                shard.rounds.append(_Regional(number=event.regional_round, expected=expected))
                shard.outcome, shard.reason = Outcome.OPEN, ""
        elif event.phase is ShardPhase.AGGREGATING and newest is not None:
            self._close(shard, newest, event.block)
        elif event.phase is ShardPhase.STALLED:
            self._stall(event, shard)

    def _stall(self, event: ev.ShardPhaseChanged, shard: _Shard) -> None:
        shard.outcome, shard.reason = Outcome.STALLED, event.stall.name.lower()
        for one in shard.rounds:
            if one.outcome is Outcome.OPEN:
                self._close(shard, one, event.block)
                one.end(Outcome.STALLED, shard.reason)
            one.stall = one.stall or shard.reason

    def _close(self, shard: _Shard, one: _Regional, block: int) -> None:
        """Ends the collecting: whoever has not committed is left out."""
        if not one.collecting:
            return
        one.collecting = False
        for node in one.expected:
            if node not in one.committed and node not in one.absent:
                reason = self._gate(node, shard.created.shard, block)
                one.leave_out(node, Absence.REFUSED if reason else Absence.DID_NOT_COMMIT, reason)

    def _accept(self, event: ev.RegionalModelAccepted) -> None:
        one = self.rounds[event.global_round].shards[event.shard].rounds[-1]
        one.outcome = Outcome.MERGED
        key = (event.shard, event.global_round, event.regional_round)
        for left_out in self._history.regional_tally(key, event.payload).proposal.excluded:
            one.leave_out(left_out.node, Absence.EXCLUDED, left_out.reason.name.lower())

    def _accept_globally(self, whole: _Global) -> None:
        whole.outcome = Outcome.MERGED
        excluded = {one.shard: one.reason for one in self._history.global_tally(whole.number).proposal.excluded}
        for index, shard in enumerate(whole.shards):
            reason = excluded.get(ShardIndex(index))
            if reason is not None:
                shard.outcome, shard.reason = Outcome.EXCLUDED, reason.name.lower()
            elif shard.outcome is Outcome.OPEN:
                shard.outcome = Outcome.MERGED
