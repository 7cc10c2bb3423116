"""The jobs that a party has a part in: what it is to do in each now, and what its journal says of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from aggregator.journal import GLOBAL, AggregatorJournal, LeftOut, StoredPayload
from domicile.chain.client import Chain
from domicile.chain.contracts import Jobs, Nodes
from domicile.chain.deployment import Deployment
from domicile.history import Histories, JobHistory
from domicile.protocol.eligibility import Refusal
from domicile.protocol.round import FINAL_PHASES, JobPhase, JobState, ShardPhase, ShardState
from domicile.types import Address, JobId, ShardIndex
from node.journal import NodeJournal
from scripts.wording import moment, spaced

LAST = 3
"""How many of the newest entries of a kind are told."""


@dataclass(frozen=True, kw_only=True)
class PartySight:
    """One party's jobs at one moment. `journal` is `None` where there is none yet."""

    address: Address
    histories: Histories
    jobs: Jobs
    nodes: Nodes
    journal: NodeJournal | AggregatorJournal | None

    def told(self) -> list[dict[str, Any]]:
        """Each job that lists the party, or of which its journal has something to say, as plain data."""
        return [
            self._job(job, history)
            for job, history in self.histories.jobs.items()
            if has_part(self.address, history) or self._declined(job) or self._notes(job)
        ]

    def _notes(self, job: JobId) -> list[str]:
        return [] if self.journal is None else list(_notes(self.journal, job))

    def _declined(self, job: JobId) -> str | None:
        return None if self.journal is None else self.journal.declined(job)

    def _job(self, job: JobId, history: JobHistory) -> dict[str, Any]:
        state, shards = self.jobs.snapshot(job)
        in_global = self.address in history.created.global_committee.members
        return {
            "job": job,
            "phase": state.phase.name.lower(),
            "global_round": state.global_round + 1,
            "shards": {
                one.parameters.jurisdiction: self._shard(job, history, state, one.shard, shards[one.shard])
                for one in history.shards
                if _has_shard(self.address, history, one.shard)
            },
            "global_committee": self._global(job, history, state) if in_global else None,
            "declined": self._declined(job),
            "notes": self._notes(job),
        }

    def _shard(
        self, job: JobId, history: JobHistory, state: JobState, shard: ShardIndex, present: ShardState
    ) -> dict[str, Any]:
        answer = self.nodes.refusal(self.address, self.jobs.requirement_of(job, shard))
        if self._declined(job):
            doing = "takes no part"
        elif state.phase is not JobPhase.TRAINING:
            doing = "nothing to do"
        elif history.members.get(self.address) == shard:
            doing = self._training(job, history, state, shard, present)
        else:
            doing = self._merging(history, state, shard, present)
        return {
            "phase": present.phase.name.lower(),
            "regional_round": present.regional_round + 1,
            "doing": doing,
            "gate": answer.name.lower(),
        }

    def _training(
        self, job: JobId, history: JobHistory, state: JobState, shard: ShardIndex, present: ShardState
    ) -> str:
        key = (shard, state.global_round, present.regional_round)
        if any(one.node == self.address for one in history.commits_of(key)):
            return "committed its update of this round, waits for the others"
        if present.phase is not ShardPhase.COLLECTING:
            return "waits for the next round"
        if isinstance(self.journal, NodeJournal):
            skipped = {(one.act, one.global_round, one.regional_round) for one in self.journal.skipped(job)}
            if skipped & {("train", *key[1:]), ("store", *key[1:])}:
                return "sits this round out"
            if self.journal.update(job, *key[1:]) is not None:
                return f"trained and sealed its update, is to commit it until {moment(present.deadline_s)}"
        return f"is to train and commit until {moment(present.deadline_s)}"

    def _merging(self, history: JobHistory, state: JobState, shard: ShardIndex, present: ShardState) -> str:
        until = moment(present.deadline_s)
        if present.phase is ShardPhase.COLLECTING:
            return f"waits for updates until {until}"
        if present.phase is ShardPhase.MATURE:
            return f"is to export the model until {until}, unless another member does"
        if present.phase is not ShardPhase.AGGREGATING:
            return "waits for the next round"
        tallies = history.regional_tallies.get((shard, state.global_round, present.regional_round), {})
        if any(self.address in one.voters for one in tallies.values()):
            return "voted in this round, waits for the others"
        return f"is to merge and vote until {until}"

    def _global(self, job: JobId, history: JobHistory, state: JobState) -> dict[str, Any]:
        answer = self.nodes.refusal(self.address, self.jobs.global_requirement_of(job))
        tallies = history.global_tallies.get(state.global_round, {})
        if self._declined(job):
            doing = "takes no part"
        elif state.phase in FINAL_PHASES:
            doing = "nothing to do"
        elif state.phase is not JobPhase.MERGING:
            doing = "waits for the shards"
        elif any(self.address in one.voters for one in tallies.values()):
            doing = "voted in this round, waits for the others"
        else:
            doing = f"is to merge and vote until {moment(state.deadline_s)}"
        return {"doing": doing, "gate": answer.name.lower()}


def has_part(address: Address, history: JobHistory) -> bool:
    """Whether a job lists a party as a member or on a committee."""
    in_shard = any(_has_shard(address, history, one.shard) for one in history.shards)
    return in_shard or address in history.created.global_committee.members


def running_jobs(chain: Chain, deployment: Deployment, address: Address) -> list[JobId]:
    """Jobs that list a party and are not over."""
    histories, jobs = Histories(chain, deployment), Jobs(chain, deployment)
    histories.update()
    parts = (job for job, history in histories.jobs.items() if has_part(address, history))
    return [job for job in parts if jobs.snapshot(job)[0].phase not in FINAL_PHASES]


def job_lines(told: dict[str, Any], mend: dict[Refusal, str]) -> Iterator[str]:
    """The same for people; `mend` says who ends a refusal."""
    yield f"job {told['job']}: {told['phase']}, global round {told['global_round']}"
    for place, part in told["shards"].items():
        yield _part_line(f"{place}: {part['phase']}, regional round {part['regional_round']}", part, mend)
    if told["global_committee"]:
        yield _part_line("global committee", told["global_committee"], mend)
    if told["declined"]:
        yield f"  declined: {told['declined']}"
    yield from (f"  {note}" for note in told["notes"])


def _part_line(where: str, part: dict[str, Any], mend: dict[Refusal, str]) -> str:
    answer = Refusal[part["gate"].upper()]
    refused = "" if answer is Refusal.NONE else f"; refused now: {spaced(answer.name)}, {mend[answer]}"
    return f"  {where}: {part['doing']}{refused}"


def _has_shard(address: Address, history: JobHistory, shard: ShardIndex) -> bool:
    return history.members.get(address) == shard or address in history.shards[shard].parameters.committee.members


def _notes(journal: NodeJournal | AggregatorJournal, job: JobId) -> Iterator[str]:
    """What a journal says of a job, the newest last; people count rounds from 1."""
    for one in journal.locked_out(job)[-LAST:]:
        yield f"{one.recipient} cannot open the {one.payload}: {one.reason}"
    if isinstance(journal, AggregatorJournal):
        for payload in journal.payloads(job)[-1:]:
            yield f"last sealed: {payload.kind} model of round {_round_of(payload)}"
        for left_out in journal.left_out(job)[-LAST:]:
            yield f"left out in round {_round_of(left_out)}: {left_out.subject} ({spaced(left_out.reason)})"
        return
    for update in journal.updates(job)[-1:]:
        yield f"last trained: round {_round(update.global_round, update.regional_round)}"
    for evaluation in journal.evaluations(job)[-1:]:
        yield f"last measured: the global model of round {evaluation.global_round + 1}"
    for skipped in journal.skipped(job)[-LAST:]:
        at = _round(skipped.global_round, skipped.regional_round)
        yield f"gave up to {skipped.act} in round {at}: {skipped.reason}"
    for action, reason in journal.refusals(job)[-LAST:]:
        yield f"refused by the contract, {action}: {reason}"
    if journal.has_left(job):
        yield "left by hand; it does not join again by itself"


def _round_of(one: StoredPayload | LeftOut) -> str:
    return _round(one.global_round, GLOBAL if one.shard == GLOBAL else one.regional_round)


def _round(global_round: int, regional_round: int) -> str:
    """A regional round, or a global one where there is no regional one."""
    return f"{global_round + 1}" if regional_round < 0 else f"{global_round + 1}.{regional_round + 1}"
