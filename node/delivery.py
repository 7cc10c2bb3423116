"""The way of updates and answers from the outbox to the region store, and how long this node watches over them."""

from __future__ import annotations

import logging

from domicile.errors import ConfigurationError
from domicile.log import log_event
from domicile.outbox import Delivered, Outbox
from domicile.party import Party
from domicile.storage.store import Store
from domicile.types import Digest, JobId
from node import step
from node.journal import NodeJournal, SealedAnswer, SealedUpdate, Skipped

log = logging.getLogger(__name__)

LOOKS_A_WINDOW = 4
"""How often in a collect window the node looks whether the store still holds what its committee has yet to read."""


class Delivery:
    """Keeps the update and the answer of the present round in the region store, in one job."""

    def __init__(self, party: Party, journal: NodeJournal, outbox: Outbox, job: JobId) -> None:
        self._party = party
        self._journal = journal
        self._outbox = outbox
        self._job = job
        self._look_again_s: dict[Digest, int] = {}

    def is_stored(self, digest: Digest, now_s: int) -> bool:
        """Whether the store was seen to hold it a short while ago, on the chain's clock."""
        return now_s < self._look_again_s.get(digest, now_s)

    def store(self, act: step.Store | step.StoreAnswer, now_s: int, window_s: int) -> None:
        """Puts the payload into the region store unless it lies there whole; notes one that is lost.

        Raises:
            StoreFault: the store fails; DiskFault: the outbox does.
        """
        where = {"job": self._job, "global_round": act.global_round, "regional_round": act.regional_round}
        delivered = self._outbox.deliver(act.digest, region_of(self._party))
        if delivered is Delivered.LOST:
            what = "update" if isinstance(act, step.Store) else "answer"
            lost = Skipped(
                act="store" if what == "update" else "answer",
                global_round=act.global_round,
                regional_round=act.regional_round,
                reason=f"the sealed {what} is whole neither here nor in the region store",
            )
            self._journal.record_skipped(self._job, lost)
            log_event(log, "lost", level=logging.WARNING, **where, digest=act.digest)
            return
        self._look_again_s[act.digest] = now_s + window_s // LOOKS_A_WINDOW + 1
        if delivered is Delivered.PUT:
            log_event(log, "stored", **where, digest=act.digest)

    def leave_behind(self, present: tuple[int, int] | None) -> None:
        """Lets go of what the outbox holds of rounds before the present one, which has a global and a regional number;
        of all rounds where none is to come. A later round's payloads stay: the chain has gone back below that round,
        and will want them when it is there again.
        """
        kept: list[SealedUpdate | SealedAnswer] = [*self._journal.updates(self._job), *self._journal.answers(self._job)]
        for sealed in kept:
            if present is None or (sealed.global_round, sealed.regional_round) < present:
                self._outbox.drop(sealed.digest)
                self._look_again_s.pop(sealed.digest, None)


def region_of(party: Party) -> Store:
    """Raises:
    ConfigurationError: none is configured.
    """
    if party.region is None:
        raise ConfigurationError("stores.region: missing; a node needs the store of its region")
    return party.region
