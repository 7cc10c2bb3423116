"""The people of a job over two shards, and the ways to bring a job where a test begins."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from eth_utils import keccak

from tests.contracts.ground import Contract, Ground, Job, create_job, shard_of

NO_LOSS = 2**64 - 1
JOINING, TRAINING, MERGING, COMPLETE, CANCELLED, FAILED = range(1, 7)
IDLE, COLLECTING, AGGREGATING, MATURE, REPORTED, STALLED = range(6)
TOO_FEW_MEMBERS, TOO_FEW_UPDATES, NO_QUORUM, TOO_FEW_CONTRIBUTORS, NOT_EXPORTED, ROUND_OVER = range(1, 7)
INELIGIBLE = 1


@dataclass
class Cast:
    """EU: three nodes and a committee of two; US: three nodes and a committee of one."""

    ground: Ground
    owner: str
    europe: list[str]
    america: list[str]
    eu_committee: list[str]
    us_committee: list[str]
    stranger: str

    def proposal_id(self, function: str, *arguments: Any) -> bytes:
        """What a vote is counted under: the hash of everything that it votes on."""
        return self.proposal_id_of(self.ground.jobs, function, *arguments)

    def proposal_id_of(self, contract: Contract, function: str, *arguments: Any) -> bytes:
        """The same of a vote on another contract."""
        return bytes(keccak(contract.data(function, *arguments)[4:]))

    def job_phase(self, job: Job, phase: int, *, window_s: int = 0, **changes: Any) -> dict[str, Any]:
        """All that JobPhaseChanged tells; a window of 0 is none."""
        return {
            "job": job.id,
            "phase": phase,
            "globalRound": 0,
            "retries": 0,
            "deadline": window_s and self.ground.chain.now + window_s,
            **changes,
        }

    def shard_phase(self, job: Job, phase: int, *, shard: int = 0, window_s: int = 0, **changes: Any) -> dict[str, Any]:
        """All that ShardPhaseChanged tells; a window of 0 is none."""
        return {
            "job": job.id,
            "shard": shard,
            "phase": phase,
            "stall": 0,
            "globalRound": 0,
            "regionalRound": 0,
            "retries": 0,
            "deadline": window_s and self.ground.chain.now + window_s,
            **changes,
        }

    def job(self, **changes: Any) -> Job:
        quorum = changes.pop("quorum", 2)
        global_quorum = changes.pop("global_quorum", 1)
        return create_job(
            self.ground,
            self.owner,
            [shard_of("EU", self.eu_committee, quorum), shard_of("US", self.us_committee, 1)],
            {"members": [self.eu_committee[0], self.us_committee[0]], "quorum": global_quorum},
            **changes,
        )

    def training(self, **changes: Any) -> Job:
        job = self.job(**changes)
        for index, nodes in enumerate((self.europe, self.america)):
            for node in nodes:
                job.join(node, index)
        job.send(self.owner, "start")
        return job

    def collected(self, job: Job, index: int = 0) -> Job:
        for node in (self.europe, self.america)[index]:
            job.commit(node)
        return job

    def accepted(self, job: Job, index: int = 0, **changes: Any) -> Job:
        self.collected(job, index)
        for voter in (self.eu_committee, self.us_committee)[index]:
            job.vote(voter, index, **changes)
        return job

    def reported(self, job: Job, index: int = 0) -> Job:
        self.accepted(job, index)
        job.export((self.eu_committee, self.us_committee)[index][0], index)
        return job
