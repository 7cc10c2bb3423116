"""What a daemon sees of the chain, and whether there is a reason to look."""

from __future__ import annotations

from collections.abc import Mapping

from domicile import metrics
from domicile.history import Histories, JobHistory
from domicile.party import Party
from domicile.protocol.round import JobState, ShardState
from domicile.registration import ensure_registered
from domicile.types import JobId


class Watch:
    """One look after the other: `is_due`, a `snapshot` of each job, `looked`."""

    def __init__(self, party: Party) -> None:
        self._party = party
        self._histories = Histories(party.chain, party.deployment)
        self._registered = False
        # Whether to look again even if nothing changes on chain.
        self._again = True
        # Whether more happened while it looked.
        self._newer = False

    @property
    def jobs(self) -> Mapping[JobId, JobHistory]:
        return self._histories.jobs

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
        return True

    def snapshot(self, job: JobId) -> tuple[JobState, tuple[ShardState, ...]]:
        """A job's state; what it builds on (a set that it calls complete, say) is then in the history too."""
        state, shards = self._party.jobs.snapshot(job)
        metrics.JOBS.saw(job, state, shards)
        self._newer |= self._histories.update()
        return state, shards

    def looked(self, *, again: bool) -> None:
        """Ends a look; `again` after an act, or where something failed and is to be tried again."""
        self._again = again or self._newer
