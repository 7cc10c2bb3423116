"""What a member keeps and logs of those whom it leaves out in one shard of one job."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

from aggregator.journal import AggregatorJournal, Unmerged
from aggregator.journal import LeftOut as JournaledExclusion
from aggregator.merging import LeftOut
from domicile.history import RegionalKey
from domicile.log import log_event
from domicile.types import JobId

log = logging.getLogger(__name__)

BAD_ANSWER = "BAD_ANSWER"
BAD_SHARES = "BAD_SHARES"
BAD_SECRET = "BAD_SECRET"  # noqa: S105 - of a dealer, not a password
NOT_MERGED = "NOT_MERGED"


class Remarks:
    """Journals and logs; what was logged of a round is not logged again."""

    def __init__(self, journal: AggregatorJournal, job: JobId) -> None:
        self._journal = journal
        self._job = job
        self._logged: set[tuple[RegionalKey, str, str]] = set()

    def left_out(self, key: RegionalKey, excluded: Sequence[LeftOut], new: Collection[LeftOut]) -> None:
        """Whom a look at what was committed leaves out, in place of what an earlier look did."""
        self._journal.forget_left_out(self._job, *key)
        for one in excluded:
            self._record(key, one.subject, one.reason.name, one.detail)
            if one in new:
                log_event(
                    log, "left_out", **self._where(key), node=one.subject, reason=one.reason.name, detail=one.detail
                )

    def not_merged(self, key: RegionalKey, cause: str | None) -> None:
        """Why this member makes no model of a round now; `None`: it does, whatever an earlier look said."""
        shard, global_round, regional_round = key
        if cause is None:
            self._journal.forget_unmerged(self._job, *key)
            return
        unmerged = Unmerged(shard=shard, global_round=global_round, regional_round=regional_round, reason=cause)
        self._journal.record_unmerged(self._job, unmerged)
        if (key, NOT_MERGED, cause) not in self._logged:
            self._logged.add((key, NOT_MERGED, cause))
            log_event(log, "not_merged", level=logging.WARNING, **self._where(key), cause=cause)

    def misled(self, key: RegionalKey, subject: str, reason: str, detail: str) -> None:
        """Who stands in the way of unmasking a round: its answer or what it dealt does not hold."""
        if (key, subject, reason) not in self._logged:
            self._logged.add((key, subject, reason))
            self._record(key, subject, reason, detail)
            where = self._where(key)
            log_event(log, "misled", level=logging.WARNING, **where, node=subject, reason=reason, detail=detail)

    def _record(self, key: RegionalKey, subject: str, reason: str, detail: str) -> None:
        shard, global_round, regional_round = key
        left_out = JournaledExclusion(
            shard=shard,
            global_round=global_round,
            regional_round=regional_round,
            subject=subject,
            reason=reason,
            detail=detail,
        )
        self._journal.record_left_out(self._job, left_out)

    def _where(self, key: RegionalKey) -> dict[str, int]:
        shard, global_round, regional_round = key
        return {"job": self._job, "shard": shard, "global_round": global_round, "regional_round": regional_round}
