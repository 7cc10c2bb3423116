"""Letting go of finished rounds: what lies further back than the kept rounds is unpinned, and the stores collected."""

from __future__ import annotations

from aggregator.journal import AggregatorJournal
from domicile.party import Party
from domicile.types import JobId


def drop_finished_rounds(
    party: Party, journal: AggregatorJournal, job: JobId, global_round: int, kept_rounds: int
) -> None:
    """Unpins this member's payloads of global rounds before ``global_round - kept_rounds``; never the newest model."""
    dropped = [payload for payload in journal.pinned_payloads(job) if payload.global_round + kept_rounds < global_round]
    for payload in dropped:
        store = party.region if payload.kind == "regional" else party.border
        if store is not None:
            store.unpin(payload.digest)
        journal.record_unpinned(job, payload)
    if dropped and party.region is not None:
        party.region.collect()
