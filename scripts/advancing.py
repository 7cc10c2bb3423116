"""Ending what is over in a job: every phase whose deadline has passed, which the contract lets anyone do."""

from __future__ import annotations

from dataclasses import dataclass

from domicile.chain.contracts import Jurisdictions
from domicile.chain.sender import Call, Sender
from domicile.clock import JobClock
from domicile.errors import Refused
from domicile.protocol.round import FINAL_PHASES, JobPhase
from domicile.types import JobId, ShardIndex
from scripts.access import Access
from scripts.wording import WAITING


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """A phase in progress that anyone may end from `until_s` on; `shard` is `None` for the job's own."""

    shard: ShardIndex | None
    place: str
    name: str
    until_s: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Advanced:
    """`ended`: what was ended, in this order; `now`: the job's phase; `open`: what is in progress afterwards."""

    ended: tuple[Phase, ...]
    now: JobPhase
    open: tuple[Phase, ...]
    now_s: int

    @property
    def until_s(self) -> int | None:
        """When the next phase may be ended; nothing of a job that is over."""
        return min((one.until_s for one in self.open), default=None)


def advance(network: Access, job: JobId) -> Advanced:
    """Ends every phase whose deadline has passed; the job's own first, since with a round all its shards' phases end.

    Raises:
        ConfigurationError: there is something to end, and no account to do it.
        Refused: the contract refuses.
    """
    clock = JobClock(network.jobs.snapshot(job)[0].collect_window_s)
    ended: list[Phase] = []
    sender: Sender | None = None
    while True:
        now, open_, now_s = _look(network, job)
        over = next((one for one in open_ if now_s >= one.until_s), None)
        if over is None:
            return Advanced(ended=tuple(ended), now=now, open=open_, now_s=now_s)
        sender = sender or network.sender()
        try:
            sender.act(_call(network, job, over), clock)
            ended.append(over)
        except Refused:
            # Another account may have ended it meanwhile, which leaves nothing to do.
            if over in _look(network, job)[1]:
                raise


def _look(network: Access, job: JobId) -> tuple[JobPhase, tuple[Phase, ...], int]:
    # The time first: what is over by then is over by whatever is read after it.
    now_s = network.chain.timestamp()
    state, shards = network.jobs.snapshot(job)
    if state.phase in FINAL_PHASES:
        return state.phase, (), now_s
    phases = [Phase(shard=None, place="", name=state.phase.name.lower(), until_s=state.deadline_s)]
    if state.phase is JobPhase.TRAINING:
        places = Jurisdictions(network.chain, network.deployment)
        phases += [
            Phase(
                shard=ShardIndex(index),
                place=places.code_at(shard.jurisdiction),
                name=shard.phase.name.lower(),
                until_s=shard.deadline_s,
            )
            for index, shard in enumerate(shards)
            if shard.phase in WAITING
        ]
    return state.phase, tuple(phases), now_s


def _call(network: Access, job: JobId, over: Phase) -> Call:
    return network.jobs.advance(job) if over.shard is None else network.jobs.advance_shard(job, over.shard)
