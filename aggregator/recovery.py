"""What a member's journal must hold according to the chain, so that retention finds what another journal knew."""

from __future__ import annotations

from collections.abc import Iterator

from aggregator.journal import GLOBAL, AggregatorJournal, StoredPayload
from domicile.history import JobHistory
from domicile.party import Party
from domicile.types import Address, Digest, JobId


def recover(party: Party, journal: AggregatorJournal, job: JobId, history: JobHistory) -> None:
    """Journals this member's own proposals and exports that the journal does not know.

    Raises:
        StoreFault: a store cannot be asked how long they are.
    """
    known = {payload.digest for payload in journal.payloads(job)}
    for shard, rounds, kind, model, digest in _own(history, party.sender.address):
        store = party.region if kind == "regional" else party.border
        if digest in known or store is None:
            continue
        known.add(digest)
        payload = StoredPayload(
            shard=shard,
            global_round=rounds[0],
            regional_round=rounds[1],
            kind=kind,
            model=model,
            digest=digest,
            sealed_bytes=store.size_of(digest) or 0,
            settled=True,
        )
        journal.record_payload(job, payload)


def _own(history: JobHistory, own: Address) -> Iterator[tuple[int, tuple[int, int], str, Digest, Digest]]:
    """Shard, rounds, kind, model and payload; whoever votes first for a proposal has sealed its payload."""
    for (shard, global_round, regional_round), tallies in history.regional_tallies.items():
        for tally in tallies.values():
            if tally.voters[0] == own:
                proposal = tally.proposal
                yield shard, (global_round, regional_round), "regional", proposal.model, proposal.payload
    for global_round, exports in history.exports.items():
        for shard, event in exports.items():
            if event.exporter == own:
                last = max(r for s, g, r in history.regional_models if (s, g) == (shard, global_round))
                yield shard, (global_round, last), "export", event.model, event.payload
    for global_round, tallies_g in history.global_tallies.items():
        for tally_g in tallies_g.values():
            if tally_g.voters[0] == own:
                yield GLOBAL, (global_round, 0), "global", tally_g.proposal.model, tally_g.proposal.payload
