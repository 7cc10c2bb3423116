"""The way of a member's sealed models: journaled before a store has them, so that a restart seals none twice, and
watched over in the store until all who are to read them have done so.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from aggregator.export import ExportDoor
from aggregator.journal import AggregatorJournal, StoredPayload
from domicile import metrics
from domicile.errors import DiskFault
from domicile.exchange import SealedModel
from domicile.history import GlobalTally, JobHistory, RegionalKey, RegionalTally
from domicile.log import log_event
from domicile.outbox import Delivered, Outbox
from domicile.party import Party
from domicile.protocol.round import FINAL_PHASES, JobPhase, JobState, ShardPhase, ShardState
from domicile.types import Digest, JobId, ShardIndex

log = logging.getLogger(__name__)

_OPEN_IN = {"regional": ShardPhase.AGGREGATING, "export": ShardPhase.MATURE}
"""The phase of its shard in which a payload of a region can still come to something."""

_OUT = frozenset({ShardPhase.IDLE, ShardPhase.REPORTED, ShardPhase.STALLED})
"""A shard that goes on with no regional model in this global round."""


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
        self._door = ExportDoor(jobs=party.jobs, border=party.border, outbox=outbox)
        self._fresh: set[Digest] = set()
        """What was delivered just now and needs no look yet."""
        self._look_again_s: dict[Digest, float] = {}

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
        self._fresh.add(payload.digest)
        return payload.digest

    def tidy(self, state: JobState, shards: Sequence[ShardState]) -> bool:
        """Lets go of what the outbox holds and nobody is to read any more. An export that did not come into the ledger
        is taken back: each crossing is a line in it.
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

    def look_after(self, now_s: int) -> bool:
        """Looks a few times a window whether the stores still hold what the chain names of this member, and puts it
        back; `True` if it did. Comes after `tidy`, which lets go of what needs no looking after.

        Raises:
            StoreFault: a store fails; DiskFault: the outbox does; PeerError: the door does not open.
        """
        restored = False
        for payload in self._journal.unsettled_payloads(self._job):
            if not self._is_named(payload) or now_s < self._look_again_s.get(payload.digest, 0):
                continue
            if payload.digest not in self._fresh:
                restored |= self._restore(payload)
            self._fresh.discard(payload.digest)
            self._look_again_s[payload.digest] = now_s + self._history.clock.look_again_s
        return restored

    def _restore(self, payload: StoredPayload) -> bool:
        if payload.kind == "export":
            delivered = self._door.restore(self._history.exports[payload.global_round][ShardIndex(payload.shard)])
        elif payload.kind == "global":
            delivered = self.outbox.deliver(payload.digest, self._party.border)
        elif self._party.region is not None:
            delivered = self.outbox.deliver(payload.digest, self._party.region)
        else:
            return False
        if delivered is Delivered.LOST:
            log_event(log, "lost", level=logging.WARNING, **self._where(payload))
            self._settle(payload)
        elif delivered is Delivered.PUT:
            log_event(log, "restored", level=logging.WARNING, **self._where(payload))
        return delivered is Delivered.PUT

    def _settle(self, payload: StoredPayload) -> None:
        self.outbox.drop(payload.digest)
        self._journal.record_settled(self._job, payload)
        self._fresh.discard(payload.digest)
        self._look_again_s.pop(payload.digest, None)

    def _is_named(self, payload: StoredPayload) -> bool:
        """Whether the ledger or a vote tells others to read it."""
        if payload.kind == "export":
            return self._is_in_ledger(payload)
        tallies: Iterable[RegionalTally | GlobalTally]
        if payload.kind == "global":
            tallies = self._history.global_tallies.get(payload.global_round, {}).values()
        else:
            tallies = self._history.regional_tallies.get(_key(payload), {}).values()
        return any(tally.proposal.payload == payload.digest for tally in tallies)

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

    def _is_open(self, payload: StoredPayload, state: JobState, shards: Sequence[ShardState]) -> bool:
        """Whether it can still come to something, or has, and is still to be read."""
        if state.phase in FINAL_PHASES:
            return False
        if payload.kind == "global":
            merging = state.phase is JobPhase.MERGING and payload.global_round == state.global_round
            return merging or self._is_newest_global(payload)
        if payload.global_round != state.global_round:
            return False
        shard = shards[payload.shard]
        if shard.regional_round == payload.regional_round and shard.phase is _OPEN_IN[payload.kind]:
            return True
        if payload.kind == "export":
            return self._is_in_ledger(payload)
        return shard.phase not in _OUT and self._is_newest_regional(payload)

    def _is_newest_global(self, payload: StoredPayload) -> bool:
        """Whether it is the model with which the present global round began."""
        newest = self._history.newest_global_round
        return newest is not None and self._history.global_models[newest].payload == payload.digest

    def _is_newest_regional(self, payload: StoredPayload) -> bool:
        """Whether it is the model with which the shard goes on, or is to be exported."""
        accepted = self._history.regional_models
        shard, global_round, _ = key = _key(payload)
        newest = max((r for s, g, r in accepted if (s, g) == (shard, global_round)), default=None)
        return newest == payload.regional_round and accepted[key].payload == payload.digest


def _key(payload: StoredPayload) -> RegionalKey:
    return ShardIndex(payload.shard), payload.global_round, payload.regional_round
