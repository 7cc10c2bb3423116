"""What a daemon sees of the chain, and whether there is a reason to look."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping

from domicile import metrics
from domicile.clock import DEFAULT_CLOCK, JobClock, shortest_clock
from domicile.errors import ChainFault
from domicile.history import Histories, JobHistory
from domicile.log import log_event
from domicile.party import Party
from domicile.protocol.round import JobState, ShardState
from domicile.registration import ensure_registered
from domicile.types import JobId

log = logging.getLogger(__name__)


class Watch:
    """One look after the other: `is_due`, a `snapshot` of each job, `looked`.

    After a reorganisation `forget` is called before the next look: whatever was built on a history is to be built anew.
    """

    def __init__(self, party: Party, forget: Callable[[], None]) -> None:
        self._party = party
        self._forget = forget
        self._histories = Histories(party.chain, party.deployment)
        self._folds = self._histories.folds
        self._clock = DEFAULT_CLOCK
        self._registered = False
        # Whether to look again even if nothing changes on chain.
        self._again = True
        # Whether more happened while it looked.
        self._newer = False

    @property
    def jobs(self) -> Mapping[JobId, JobHistory]:
        return self._histories.jobs

    @property
    def now_s(self) -> int:
        """The chain's time at the last snapshot; it goes back only with a reorganisation."""
        return self._histories.now_s

    @property
    def clock(self) -> JobClock:
        """The shortest clock of the jobs that the party is in."""
        return self._clock

    def is_due(self) -> bool:
        """Reads what is new; `False` if nothing can have changed and nothing is left to do.

        The first time, it registers the party. A look that is cut short, so that `looked` does not follow, is due
        again.
        """
        if not self._registered:
            ensure_registered(self._party)
            self._registered = True
        changed = self._histories.update()
        metrics.looked(self._histories.block, self._histories.now_s)
        if not changed and not self._again:
            return False
        self._again, self._newer = True, False
        if self._folds != self._histories.folds:
            log_event(log, "reorganised", level=logging.WARNING, block=self._histories.block)
            self._folds = self._histories.folds
            self._forget()
        return True

    def snapshot(self, job: JobId) -> tuple[JobState, tuple[ShardState, ...]]:
        """A job's state at the newest block that is read, of which the history then tells too.

        Raises:
            ChainFault: the endpoint failed, is behind, or the chain was reorganised since the look began.
        """
        state, shards = self._histories.snapshot(job, self._read_on)
        metrics.JOBS.saw(job, state, shards)
        return state, shards

    def _read_on(self) -> None:
        """Takes in what happened since the look began."""
        self._newer |= self._histories.update()
        if self._folds != self._histories.folds:
            raise ChainFault("the chain was reorganised; looking at it anew")

    def looked(self, *, again: bool, jobs: Iterable[JobId]) -> None:
        """Ends a look; `again` after an act, or where something failed and is to be tried again. `jobs` are those that
        the party is in.
        """
        self._again = again or self._newer
        self._clock = shortest_clock(self.jobs[job].clock for job in jobs if job in self.jobs)
        self._party.follow(self._clock)
        self._histories.patience_s = self._clock.stands_still_s
