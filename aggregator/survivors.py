"""Whose masked updates can be in a round's sum, and the sum itself."""

from __future__ import annotations

from dataclasses import dataclass

from aggregator.merging import LeftOut
from domicile.chain.events import UpdateCommitted
from domicile.crypto.context import PayloadKind
from domicile.crypto.sealing import OpeningReader
from domicile.errors import BlockCorrupt, BlockMissing, PeerError, SealError
from domicile.history import RegionalKey
from domicile.learning.memory import within_memory
from domicile.masked_round import MaskedRound
from domicile.models import JobModels
from domicile.protocol.round import ExclusionReason
from domicile.secure_sum.sheet import Sheet, disputed
from domicile.secure_sum.unmasking import MaskedSum, SecureMean, Unmasking
from domicile.storage.store import Store
from domicile.survivors import Survivors
from domicile.types import Address


@dataclass(frozen=True, kw_only=True)
class Opened:
    """One look at what was committed in a masked round: whose updates can be in the sum, and who is left out.

    `num_rivals` counts the proposals that were known then.
    """

    key: RegionalKey
    sheets: dict[Address, Sheet]
    nodes: tuple[Address, ...]
    excluded: tuple[LeftOut, ...]
    ineligible: frozenset[Address]
    num_rivals: int

    @property
    def misses_payloads(self) -> bool:
        """Whether another member may have found in the store what this one did not."""
        return any(one.reason is ExclusionReason.UNAVAILABLE for one in self.excluded)


class SurvivorsSum:
    """One member's sum of one shard, in memory that serves every round."""

    def __init__(self, models: JobModels, region: Store) -> None:
        self._models = models
        self._region = region
        self._sum: MaskedSum | None = None
        self.added: tuple[Address, ...] | None = None
        """Whose vectors it holds, in ascending order of address; `None` while it is spoiled or used up."""

    def look(self, key: RegionalKey, masked: MaskedRound, ineligible: frozenset[Address]) -> Opened:
        """Adds what was committed while it checks; once something did not hold the sum is spoiled, and the rest is
        checked alone.

        Raises:
            StoreFault: a store cannot be reached.
        """
        total = self._reset(masked)
        sheets: dict[Address, Sheet] = {}
        excluded: list[LeftOut] = []
        whole = True
        for event in self._in_order(key):
            if event.node in ineligible:
                detail = "the contract's gate refuses it now"
                excluded.append(LeftOut(subject=event.node, reason=ExclusionReason.INELIGIBLE, detail=detail))
                continue
            try:
                sheets[event.node] = self._open(total, key, masked, event, add=whole)
            except (BlockMissing, BlockCorrupt, PeerError) as exc:
                whole = False
                excluded.append(LeftOut(subject=event.node, reason=_reason_of(exc), detail=str(exc)))
        nodes, unfit = _survivors(masked, sheets)
        excluded += unfit
        self.added = nodes if whole and not unfit else None
        return Opened(
            key=key,
            sheets=sheets,
            nodes=nodes,
            excluded=tuple(sorted(excluded, key=lambda one: one.subject.lower())),
            ineligible=ineligible,
            num_rivals=len(self._models.history.survivors_tallies.get(key, {})),
        )

    def add(self, key: RegionalKey, masked: MaskedRound, survivors: Survivors) -> Opened:
        """Adds what the agreed survivors committed.

        Raises:
            StoreFault: something of it is not there, or the store cannot be reached.
            PeerError: something of it does not hold for this member.
        """
        total, sheets = self._reset(masked), {}
        for event in self._in_order(key):
            if event.node in survivors.nodes:
                sheets[event.node] = self._open(total, key, masked, event, add=True)
        detail = "not among the survivors that the committee agreed on"
        self.added = survivors.nodes
        return Opened(
            key=key,
            sheets=sheets,
            nodes=survivors.nodes,
            excluded=tuple(LeftOut(subject=one.node, reason=one.reason, detail=detail) for one in survivors.excluded),
            ineligible=frozenset(),
            num_rivals=0,
        )

    def finish(self, unmasking: Unmasking) -> SecureMean:
        """Takes the masks away, once; see `MaskedSum.finish`."""
        assert self._sum is not None  # noqa: S101 - only what was added is unmasked
        try:
            return self._sum.finish(unmasking)
        finally:
            self.added = None

    def _in_order(self, key: RegionalKey) -> list[UpdateCommitted]:
        return sorted(self._models.history.commits_of(key), key=lambda one: one.node.lower())

    def _reset(self, masked: MaskedRound) -> MaskedSum:
        self.added = None
        if self._sum is None:
            with within_memory():
                self._sum = MaskedSum(masked.grid, masked.quantities, masked.num_values)
        self._sum.reset()
        return self._sum

    def _open(
        self, total: MaskedSum, key: RegionalKey, masked: MaskedRound, event: UpdateCommitted, *, add: bool
    ) -> Sheet:
        context = self._models.context(PayloadKind.UPDATE, *key, event.node)
        with self._region.open(event.digest, max_bytes=masked.payload_bytes_max) as source:
            sheet = masked.read_sheet(source, event.node)
            reader = OpeningReader(source, self._models.party.hpke, context, max_plaintext_bytes=masked.masked_bytes)
            if add:
                total.add(sheet, reader)
            else:
                total.check(sheet, reader)
        return sheet


def _survivors(masked: MaskedRound, sheets: dict[Address, Sheet]) -> tuple[tuple[Address, ...], list[LeftOut]]:
    """Those whose masks can be taken away again, in ascending order of address; and why the others cannot be."""
    unfit = disputed(masked.graph, sheets)
    nodes = [node for node in sheets if node not in unfit]
    while lacking := masked.graph.lacking(nodes):
        threshold = masked.graph.threshold
        unfit |= dict.fromkeys(lacking, f"fewer than {threshold} holders of its shares are in the sum")
        nodes = [node for node in nodes if node not in unfit]
    left_out = [
        LeftOut(subject=node, reason=ExclusionReason.MALFORMED, detail=detail) for node, detail in unfit.items()
    ]
    return tuple(sorted(nodes, key=str.lower)), left_out


def _reason_of(exc: PeerError | BlockMissing | BlockCorrupt) -> ExclusionReason:
    if isinstance(exc, BlockMissing | BlockCorrupt):
        return ExclusionReason.UNAVAILABLE
    return ExclusionReason.UNOPENABLE if isinstance(exc, SealError) else ExclusionReason.MALFORMED
