"""The jobs that a party has a part in: what it is to do in each now, and what its journal says of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from domicile.chain.client import Chain
from domicile.chain.contracts import Jobs, Nodes
from domicile.chain.deployment import Deployment
from domicile.history import Histories, JobHistory
from domicile.protocol.eligibility import Refusal
from domicile.protocol.round import FINAL_PHASES, JobPhase, JobState, ShardPhase, ShardState
from domicile.types import Address, JobId, ShardIndex
from scripts.party_journal import SILENT, Diary, Remarks
from scripts.wording import moment, spaced


@dataclass(frozen=True, kw_only=True)
class PartySight:
    """One party's jobs at one moment, with what its journal remarks."""

    address: Address
    histories: Histories
    jobs: Jobs
    nodes: Nodes
    diary: Diary

    def told(self) -> list[dict[str, Any]]:
        """Each job that lists the party, or of which its journal tells an act, as plain data."""
        return [self._job(job, history) for job, history in self._own.items()]

    def stays_out(self) -> dict[JobId, str]:
        """Why the party has no part in jobs that it might have joined."""
        remarks = self.diary.remarks.items()
        return {job: one.stays_out for job, one in remarks if one.stays_out and job not in self._own}

    @property
    def _own(self) -> dict[JobId, JobHistory]:
        return {
            job: history
            for job, history in self.histories.jobs.items()
            if has_part(self.address, history) or self._remarks(job).notes
        }

    def _remarks(self, job: JobId) -> Remarks:
        return self.diary.remarks.get(job, SILENT)

    def _job(self, job: JobId, history: JobHistory) -> dict[str, Any]:
        (state, shards), remarks = self.jobs.snapshot(job), self._remarks(job)
        in_global = self.address in history.created.global_committee.members
        return {
            "job": job,
            "phase": state.phase.name.lower(),
            "global_round": state.global_round + 1,
            "shards": {
                one.parameters.jurisdiction: self._shard(history, state, one.shard, shards[one.shard])
                for one in history.shards
                if _has_shard(self.address, history, one.shard)
            },
            "global_committee": self._global(history, state) if in_global else None,
            "stays_out": remarks.stays_out,
            "notes": list(remarks.notes),
        }

    def _shard(self, history: JobHistory, state: JobState, shard: ShardIndex, present: ShardState) -> dict[str, Any]:
        job = history.created.job
        is_member = history.members.get(self.address) == shard
        if self._remarks(job).stays_out:
            doing = "takes no part"
        elif state.phase is not JobPhase.TRAINING:
            doing = "nothing to do"
        elif is_member:
            doing = self._training(history, state, shard, present)
        else:
            doing = self._merging(history, state, shard, present)
        answer = self.nodes.refusal(self.address, self.jobs.requirement_of(job, shard))
        return {
            "part": "member" if is_member else "committee",
            "phase": present.phase.name.lower(),
            "regional_round": present.regional_round + 1,
            "doing": doing,
            "gate": answer.name.lower(),
        }

    def _training(self, history: JobHistory, state: JobState, shard: ShardIndex, present: ShardState) -> str:
        key = (shard, state.global_round, present.regional_round)
        if any(one.node == self.address for one in history.commits_of(key)):
            return "committed its update of this round, waits for the others"
        if present.phase is not ShardPhase.COLLECTING:
            return "waits for the next round"
        remarks = self._remarks(history.created.job)
        if key[1:] in remarks.given_up:
            return "sits this round out"
        if key[1:] in remarks.sealed:
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

    def _global(self, history: JobHistory, state: JobState) -> dict[str, Any]:
        job = history.created.job
        answer = self.nodes.refusal(self.address, self.jobs.global_requirement_of(job))
        tallies = history.global_tallies.get(state.global_round, {})
        if self._remarks(job).stays_out:
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
        where = f"{place}, {'a member' if part['part'] == 'member' else 'on the committee'}"
        yield _part_line(f"{where}: {part['phase']}, regional round {part['regional_round']}", part, mend)
    if told["global_committee"]:
        yield _part_line("on the global committee", told["global_committee"], mend)
    if told["stays_out"]:
        yield f"  stays out: {told['stays_out']}"
    yield from (f"  {note}" for note in told["notes"])


def _part_line(where: str, part: dict[str, Any], mend: dict[Refusal, str]) -> str:
    answer = Refusal[part["gate"].upper()]
    refused = "" if answer is Refusal.NONE else f"; refused now: {spaced(answer.name)}, {mend[answer]}"
    return f"  {where}: {part['doing']}{refused}"


def _has_shard(address: Address, history: JobHistory, shard: ShardIndex) -> bool:
    return history.members.get(address) == shard or address in history.shards[shard].parameters.committee.members
