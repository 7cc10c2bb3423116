"""The export door: the only place in the code through which a model leaves its region.

It asks the chain before a byte crosses: the shard's regional model must be mature there, which the contract grants only
to models of at least `min_contributors` contributors, and the bytes must be exactly those that the committee accepted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from domicile.chain.contracts import Jobs
from domicile.chain.events import ModelExported
from domicile.crypto.context import PayloadContext, PayloadKind
from domicile.crypto.keys import KeyCard
from domicile.errors import PeerError
from domicile.exchange import SealedModel, seal_model
from domicile.learning.model import ModelFile
from domicile.outbox import Delivered, Outbox
from domicile.protocol.round import ShardPhase
from domicile.storage.store import Store
from domicile.types import Digest, JobId, ShardIndex


@dataclass(frozen=True, kw_only=True)
class ExportDoor:
    """Joins one region's committee to the border store. Nobody else in a region may write there."""

    jobs: Jobs
    border: Store
    outbox: Outbox

    def seal(
        self,
        job: JobId,
        shard: ShardIndex,
        *,
        file: ModelFile,
        values_P: torch.Tensor,
        recipients: Sequence[KeyCard],
        context: PayloadContext,
    ) -> SealedModel:
        """Seals a mature regional model to the global committee. It stays in the region.

        Raises:
            PeerError: the shard's model is not mature on chain, or these are not its bytes.
        """
        if context.kind is not PayloadKind.EXPORT or (context.job, context.shard) != (job, shard):
            raise ValueError("the context is not that of this export")
        self._require_accepted(job, shard, file.digest(values_P))
        return seal_model(self.outbox, file, values_P, recipients=recipients, context=context)

    def carry(self, job: JobId, shard: ShardIndex, *, model: Digest, payload: Digest) -> Delivered:
        """Puts what was sealed of a model into the border store, unless it lies there already.

        Raises:
            PeerError: the shard's model is not mature on chain any more, or is another one.
        """
        self._require_accepted(job, shard, model)
        return self.outbox.deliver(payload, self.border)

    def restore(self, line: ModelExported) -> Delivered:
        """Puts what the ledger says has crossed into the border store again, unless it lies there still.

        Raises:
            PeerError: the chain does not hold the line's model as reported any more.
        """
        self._require_accepted(line.job, line.shard, line.model, phase=ShardPhase.REPORTED)
        return self.outbox.deliver(line.payload, self.border)

    def _require_accepted(
        self, job: JobId, shard: ShardIndex, model: Digest, phase: ShardPhase = ShardPhase.MATURE
    ) -> None:
        state = self.jobs.shard_state(job, shard)
        if state.phase is not phase:
            raise PeerError(
                f"shard {shard} of job {job} is {state.phase.name.lower()}, not {phase.name.lower()}: nothing may leave"
            )
        if model != self.jobs.regional_model_of(job, shard):
            raise PeerError(f"shard {shard} of job {job}: these are not the bytes that its committee accepted")
