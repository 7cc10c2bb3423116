"""The way of a member's sealed models: journaled before a store has them, so that a restart seals none twice."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

from aggregator.journal import AggregatorJournal, StoredPayload
from domicile import metrics
from domicile.errors import DiskFault
from domicile.exchange import SealedModel
from domicile.history import JobHistory
from domicile.log import log_event
from domicile.outbox import Delivered, Outbox
from domicile.party import Party
from domicile.protocol.round import FINAL_PHASES, JobPhase, JobState, ShardPhase, ShardState
from domicile.types import Digest, JobId, ShardIndex

log = logging.getLogger(__name__)

_OPEN_IN = {"regional": ShardPhase.AGGREGATING, "export": ShardPhase.MATURE}
"""The phase of its shard in which a payload of a region can still come to something."""


class Dispatch:
    """What one member seals in one job."""

    def __init__(
        self, party: Party, journal: AggregatorJournal, outbox: Outbox, job: JobId, history: JobHistory
    ) -> None:
        self.outbox = outbox
        self._party = party
        self._journal = journal
        self._job = job
        self._history = history

    def send(
        self,
        kind: str,
        shard: int,
        rounds: tuple[int, int],
        model: Digest,
        *,
        seal: Callable[[], SealedModel],
        deliver: Callable[[Digest], Delivered],
    ) -> Digest:
        """Sees to it that a store holds a model, and returns the payload's digest. What was sealed before is used
        again; `rounds` are the global and the regional one.

        Raises:
            DiskFault: there is no room, or what was sealed before is lost, and the next try seals anew.
        """
        payload = self._journal.payload(self._job, shard, *rounds, kind, model)
        if payload is None:
            sealed = seal()
            payload = StoredPayload(
                shard=shard,
                global_round=rounds[0],
                regional_round=rounds[1],
                kind=kind,
                model=model,
                digest=sealed.digest,
                sealed_bytes=sealed.sealed_bytes,
            )
            self._journal.record_payload(self._job, payload)
            log_event(log, "sealed_model", **self._where(payload))
        with metrics.acting("store"):
            delivered = deliver(payload.digest)
        if delivered is Delivered.LOST:
            self._journal.record_unpinned(self._job, payload)
            self._settle(payload)
            raise DiskFault(f"outbox: {payload.digest.hex()} is whole neither here nor in its store; it is sealed anew")
        return payload.digest

    def tidy(self, state: JobState, shards: Sequence[ShardState]) -> bool:
        """Lets go of what the outbox holds of rounds that are over. An export that did not come into the ledger is
        taken back: each crossing is a line in it.
        """
        over = [one for one in self._journal.unsettled_payloads(self._job) if not self._is_open(one, state, shards)]
        for payload in over:
            if payload.kind == "export" and not self._is_in_ledger(payload):
                self._party.border.unpin(payload.digest)
                self._party.border.collect()
                self._journal.record_unpinned(self._job, payload)
                log_event(log, "taken_back", level=logging.WARNING, **self._where(payload))
            self._settle(payload)
        return bool(over)

    def _settle(self, payload: StoredPayload) -> None:
        self.outbox.drop(payload.digest)
        self._journal.record_settled(self._job, payload)

    def _is_in_ledger(self, payload: StoredPayload) -> bool:
        line = self._history.exports.get(payload.global_round, {}).get(ShardIndex(payload.shard))
        return line is not None and line.payload == payload.digest

    def _where(self, payload: StoredPayload) -> dict[str, Any]:
        return {
            "job": self._job,
            "shard": payload.shard,
            "global_round": payload.global_round,
            "regional_round": payload.regional_round,
            "kind": payload.kind,
            "digest": payload.digest,
        }

    @staticmethod
    def _is_open(payload: StoredPayload, state: JobState, shards: Sequence[ShardState]) -> bool:
        if state.phase in FINAL_PHASES or payload.global_round != state.global_round:
            return False
        if payload.kind == "global":
            return state.phase is JobPhase.MERGING
        shard = shards[payload.shard]
        return shard.regional_round == payload.regional_round and shard.phase is _OPEN_IN[payload.kind]
