"""Reading every payload that a record names and that is still stored. Needs no key: nothing sealed is opened."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from domicile.chain import events as ev
from domicile.crypto.keys import KEY_CARD_BYTES_MAX, KeyCard
from domicile.errors import BlockCorrupt, BlockMissing, PeerError, StoreFault
from domicile.lineage.record import Record, place_of
from domicile.lineage.replay import Replayed
from domicile.lineage.verdict import Findings
from domicile.spec import SPEC_BYTES_MAX, JobSpec
from domicile.storage.store import Store
from domicile.types import Address, Digest, JurisdictionCode

PIECE_BYTES = 1 << 20
PAYLOAD_BYTES_MAX = 1 << 50


@dataclass(frozen=True, kw_only=True, slots=True)
class Payload:
    """`matters`: a model, or what went into one. What went into nothing may be anything: its sender is not to be
    trusted, and that it was left out is what the record says of it.
    """

    digest: Digest
    place: str
    matters: bool = True


class PayloadReader:
    """Counts payloads that were read whole, and those that no store has any longer."""

    def __init__(self, stores: Mapping[str, Store], findings: Findings) -> None:
        self.num_checked = 0
        self.num_gone = 0
        self._stores = stores
        self._findings = findings

    def read_all(self, record: Record, replayed: Replayed) -> None:
        """Reads them from every store that has them."""
        created = next(event for event in record.of_job() if isinstance(event, ev.JobCreated))
        self._read_spec(created.parameters.spec)
        for card, digest, place in _cards(record):
            self._read_card(card, Payload(digest=digest, place=place))
        models = replayed.ancestry.models
        newest = models[-1].payload if models else None
        for payload in _sealed(record, replayed):
            self._read(payload, needed=payload.digest == newest)

    def _read_spec(self, digest: Digest) -> None:
        payload = Payload(digest=digest, place="the specification")
        for name in self._read(payload, needed=True):
            try:
                spec = JobSpec.from_bytes(self._stores[name].get_bytes(digest, max_bytes=SPEC_BYTES_MAX))
            except (PeerError, StoreFault) as exc:
                self._findings.check(False, f"{payload.place}: 0x{digest.hex()} in store {name!r} does not hold: {exc}")
                continue
            self._read_initial(spec)
            return

    def _read_initial(self, spec: JobSpec) -> None:
        reference = spec.initial_model
        payload = Payload(digest=reference.payload_digest, place="the initial model")
        for name in self._read(payload):
            hasher = hashlib.sha256()
            for piece in _pieces(self._stores[name], payload.digest):
                hasher.update(piece)
            same = hasher.digest() == reference.model_digest
            self._findings.check(same, f"{payload.place}: its bytes are not those that the specification names")

    def _read_card(self, account: Address, payload: Payload) -> None:
        for name in self._read(payload):
            try:
                card = KeyCard.from_bytes(self._stores[name].get_bytes(payload.digest, max_bytes=KEY_CARD_BYTES_MAX))
            except (PeerError, StoreFault) as exc:
                self._findings.check(False, f"{payload.place}: 0x{payload.digest.hex()} in store {name!r}: {exc}")
                continue
            self._findings.check(card.address == account, f"{payload.place}: the card names {card.address}")

    def _read(self, payload: Payload, *, needed: bool = False) -> list[str]:
        """Names of the stores in which a payload holds; each block is compared with its digest on the way."""
        told = f"{payload.place}: 0x{payload.digest.hex()}"
        holders = [name for name, store in self._stores.items() if store.has(payload.digest)]
        if not holders:
            self.num_gone += 1
            self._findings.check(not needed, f"{told} is in no store")
        sound = []
        for name in holders:
            try:
                for _ in _pieces(self._stores[name], payload.digest):
                    pass
            except (BlockCorrupt, BlockMissing) as exc:
                text = f"{told} in store {name!r} does not hold: {exc}"
                if payload.matters:
                    self._findings.check(False, text)
                else:
                    self._findings.remark(text)
                continue
            self._findings.check(True, told)
            self.num_checked += 1
            sound.append(name)
        return sound


def _pieces(store: Store, digest: Digest) -> Iterator[memoryview]:
    piece = memoryview(bytearray(PIECE_BYTES))
    with store.open(digest, max_bytes=PAYLOAD_BYTES_MAX) as source:
        while count := source.readinto(piece):
            yield piece[:count]


def _cards(record: Record) -> Iterable[tuple[Address, Digest, str]]:
    """Every key card that a party to the job ever had; those of strangers to it prove nothing here."""
    parties = record.parties()
    for event in record.events:
        if isinstance(event, (ev.NodeRegistered, ev.KeyCardChanged)) and event.node in parties:
            yield event.node, event.key_card, f"{place_of(event, ())}: its key card"


def _sealed(record: Record, replayed: Replayed) -> Iterable[Payload]:
    """Every sealed payload once, at the place where it is named first."""
    shards: list[JurisdictionCode] = []
    found: dict[Digest, str] = {}
    for event in record.events:
        match event:
            case ev.ShardCreated():
                shards.append(event.parameters.jurisdiction)
            case ev.UpdateCommitted():
                found.setdefault(event.digest, f"{place_of(event, shards)}: its sealed update")
            case ev.Unmasked():
                found.setdefault(event.digest, f"{place_of(event, shards)}: its sealed answer")
            case ev.RegionalVote() | ev.GlobalVote():
                found.setdefault(event.proposal.payload, f"{place_of(event, shards)}: its sealed model")
            case ev.ModelExported():
                found.setdefault(event.payload, f"{place_of(event, shards)}: its sealed model")
            case _:
                pass
    for digest, place in found.items():
        yield Payload(digest=digest, place=place, matters=digest in replayed.ancestry.used)
