"""Documents and sealed models on their way through the stores."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from domicile.chain.contracts import Nodes
from domicile.crypto.context import PayloadContext
from domicile.crypto.keys import KEY_CARD_BYTES_MAX, HpkeKey, KeyCard
from domicile.crypto.sealing import OpeningReader, SealingWriter, sealed_size
from domicile.errors import PeerError
from domicile.learning.model import ModelFile, ModelLayout, read_layout
from domicile.spec import SPEC_BYTES_MAX, JobSpec
from domicile.storage.store import Store
from domicile.types import Address, Digest

MODEL_BYTES_MAX = 1 << 40
PIECE_BYTES = 1 << 20
NUM_RECIPIENTS_MAX = 2048
"""More recipients than any payload of ours has: bounds what a hostile header can make a reader fetch."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StoredModel:
    """A sealed model in a store."""

    digest: Digest
    sealed_bytes: int


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
        digest = self._nodes.key_card_of(address)
        if not any(digest):
            raise PeerError(f"{address} has no key card on chain; it must register first")
        if digest not in self._cards:
            card = KeyCard.from_bytes(self._border.get_bytes(digest, max_bytes=KEY_CARD_BYTES_MAX))
            if card.address != address:
                raise PeerError(f"the key card of {address} names {card.address}; its owner must register anew")
            self._cards[digest] = card
        return self._cards[digest]

    def cards(self, addresses: Iterable[Address]) -> list[KeyCard]:
        """Cards of distinct accounts in ascending order of address."""
        return [self.card(address) for address in sorted(set(addresses), key=str.lower)]


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


def put_model(
    store: Store, file: ModelFile, values_P: torch.Tensor, *, recipients: Sequence[KeyCard], context: PayloadContext
) -> StoredModel:
    """Seals a model to its recipients and puts it into a store, in constant memory beyond the model."""
    with store.writer() as writer:
        sealing = SealingWriter(writer, recipients, context, file.file_bytes)
        for chunk in file.chunks(values_P):
            sealing.write(chunk)
        sealing.close()
        digest = writer.commit()
    return StoredModel(digest=digest, sealed_bytes=sealed_size(file.file_bytes, len(recipients)))


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
