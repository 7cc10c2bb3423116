"""Deriving a regional model from what was committed: each committee member does it by itself.

Shapes: P flat parameters.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass

import torch

from aggregator.merging import LeftOut, MergedModel, merge_into
from domicile.crypto.context import PayloadKind
from domicile.crypto.sealing import OpeningReader, sealed_size
from domicile.errors import BlockCorrupt, BlockMissing, SealError
from domicile.exchange import NUM_RECIPIENTS_MAX
from domicile.history import RegionalKey
from domicile.learning.merging import Accumulator, weight_of
from domicile.learning.model import Figures, ModelMetadata
from domicile.learning.update import InvalidUpdate, UpdateMetadata, read_update, update_bytes
from domicile.models import JobModels
from domicile.protocol.proposal import NodeExclusion
from domicile.protocol.round import NO_LOSS, ExclusionReason
from domicile.storage.store import Store
from domicile.types import Address, Digest

log = logging.getLogger(__name__)

MICROS = 1_000_000


@dataclass(frozen=True, kw_only=True)
class RegionalMerge:
    """One member's derivation of one regional round. `model` is `None` where too few updates are usable.

    `num_rivals` counts the proposals that were known when it was derived.
    """

    key: RegionalKey
    excluded: tuple[LeftOut, ...]
    ineligible: frozenset[Address]
    num_rivals: int
    contributors: int
    loss_micros: int
    model: MergedModel | None

    @property
    def exclusions(self) -> tuple[NodeExclusion, ...]:
        return tuple(NodeExclusion(node=Address(one.subject), reason=one.reason) for one in self.excluded)

    @property
    def misses_payloads(self) -> bool:
        """Whether another member may have found in the store what this one did not."""
        return any(one.reason is ExclusionReason.UNAVAILABLE for one in self.excluded)


@dataclass(frozen=True, kw_only=True)
class Derivation:
    """How one member derives one regional round.

    `buffer_P` and `mean` are used again every round, since touching fresh memory costs ten times a copy; the derived
    model lies in `buffer_P` until the next derivation.
    """

    models: JobModels
    region: Store
    key: RegionalKey
    first_round: int
    ineligible: frozenset[Address]
    min_nodes: int
    num_rivals: int
    buffer_P: torch.Tensor
    mean: Accumulator

    def run(self) -> RegionalMerge:
        """Opens every update in ascending order of address and merges the usable ones.

        Raises:
            PeerError: the round's start model does not hold.
            StoreFault: a store cannot be reached.
        """
        spec = self.models.spec
        self.mean.reset()
        usable: list[UpdateMetadata] = []
        excluded: list[LeftOut] = []
        for event in sorted(self.models.history.commits_of(self.key), key=lambda e: e.node.lower()):
            found = self._open(event.node, event.digest)
            if isinstance(found, LeftOut):
                excluded.append(found)
                continue
            self.mean.add(self.buffer_P, weight_of(spec.regional_merging, found.num_examples))
            usable.append(found)
        publishable = len(usable) >= self.models.min_contributors
        return RegionalMerge(
            key=self.key,
            excluded=tuple(excluded),
            ineligible=self.ineligible,
            num_rivals=self.num_rivals,
            contributors=len(usable),
            loss_micros=_loss_micros(usable) if publishable else NO_LOSS,
            model=self._finish(usable) if len(usable) >= self.min_nodes else None,
        )

    def _open(self, node: Address, digest: Digest) -> UpdateMetadata | LeftOut:
        if node in self.ineligible:
            return LeftOut(subject=node, reason=ExclusionReason.INELIGIBLE, detail="the contract's gate refuses it now")
        layout, spec = self.models.layout, self.models.spec
        limit = sealed_size(update_bytes(layout), NUM_RECIPIENTS_MAX)
        context = self.models.context(PayloadKind.UPDATE, *self.key, node)
        try:
            with self.region.open(digest, max_bytes=limit) as source:
                reader = OpeningReader(
                    source, self.models.party.hpke, context, max_plaintext_bytes=update_bytes(layout)
                )
                return read_update(reader, layout, self.buffer_P, max_norm=spec.max_update_norm)
        except (BlockMissing, BlockCorrupt) as exc:
            return LeftOut(subject=node, reason=ExclusionReason.UNAVAILABLE, detail=str(exc))
        except SealError as exc:
            return LeftOut(subject=node, reason=ExclusionReason.UNOPENABLE, detail=str(exc))
        except InvalidUpdate as exc:
            return LeftOut(subject=node, reason=exc.reason, detail=str(exc))

    def _finish(self, usable: list[UpdateMetadata]) -> MergedModel:
        starts_global = self.key[2] == self.first_round
        base = self.models.start_of(self.region, self.key, self.first_round, self.buffer_P)
        test = sum_figures([one.test for one in usable]) if starts_global else base.metadata.test
        if len(usable) < self.models.min_contributors:
            test = None
        metadata = ModelMetadata(num_examples=sum(one.num_examples for one in usable), test=test)
        settings = self.models.spec.regional_merging
        return merge_into(settings, base, self.buffer_P, self.mean, metadata, keep_state=not starts_global)


def _loss_micros(usable: list[UpdateMetadata]) -> int:
    """Mean validation loss over all contributors' rows, in millionths; what is too large to say is said as the most."""
    count = sum(one.validation.count for one in usable)
    if not count:
        return 0
    mean = sum(one.validation.loss_sum for one in usable) / count
    return min(int(mean * MICROS), NO_LOSS - 1)


def sum_figures(parts: list[Figures | None]) -> Figures | None:
    """Figures over the rows of all parts; `None` where a part is missing."""
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts):
        return None
    correct = [part.correct for part in known if part.correct is not None]
    return Figures(
        loss_sum=sum(part.loss_sum for part in known),
        correct=sum(correct) if len(correct) == len(known) else None,
        count=sum(part.count for part in known),
    )
