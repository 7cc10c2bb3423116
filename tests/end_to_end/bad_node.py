"""A member in a test's own hands, which commits what it likes."""

from __future__ import annotations

import torch

from domicile.crypto.context import PayloadKind
from domicile.crypto.sealing import SealingWriter
from domicile.exchange import fetch_spec
from domicile.history import Histories
from domicile.learning.model import Figures
from domicile.learning.update import Update, UpdateMetadata, encode_update
from domicile.models import open_job_models
from domicile.protocol.round import JobPhase, ShardPhase
from domicile.types import Digest, JobId


class BadNode:
    """A registered member that commits what it should not."""

    def __init__(self, party) -> None:
        self.party = party
        self.job = JobId(1)
        self.histories = Histories(party.chain, party.deployment)
        self.done: set[tuple[int, int]] = set()

    def models(self):
        self.histories.update()
        history = self.histories.jobs[self.job]
        return open_job_models(
            self.party, self.job, history, fetch_spec(self.party.border, history.created.parameters.spec)
        )

    def sealed(self, models, key, *, delta_P=None, recipients=None, sender=None, num_examples=10) -> Digest:
        """An update sealed to the committee (or others), of zeros unless a delta is given."""
        layout = models.layout
        figures = Figures(loss_sum=1.0, correct=1, count=2)
        metadata = UpdateMetadata(num_examples=num_examples, num_steps=1, training_loss=0.1, validation=figures)
        delta = torch.zeros(layout.num_parameters) if delta_P is None else delta_P
        encoded = encode_update(layout, Update(delta_P=delta, metadata=metadata))
        cards = [models.cards.card(one) for one in recipients or models.history.shards[0].parameters.committee.members]
        context = models.context(PayloadKind.UPDATE, *key, sender or self.party.sender.address)
        with self.party.region.writer() as writer:
            sealing = SealingWriter(writer, cards, context, encoded.num_bytes)
            for chunk in encoded.chunks():
                sealing.write(chunk)
            sealing.close()
            return writer.commit()

    def commit_once(self, view, make) -> None:
        """Commits what `make(models, key)` puts into the store, once a round."""
        shard = view.shards[0]
        key = (0, view.global_round, shard.regional_round)
        if view.phase is JobPhase.TRAINING and shard.phase is ShardPhase.COLLECTING and key[1:] not in self.done:
            digest = make(self.models(), key)
            self.party.sender.act(self.party.jobs.commit(self.job, key[1], key[2], digest))
            self.done.add(key[1:])
