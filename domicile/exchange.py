"""Documents and sealed models on their way through the stores."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from domicile import metrics
from domicile.chain.contracts import Nodes
from domicile.crypto.context import PayloadContext
from domicile.crypto.keys import KEY_CARD_BYTES_MAX, HpkeKey, KeyCard
from domicile.crypto.sealing import OpeningReader, SealingWriter, sealed_size
from domicile.errors import BlockCorrupt, BlockMissing, Fault, PeerError
from domicile.journal import Journal, LockedOut
from domicile.learning.model import ModelFile, ModelLayout, read_layout
from domicile.log import log_event
from domicile.outbox import Outbox
from domicile.protocol.round import Committee
from domicile.spec import SPEC_BYTES_MAX, JobSpec
from domicile.storage.store import Store
from domicile.types import Address, Digest, JobId

log = logging.getLogger(__name__)

MODEL_BYTES_MAX = 1 << 40
PIECE_BYTES = 1 << 20
NUM_RECIPIENTS_MAX = 2048
"""More recipients than any payload of ours has: bounds what a hostile header can make a reader fetch."""

NOBODY = Address("0x" + "0" * 40)


@dataclass(frozen=True, kw_only=True, slots=True)
class SealedModel:
    """A sealed model in an outbox."""

    digest: Digest
    sealed_bytes: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipients:
    """As many cards as there are recipients, and why some of them cannot open what is sealed."""

    cards: tuple[KeyCard, ...]
    locked_out: Mapping[Address, str]


class CardDirectory:
    """Key cards of participants: the digest comes from the chain, the document from the border store."""

    def __init__(self, nodes: Nodes, border: Store) -> None:
        self._nodes = nodes
        self._border = border
        self._cards: dict[Digest, KeyCard] = {}

    def card(self, address: Address) -> KeyCard:
        """The present key card of a participant.

        Raises:
            PeerError: the account has no card on chain, or its document is not the account's card.
            StoreFault: the document cannot be fetched.
        """
        return self.card_of(address, self._nodes.key_card_of(address))

    def card_of(self, address: Address, digest: Digest) -> KeyCard:
        """The key card that a participant has, or had, on chain.

        Raises:
            PeerError: there was none, or its document is not the account's card.
            StoreFault: the document cannot be fetched.
        """
        if not any(digest):
            raise PeerError(f"{address} has no key card on chain; it must register first")
        if digest not in self._cards:
            self._cards[digest] = KeyCard.from_bytes(self._border.get_bytes(digest, max_bytes=KEY_CARD_BYTES_MAX))
        card = self._cards[digest]
        if card.address != address:
            raise PeerError(f"the key card of {address} names {card.address}; its owner must register anew")
        return card

    def recipients(self, committee: Committee, others: Iterable[Address] = ()) -> Recipients:
        """Whom to seal to: a committee and others, in ascending order of address.

        Whose card cannot be had or does not hold locks only itself out. A stand-in takes its place, a fresh key that
        nobody keeps, so that the payload's length tells nothing of whose cards were usable.

        Raises:
            Fault: the committee has fewer usable keys than its quorum, so that it could not agree on what is sealed.
        """
        cards: dict[Address, KeyCard] = {}
        locked_out: dict[Address, str] = {}
        everybody = sorted({*committee.members, *others}, key=str.lower)
        for address in everybody:
            try:
                cards[address] = self.card(address)
            except (PeerError, BlockMissing, BlockCorrupt) as exc:
                locked_out[address] = str(exc)
        num_usable = len({cards[one].recipient_id for one in committee.members if one in cards})
        if num_usable < committee.quorum:
            raise Fault(
                f"the committee has {num_usable} usable key cards, its quorum is {committee.quorum}: "
                f"{'; '.join(locked_out.values()) or 'members share a key'}; waiting for proper cards"
            )
        # Whoever copies another's key gains nothing by it, and must not cost its owner the entry.
        by_key = {card.recipient_id: card for card in cards.values()}
        stand_ins = [_stand_in() for _ in range(len(everybody) - len(by_key))]
        return Recipients(cards=(*by_key.values(), *stand_ins), locked_out=locked_out)


def _stand_in() -> KeyCard:
    return KeyCard.of(HpkeKey.generate(), address=NOBODY, software="")


def note_locked_out(journal: Journal, job: JobId, payload: str, recipients: Recipients) -> None:
    """Journals and logs who cannot open a payload, once; `payload` says which, in words."""
    for address, reason in recipients.locked_out.items():
        one = LockedOut(payload=payload, recipient=address, reason=reason)
        if journal.record_locked_out(job, one):
            log_event(
                log, "locked_out", level=logging.WARNING, job=job, payload=payload, recipient=address, reason=reason
            )


def fetch_spec(border: Store, digest: Digest) -> JobSpec:
    """The specification of a job, by the digest that the contract holds."""
    return JobSpec.from_bytes(border.get_bytes(digest, max_bytes=SPEC_BYTES_MAX))


def fetch_initial_model(border: Store, spec: JobSpec, layout: ModelLayout, out_P: torch.Tensor) -> ModelFile:
    """Reads the initial model, which is public, into `out_P`.

    Raises:
        PeerError: its bytes are not those that the specification names.
    """
    reference = spec.initial_model
    with border.open(reference.payload_digest, max_bytes=layout.file_bytes_max) as source:
        return layout.read(source, out_P, expected=reference.model_digest)


def fetch_layout(border: Store, spec: JobSpec) -> ModelLayout:
    """Names and shapes of a job's tensors, from the header of its initial model."""
    with border.open(spec.initial_model.payload_digest, max_bytes=MODEL_BYTES_MAX) as source:
        return read_layout(source)


def seal_model(
    outbox: Outbox, file: ModelFile, values_P: torch.Tensor, *, recipients: Sequence[KeyCard], context: PayloadContext
) -> SealedModel:
    """Seals a model to its recipients into an outbox, in constant memory beyond the model."""
    with metrics.acting("seal"), outbox.writer() as writer:
        sealing = SealingWriter(writer, recipients, context, file.file_bytes)
        for chunk in file.chunks(values_P):
            sealing.write(chunk)
        sealing.close()
        digest = writer.commit()
    sealed_bytes = sealed_size(file.file_bytes, len(recipients))
    metrics.sealed(context.kind, sealed_bytes)
    return SealedModel(digest=digest, sealed_bytes=sealed_bytes)


def get_model(
    store: Store,
    digest: Digest,
    *,
    key: HpkeKey,
    context: PayloadContext,
    layout: ModelLayout,
    out_P: torch.Tensor,
    expected: Digest,
) -> ModelFile:
    """Fetches and opens a sealed model into `out_P`.

    Raises:
        PeerError: it is not sealed to this key and context, is no such model, or not the expected one.
        StoreFault: it cannot be fetched.
    """
    with _opened(store, digest, key, context, layout) as reader:
        return layout.read(reader, out_P, expected=expected)


def verify_model(
    store: Store, digest: Digest, *, key: HpkeKey, context: PayloadContext, layout: ModelLayout, expected: Digest
) -> None:
    """Fetches and opens a sealed model and compares its sha-256, keeping nothing of it.

    Raises:
        PeerError: it is not sealed to this key and context, or not the expected one.
        StoreFault: it cannot be fetched.
    """
    hasher = hashlib.sha256()
    piece = memoryview(bytearray(PIECE_BYTES))
    with _opened(store, digest, key, context, layout) as reader:
        while count := reader.readinto(piece):
            hasher.update(piece[:count])
    if hasher.digest() != expected:
        raise PeerError("the payload does not open to the model that the proposal names; its proposer must seal anew")


@contextmanager
def _opened(
    store: Store, digest: Digest, key: HpkeKey, context: PayloadContext, layout: ModelLayout
) -> Iterator[OpeningReader]:
    limit = sealed_size(layout.file_bytes_max, NUM_RECIPIENTS_MAX)
    with store.open(digest, max_bytes=limit) as source:
        yield OpeningReader(source, key, context, max_plaintext_bytes=layout.file_bytes_max)
