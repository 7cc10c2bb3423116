"""The answers to the survivors of one masked round, as one committee member has read them."""

from __future__ import annotations

from domicile.chain.events import Unmasked
from domicile.crypto.context import PayloadKind
from domicile.crypto.sealing import OpeningReader, sealed_size
from domicile.errors import BlockCorrupt, BlockMissing, PeerError
from domicile.exchange import NUM_RECIPIENTS_MAX
from domicile.history import RegionalKey
from domicile.masked_round import MaskedRound
from domicile.models import JobModels
from domicile.secure_sum.unmasking import Unmasking
from domicile.storage.store import Store
from domicile.types import Address


class Answers:
    """The answers to one round's survivors, as far as they were read. `failure`: why the sum cannot be unmasked."""

    def __init__(
        self, models: JobModels, region: Store, key: RegionalKey, masked: MaskedRound, unmasking: Unmasking
    ) -> None:
        self.key = key
        self.unmasking = unmasking
        self.failure: str | None = None
        self._models = models
        self._region = region
        self._limit = masked.sheet_bytes
        self._read: set[Address] = set()
        self._look_again_s: dict[Address, float] = {}

    def is_due(self, event: Unmasked, now_s: int) -> bool:
        """Whether an answer is still to be read, and was not missing a short while ago."""
        return event.node not in self._read and now_s >= self._look_again_s.get(event.node, now_s)

    def take(self, event: Unmasked, now_s: int) -> None:
        """Fetches and opens an answer; what is missing is looked for again.

        Raises:
            StoreFault: the store cannot be reached.
        """
        context = self._models.context(PayloadKind.UNMASKING, *self.key, event.node)
        try:
            with self._region.open(event.digest, max_bytes=sealed_size(self._limit, NUM_RECIPIENTS_MAX)) as source:
                reader = OpeningReader(source, self._models.party.hpke, context, max_plaintext_bytes=self._limit)
                raw = reader.read(reader.size)
        except (BlockMissing, BlockCorrupt):
            self._look_again_s[event.node] = now_s + self._models.history.clock.look_again_s
            return
        except PeerError as exc:
            self.unmasking.bad_holders[event.node] = str(exc)
        else:
            self.unmasking.take(event.node, raw, place=self._models.history.unmaskings_of(self.key).index(event))
        self._read.add(event.node)
