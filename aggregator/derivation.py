"""Deriving a regional model from what was committed: each committee member does it by itself.

Shapes: P flat parameters.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from aggregator.merging import LeftOut, MergedModel, merge_into
from domicile.crypto.context import PayloadKind
from domicile.crypto.sealing import OpeningReader, sealed_size
from domicile.errors import BlockCorrupt, BlockMissing, PayloadTooLong, SealError
from domicile.exchange import NUM_RECIPIENTS_MAX
from domicile.history import RegionalKey
from domicile.learning.merging import Merger, weight_of
from domicile.learning.model import ROWS_MAX, Figures, ModelMetadata
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
    """One member's derivation of one regional round. `model` is `None` where `impossible` says why.

    `num_rivals` counts the proposals that were known when it was derived.
    """

    key: RegionalKey
    excluded: tuple[LeftOut, ...]
    ineligible: frozenset[Address]
    num_rivals: int
    contributors: int
    loss_micros: int
    model: MergedModel | None
    impossible: str | None = None

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

    `buffer_P` and `merger` are used again every round, since touching fresh memory costs ten times a copy; the derived
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
    merger: Merger

    def run(self) -> RegionalMerge:
        """Opens every update in ascending order of address and merges the usable ones.

        Raises:
            PeerError: the round's start model does not hold.
            StoreFault: a store cannot be reached.
        """
        spec = self.models.spec
        self.merger.reset()
        found: list[tuple[Address, UpdateMetadata]] = []
        excluded: list[LeftOut] = []
        for event in sorted(self.models.history.commits_of(self.key), key=lambda e: e.node.lower()):
            opened = self._open(event.node, event.digest)
            if isinstance(opened, LeftOut):
                excluded.append(opened)
                continue
            self.merger.add(self.buffer_P, weight_of(spec.regional_merging, opened.num_examples))
            found.append((event.node, opened))
        outliers = {one.position: one.detail for one in self.merger.settle()}
        excluded += [
            LeftOut(subject=found[position][0], reason=ExclusionReason.NORM_EXCEEDED, detail=detail)
            for position, detail in outliers.items()
        ]
        usable = [metadata for position, (_, metadata) in enumerate(found) if position not in outliers]
        impossible = self._impossible(len(usable))
        publishable = len(usable) >= self.models.min_contributors
        validation = sum_figures([one.validation for one in usable]) if publishable else None
        return RegionalMerge(
            key=self.key,
            excluded=tuple(sorted(excluded, key=lambda one: one.subject.lower())),
            ineligible=self.ineligible,
            num_rivals=self.num_rivals,
            contributors=len(usable),
            loss_micros=NO_LOSS if validation is None else loss_micros(validation),
            model=self._finish(usable) if impossible is None else None,
            impossible=impossible,
        )

    def _impossible(self, num_usable: int) -> str | None:
        if num_usable < self.min_nodes:
            return f"{num_usable} usable updates, {self.min_nodes} are needed"
        return self.merger.refusal()

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
                return read_update(reader, layout, self.buffer_P, max_norm=spec.rejected_norm)
        except (BlockMissing, BlockCorrupt) as exc:
            return LeftOut(subject=node, reason=ExclusionReason.UNAVAILABLE, detail=str(exc))
        except SealError as exc:
            return LeftOut(subject=node, reason=ExclusionReason.UNOPENABLE, detail=str(exc))
        except PayloadTooLong as exc:
            return LeftOut(subject=node, reason=ExclusionReason.MALFORMED, detail=str(exc))
        except InvalidUpdate as exc:
            return LeftOut(subject=node, reason=exc.reason, detail=str(exc))

    def _finish(self, usable: list[UpdateMetadata]) -> MergedModel:
        starts_global = self.key[2] == self.first_round
        base = self.models.start_of(self.region, self.key, self.first_round, self.buffer_P)
        test = sum_figures([one.test for one in usable]) if starts_global else base.metadata.test
        if len(usable) < self.models.min_contributors:
            test = None
        metadata = ModelMetadata(num_examples=sum_rows([one.num_examples for one in usable]), test=test)
        settings = self.models.spec.regional_merging
        return merge_into(settings, base, self.buffer_P, self.merger.mean(), metadata, keep_state=not starts_global)


def loss_micros(validation: Figures) -> int:
    """Mean loss over a region's rows, in millionths; what is too large to say is said as the most."""
    if not validation.count:
        return 0
    micros = validation.loss_sum / validation.count * MICROS
    return int(micros) if micros < NO_LOSS - 1 else NO_LOSS - 1


def sum_rows(parts: Sequence[int]) -> int:
    """Rows of all parts; each is what somebody claims, so that their sum may be more than a model's file can say."""
    return min(sum(parts), ROWS_MAX)


def sum_figures(parts: list[Figures | None]) -> Figures | None:
    """Figures over the rows of all parts; `None` where a part is missing."""
    known = [part for part in parts if part is not None]
    if not known or len(known) < len(parts):
        return None
    correct = [part.correct for part in known if part.correct is not None]
    return Figures(
        loss_sum=min(sum(part.loss_sum for part in known), sys.float_info.max),
        correct=sum_rows(correct) if len(correct) == len(known) else None,
        count=sum_rows([part.count for part in known]),
    )
