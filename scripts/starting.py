"""Starting a job before its join window is over."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from domicile.chain.contracts import Jurisdictions
from domicile.chain.sender import Sender
from domicile.clock import JobClock
from domicile.errors import Overtaken, Refused
from domicile.protocol.round import JobPhase, JobState, ShardState
from domicile.types import JobId
from scripts.access import Access
from scripts.patience import patiently

POLL_S = 0.5


def gather(network: Access, job: JobId, wanted: int, say: Callable[[str], None]) -> None:
    """Waits until each shard has so many members, or nobody can join any more."""
    places = Jurisdictions(network.chain, network.deployment)
    codes = [places.code_at(shard.jurisdiction) for shard in network.jobs.snapshot(job)[1]]
    told = None
    while True:
        state, shards, now_s = patiently(partial(_look, network, job), say, poll_s=POLL_S)
        if state.phase is not JobPhase.JOINING or now_s >= state.deadline_s:
            return
        missing = [
            f"{code} {shard.num_members} of {wanted}"
            for code, shard in zip(codes, shards, strict=True)
            if shard.num_members < wanted
        ]
        if not missing:
            return
        line = f"waiting for members: {', '.join(missing)}; {state.deadline_s - now_s} s of the join window are left"
        if missing != told:
            say(line)
            told = missing
        time.sleep(POLL_S)


def _look(network: Access, job: JobId) -> tuple[JobState, tuple[ShardState, ...], int]:
    return (*network.jobs.snapshot(job), network.chain.timestamp())


def started(network: Access, job: JobId, sender: Sender) -> JobPhase:
    """Starts a job unless it started before; its phase then. After the join window, anyone may advance it.

    Raises:
        Refused: the contract refuses, or the job cannot start any more.
    """
    state, _ = network.jobs.snapshot(job)
    if state.phase is JobPhase.JOINING:
        is_over = network.chain.timestamp() >= state.deadline_s
        call = network.jobs.advance(job) if is_over else network.jobs.start(job)
        with suppress(Overtaken):
            sender.act(call, JobClock(state.collect_window_s))
        state, _ = network.jobs.snapshot(job)
    if state.phase in (JobPhase.CANCELLED, JobPhase.FAILED):
        raise Refused(f"job {job} is {state.phase.name.lower()} and will not start any more; create another one")
    return state.phase
