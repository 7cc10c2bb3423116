"""Letting go of finished rounds: what lies further back than the kept rounds is unpinned, and the stores collected."""

from __future__ import annotations

from collections import defaultdict

from aggregator.journal import AggregatorJournal, StoredPayload
from domicile.party import Party
from domicile.types import JobId


def drop_finished_rounds(party: Party, journal: AggregatorJournal, job: JobId, kept_rounds: int) -> None:
    """Unpins all of this member's payloads but those of the last kept rounds of each shard and kind, and those that
    somebody is still to read.
    """
    by_kind: dict[tuple[int, str], list[StoredPayload]] = defaultdict(list)
    for payload in journal.pinned_payloads(job):
        by_kind[payload.shard, payload.kind].append(payload)
    dropped = [payload for payloads in by_kind.values() for payload in payloads[:-kept_rounds] if payload.settled]
    for store, kinds in ((party.region, {"regional"}), (party.border, {"export", "global"})):
        finished = [payload for payload in dropped if payload.kind in kinds]
        if store is None or not finished:
            continue
        for payload in finished:
            store.unpin(payload.digest)
            journal.record_unpinned(job, payload)
        store.collect()
