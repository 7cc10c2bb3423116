"""A job driven by the pure rules, and the history that a chain would tell of it; each act is a block of 10 s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

from domicile.chain import events as ev
from domicile.history import JobHistory, history_of
from domicile.protocol import acts, unmasking
from domicile.protocol.creation import create
from domicile.protocol.eligibility import Refusal, Safeguard, Sensitivity
from domicile.protocol.job import Job
from domicile.protocol.jurisdiction import Jurisdictions, Tier
from domicile.protocol.proposal import (
    GlobalProposal,
    NodeExclusion,
    RegionalProposal,
    ShardExclusion,
    SurvivorsProposal,
)
from domicile.protocol.round import NO_LOSS, Committee, ExclusionReason, JobParameters, ShardParameters
from domicile.types import Address, Digest, JobId, JurisdictionCode, ShardIndex

BLOCK_S = 10
WINDOW_S = 1000
PLACES = ("EU", "US")
COMMITTEES = {"EU": (("agg-1", "agg-2"), 2), "US": (("agg-3",), 1)}
GLOBAL_COMMITTEE = (("global-1", "global-2"), 1)


def address_of(name: str) -> Address:
    """An account that its name can be read from, in the order of names."""
    return Address("0x" + name.encode().hex().ljust(40, "0"))


def names_of(accounts: Sequence[Address]) -> list[str]:
    return [bytes.fromhex(one[2:]).rstrip(b"\0").decode() for one in accounts]


def account_names(*names: str) -> dict[Address, str]:
    return {address_of(name): name for name in names}


class WrittenJob:
    """Acts by name; shard 0 is ``EU`` with a committee of two, shard 1 ``US`` with one of one."""

    def __init__(
        self,
        *,
        global_rounds: int = 1,
        max_retries: int = 1,
        min_shards: int = 1,
        max_regional_rounds: int = 1,
        safeguards: Safeguard = Safeguard.NONE,
    ) -> None:
        law = Jurisdictions()
        for code in PLACES:
            law = law.list(code, None, Tier.OPEN)
        self.now_s = 10_000
        self._num_digests = 0
        self._block = 0
        self._times_s: dict[int, int] = {}
        self._events: list[ev.JobEvent] = []
        job = create(
            chain_id=1,
            contract=address_of("jobs"),
            number=JobId(1),
            owner=address_of("owner"),
            parameters=JobParameters(
                spec=self._digest(),
                join_window_s=WINDOW_S,
                collect_window_s=WINDOW_S,
                global_rounds=global_rounds,
                min_regional_rounds=1,
                max_regional_rounds=max_regional_rounds,
                patience=9,
                min_delta_micros=0,
                max_retries=max_retries,
                min_nodes=2,
                min_contributors=3,
                min_shards=min_shards,
                sensitivity=Sensitivity.SPECIAL,
                max_tier=Tier.OPEN,
                safeguards=safeguards,
                denied=(),
            ),
            shards=[
                ShardParameters(jurisdiction=JurisdictionCode(code), committee=_committee(*COMMITTEES[code]))
                for code in PLACES
            ],
            global_committee=_committee(*GLOBAL_COMMITTEE),
            law=law,
            now_s=self.now_s,
        )
        self.job = self._told(job)

    @property
    def block(self) -> int:
        return self._block

    def time_of(self, block: int) -> int:
        """The chain's time of a block: what happens between acts is no block."""
        return self._times_s[block]

    def history(self) -> JobHistory:
        return history_of(self._events)

    def join(self, *names: str, shard: int = 0) -> None:
        for name in names:
            self._act(acts.join(self.job, address_of(name), shard, now_s=self.now_s, refusal=Refusal.NONE))

    def leave(self, name: str) -> None:
        self._act(acts.leave(self.job, address_of(name), now_s=self.now_s))

    def start(self) -> None:
        self._act(acts.start(self.job, self.job.owner, now_s=self.now_s))

    def cancel(self) -> None:
        self._act(acts.cancel(self.job, self.job.owner))

    def commit(self, *names: str) -> None:
        for name in names:
            node = address_of(name)
            rounds = (self.job.state.global_round, self.job.shards[self.job.members[node].shard].regional_round)
            self._act(acts.commit(self.job, node, *rounds, self._digest(), now_s=self.now_s, refusal=Refusal.NONE))

    def agree(self, *names: str, without: str = "") -> None:
        """The same survivors in ``EU`` by each."""
        left_out = (NodeExclusion(node=address_of(without), reason=ExclusionReason.UNAVAILABLE),) if without else ()
        proposal = SurvivorsProposal(
            global_round=self.job.state.global_round,
            regional_round=self.job.shards[0].regional_round,
            commitments=self.job.commitments[0],
            excluded=left_out,
        )
        for name in names:
            voter = address_of(name)
            self._act(unmasking.vote_survivors(self.job, voter, 0, proposal, now_s=self.now_s, refusal=Refusal.NONE))

    def unmask(self, *names: str) -> None:
        """Answers of members of ``EU``."""
        for name in names:
            where = (self.job.state.global_round, self.job.shards[0].regional_round, self._digest())
            self._act(unmasking.unmask(self.job, address_of(name), *where, now_s=self.now_s, refusal=Refusal.NONE))

    def vote(self, *names: str, shard: int = 0, without: str = "", loss: int = 500_000) -> None:
        """The same proposal by each."""
        left_out = (NodeExclusion(node=address_of(without), reason=ExclusionReason.NOT_FINITE),) if without else ()
        num_merged = self.job.shards[shard].num_committed - len(left_out)
        proposal = RegionalProposal(
            global_round=self.job.state.global_round,
            regional_round=self.job.shards[shard].regional_round,
            commitments=self.job.commitments[shard],
            model=self._digest(),
            payload=self._digest(),
            loss_micros=loss if num_merged >= self.job.parameters.min_contributors else NO_LOSS,
            excluded=left_out,
        )
        for name in names:
            voter = address_of(name)
            self._act(acts.vote_regional(self.job, voter, shard, proposal, now_s=self.now_s, refusal=Refusal.NONE))

    def export(self, name: str, shard: int = 0) -> None:
        where = (shard, self.job.state.global_round, self._digest())
        self._act(acts.report_export(self.job, address_of(name), *where, now_s=self.now_s, refusal=Refusal.NONE))

    def vote_globally(self, *names: str, without: int | None = None) -> None:
        left_out = ShardExclusion(shard=ShardIndex(without or 0), reason=ExclusionReason.UNAVAILABLE)
        proposal = GlobalProposal(
            global_round=self.job.state.global_round,
            reports=self.job.reports,
            model=self._digest(),
            payload=self._digest(),
            excluded=() if without is None else (left_out,),
        )
        for name in names:
            voter = address_of(name)
            self._act(acts.vote_global(self.job, voter, proposal, now_s=self.now_s, refusal=Refusal.NONE))

    def full_round(self, *nodes: str) -> None:
        """A regional round of ``EU`` in which all take part, exported."""
        self.commit(*nodes)
        self.vote("agg-1", "agg-2")
        self.export("agg-1")

    def pass_window(self) -> None:
        self.now_s += WINDOW_S

    def advance(self) -> None:
        self._act(acts.advance(self.job, now_s=self.now_s))

    def advance_shard(self, shard: int = 0) -> None:
        self.pass_window()
        self._act(acts.advance_shard(self.job, shard, now_s=self.now_s))

    def _act(self, after: Job) -> None:
        self.job = self._told(after)
        self.now_s += BLOCK_S

    def _told(self, job: Job) -> Job:
        """Takes what an act made known as the events of one block."""
        self._block += 1
        self._times_s[self._block] = self.now_s
        for index, one in enumerate(job.told):
            kind: type[ev.JobEvent] = getattr(ev, type(one).__name__)
            told = {field.name: getattr(one, field.name) for field in fields(one)}
            self._events.append(kind(block=self._block, log_index=index, transaction="0x", job=job.id, **told))
        return replace(job, told=())

    def _digest(self) -> Digest:
        self._num_digests += 1
        return Digest(self._num_digests.to_bytes(32, "big"))


def _committee(members: Sequence[str], quorum: int) -> Committee:
    return Committee(members=tuple(address_of(name) for name in members), quorum=quorum)
