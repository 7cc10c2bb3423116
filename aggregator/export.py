"""The export door: the only place in the code through which a model leaves its region.

It asks the chain before a byte crosses: the shard's regional model must be mature there, which the contract grants only
to models of at least `min_contributors` contributors, and the bytes must be exactly those that the committee accepted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from domicile.chain.contracts import Jobs
from domicile.crypto.context import PayloadContext, PayloadKind
from domicile.crypto.keys import KeyCard
from domicile.errors import PeerError
from domicile.exchange import StoredModel, put_model
from domicile.learning.model import ModelFile
from domicile.protocol.round import ShardPhase
from domicile.storage.store import Store
from domicile.types import Digest, JobId, ShardIndex


@dataclass(frozen=True, kw_only=True)
class ExportDoor:
    """Joins one region's committee to the border store. Nobody else in a region may write there."""

    jobs: Jobs
    border: Store

    def export(
        self,
        job: JobId,
        shard: ShardIndex,
        *,
        file: ModelFile,
        values_P: torch.Tensor,
        recipients: Sequence[KeyCard],
        context: PayloadContext,
    ) -> StoredModel:
        """Seals a mature regional model to the global committee and puts it into the border store.

        Raises:
            PeerError: the shard's model is not mature on chain, or these are not its bytes.
        """
        if context.kind is not PayloadKind.EXPORT or (context.job, context.shard) != (job, shard):
            raise ValueError("the context is not that of this export")
        state = self.jobs.shard_state(job, shard)
        if state.phase is not ShardPhase.MATURE:
            raise PeerError(f"shard {shard} of job {job} is {state.phase.name.lower()}, not mature: nothing may leave")
        accepted: Digest = self.jobs.regional_model_of(job, shard)
        if file.digest(values_P) != accepted:
            raise PeerError(f"shard {shard} of job {job}: these are not the bytes that its committee accepted")
        return put_model(self.border, file, values_P, recipients=recipients, context=context)
