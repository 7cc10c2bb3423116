"""A node in masked rounds: it masks its update, and helps to unmask the sum of those that the committee agreed on."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

from domicile import metrics
from domicile.crypto.context import PayloadKind
from domicile.crypto.sealing import SealingWriter, sealed_size
from domicile.errors import BlockCorrupt, BlockMissing, PeerError, StoreFault, UnmaskingRefusal, UnmaskingRefused
from domicile.exchange import note_locked_out
from domicile.history import RegionalKey
from domicile.learning.model import ModelMetadata
from domicile.learning.secure.figures import told_by
from domicile.learning.training import Evaluation, TrainingResult
from domicile.log import log_event
from domicile.masked_round import MaskedRound, MaskedShard
from domicile.models import JobModels
from domicile.outbox import Outbox
from domicile.privacy.node_level.grid import NoisedGrid
from domicile.privacy.randomness import Randomness
from domicile.secure_sum.answer import Agreed, answer_for
from domicile.secure_sum.masking import MaskedUpdate
from domicile.secure_sum.seeds import PairSecrets
from domicile.secure_sum.sheet import Sheet
from domicile.storage.store import Store
from domicile.types import Address
from node.journal import NodeJournal, SealedAnswer

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class MaskedPayload:
    """An update ready to be sealed, behind its sheet, which stays in the open."""

    masked: MaskedUpdate

    @property
    def head(self) -> bytes:
        return self.masked.sheet

    @property
    def num_bytes(self) -> int:
        return self.masked.num_bytes

    def chunks(self) -> Iterator[memoryview]:
        return self.masked.chunks()


class Masking:
    """One node in one shard of one job whose updates are masked."""

    def __init__(self, journal: NodeJournal, outbox: Outbox, models: JobModels, region: Store, own: Address) -> None:
        self._journal = journal
        self._outbox = outbox
        self._models = models
        self._region = region
        self._own = own
        self._shards: dict[int, MaskedShard] = {}

    def payload_bytes(self, key: RegionalKey, num_recipients: int) -> int:
        """Length of any node's payload in this round."""
        masked = self._round(key)
        return masked.sheet_bytes + sealed_size(masked.masked_bytes, num_recipients)

    def require_cards(self, key: RegionalKey) -> None:
        """Whether this node could mask; looked at before anything is trained, since the store may yet have a card that
        it lacks now.

        Raises:
            StoreFault: a card cannot be fetched now, or too few holders of its shares have usable ones.
            ConfigurationError: the own key is not that of the card with which the job was started.
        """
        masked = self._round(key)
        pairs = self._pairs(key, masked, wait=True)
        num_usable = sum(pairs.knows(one) for one in masked.graph.numbers[self._own])
        if num_usable < masked.graph.threshold:
            raise StoreFault(
                f"stores.border: key cards of {num_usable} members hold, {masked.graph.threshold} are needed to mask; "
                "waits for the others; their owners can put them there by `domicile node register`"
            )

    def mask(
        self,
        key: RegionalKey,
        result: TrainingResult,
        validation: Evaluation,
        test: Evaluation | None,
        *,
        start: ModelMetadata,
        randomness: Randomness,
    ) -> MaskedPayload:
        """Clips, weighs and masks what was trained, with fresh secrets: MUST be journaled before it leaves.

        `start`: of the model that training started from. Where the job promises privacy of nodes, noise from
        `randomness` goes in first, and no figure goes along.

        Raises:
            UpdateError: NaN or infinite values.
            SecureSumError: too few members have usable key cards.
            StoreFault: a member's key card cannot be fetched now.
            ConfigurationError: the own key is not that of the card with which the job was started.
        """
        masked, noise = self._round(key), self._shard(key).noise
        grid, figures = masked.grid, told_by(result.num_examples, validation, test)
        if noise is not None:
            result.delta_P.div_(noise.norm_at(start.clipping_norm))
            grid, figures = NoisedGrid(mechanism=noise.mechanism, randomness=randomness), {}
        update = MaskedUpdate(
            result.delta_P.numpy(),
            graph=masked.graph,
            pairs=self._pairs(key, masked, wait=True),
            grid=grid,
            quantities=masked.quantities,
            units=grid.units_of(result.num_examples),
            figures=figures,
        )
        return MaskedPayload(masked=update)

    def answer(self, key: RegionalKey, *, late: bool) -> None:
        """Seals this node's shares for the agreed survivors to the committee, and journals that they are given.

        Until it is `late`, a sheet that the store does not hold is waited for.

        Raises:
            UnmaskingRefused: the set does not hold, or could tell more than a sum; with the reason.
            ConfigurationError: the own key is not that of the card with which the job was started.
            StoreFault: a sheet or key card cannot be fetched now.
        """
        history, masked = self._models.history, self._round(key)
        agreed, survivors = self._agreed(key, masked), history.survivors[key]
        known = self._journal.answer(self._models.job, key[1], key[2])
        raw = answer_for(
            agreed,
            graph=masked.graph,
            pairs=self._pairs(key, masked, wait=not late),
            sheets=self._sheets(key, masked, survivors.nodes, late=late),
            commitments=history.running_hash(key, self._models.party.deployment),
            min_contributors=history.created.parameters.min_survivors,
            answered=None if known is None else known.survivors,
        )
        self._journal.record_answer(self._models.job, self._seal(key, raw, agreed.digest(masked.graph)))
        where = {"job": self._models.job, "shard": key[0], "global_round": key[1], "regional_round": key[2]}
        log_event(log, "answered", **where, survivors=len(survivors.nodes))

    def require_same_set(self, key: RegionalKey) -> None:
        """Whether the survivors are still those that were answered to: a chain that was reorganised may tell of others,
        and an answer must not help with them.

        Raises:
            UnmaskingRefused: they are others.
        """
        masked = self._round(key)
        known = self._journal.answer(self._models.job, key[1], key[2])
        if known is None or known.survivors != self._agreed(key, masked).digest(masked.graph):
            raise UnmaskingRefused(UnmaskingRefusal.OTHER_SET, "the survivors are not those that this node answered to")

    def _agreed(self, key: RegionalKey, masked: MaskedRound) -> Agreed:
        survivors = self._models.history.survivors[key]
        return masked.agreed(survivors.proposal.commitments, survivors.nodes)

    def _sheets(
        self, key: RegionalKey, masked: MaskedRound, survivors: tuple[Address, ...], *, late: bool
    ) -> dict[Address, Sheet]:
        """Of those survivors whose shares this node holds."""
        sheets: dict[Address, Sheet] = {}
        for event in self._models.history.commits_of(key):
            if event.node not in survivors or event.node not in masked.graph.numbers.get(self._own, {}):
                continue
            try:
                sheets[event.node] = masked.fetch_sheet(self._region, event.node, event.digest)
            except (PeerError, BlockMissing, BlockCorrupt) as exc:
                if not late and not isinstance(exc, PeerError):
                    raise
                where = {"job": self._models.job, "global_round": key[1], "regional_round": key[2]}
                log_event(log, "no_sheet", level=logging.WARNING, **where, node=event.node, cause=str(exc))
        return sheets

    def _seal(self, key: RegionalKey, raw: bytes, survivors: bytes) -> SealedAnswer:
        committee = self._models.history.shards[key[0]].parameters.committee
        recipients = self._models.cards.recipients(committee)
        note_locked_out(self._journal, self._models.job, f"answer in round {key[1]}.{key[2]}", recipients)
        context = self._models.context(PayloadKind.UNMASKING, *key, self._own)
        with metrics.acting("seal"), self._outbox.writer() as writer:
            sealing = SealingWriter(writer, recipients.cards, context, len(raw))
            sealing.write(raw)
            sealing.close()
            digest = writer.commit()
        metrics.sealed(context.kind, sealed_size(len(raw), len(recipients.cards)))
        return SealedAnswer(global_round=key[1], regional_round=key[2], survivors=survivors, digest=digest)

    def _shard(self, key: RegionalKey) -> MaskedShard:
        if key[0] not in self._shards:
            self._shards[key[0]] = MaskedShard(self._models, key[0])
        return self._shards[key[0]]

    def _pairs(self, key: RegionalKey, masked: MaskedRound, *, wait: bool) -> PairSecrets:
        return self._shard(key).pairs(masked, self._own, self._models.party.hpke.masking_key(), wait=wait)

    def _round(self, key: RegionalKey) -> MaskedRound:
        return self._shard(key).round(key)
