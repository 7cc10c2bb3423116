"""What all parties of a masked round must see alike: who masks with whom, by which keys, on which grid."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property

from domicile.crypto.keys import MaskingKey
from domicile.crypto.sealing import sealed_size
from domicile.errors import BlockCorrupt, BlockMissing, PeerError
from domicile.exchange import NUM_RECIPIENTS_MAX
from domicile.founders import Founders
from domicile.history import RegionalKey
from domicile.learning.secure.figures import QUANTITIES
from domicile.log import log_event
from domicile.models import JobModels
from domicile.privacy.node_level.calibration import NodeCalibration, calibration_of
from domicile.privacy.node_level.grid import NoisedGrid
from domicile.secure_sum.answer import Agreed
from domicile.secure_sum.context import SumContext
from domicile.secure_sum.graph import Graph, graph_of
from domicile.secure_sum.grid import Grid, Quantities, SumGrid
from domicile.secure_sum.masking import masked_bytes
from domicile.secure_sum.seeds import PairSecrets
from domicile.secure_sum.sheet import Sheet, read_sheet, sheet_bytes
from domicile.storage.store import PayloadReader, Store
from domicile.types import Address, Digest, ShardIndex

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class MaskedRound:
    """One regional round of a shard whose updates are masked."""

    context: SumContext
    graph: Graph
    grid: SumGrid
    quantities: Quantities
    num_values: int

    def agreed(self, commitments: Digest, survivors: tuple[Address, ...]) -> Agreed:
        return Agreed(context=self.context, commitments=commitments, survivors=survivors)

    @property
    def sheet_bytes(self) -> int:
        """What stands in the open before the sealed part; no answer is longer, since a sheet holds all its shares."""
        return sheet_bytes(self.graph.num_holders)

    @property
    def masked_bytes(self) -> int:
        """Plain length of the sealed part."""
        return masked_bytes(len(self.quantities.all), self.num_values)

    @property
    def payload_bytes_max(self) -> int:
        return self.sheet_bytes + sealed_size(self.masked_bytes, NUM_RECIPIENTS_MAX)

    def read_sheet(self, source: PayloadReader, dealer: Address) -> Sheet:
        """Reads what stands before the sealed part, and no byte of that.

        Raises:
            SecureSumError: it is no sheet of this round and dealer; StoreFault: a block cannot be had.
        """
        raw = bytearray(self.sheet_bytes)
        done = 0
        while done < len(raw) and (count := source.readinto(memoryview(raw)[done:])):
            done += count
        return read_sheet(bytes(raw[:done]), self.graph, self.context, dealer)

    def fetch_sheet(self, region: Store, dealer: Address, payload: Digest) -> Sheet:
        """The sheet of a committed update, without fetching the rest.

        Raises:
            SecureSumError: it is no sheet of this round and dealer; PayloadTooLong: its payload is none of this round.
            StoreFault: it cannot be had.
        """
        with region.open(payload, max_bytes=self.payload_bytes_max) as source:
            return self.read_sheet(source, dealer)


class MaskedShard:
    """All rounds of one shard."""

    def __init__(self, models: JobModels, shard: ShardIndex) -> None:
        self._models = models
        self._shard = shard
        self._founders: Founders | None = None
        self._start = b""
        self._graph: Graph | None = None
        self._publics: dict[Address, bytes] = {}

    @cached_property
    def noise(self) -> NodeCalibration | None:
        """What covers each node in the sum, where the job promises privacy of nodes.

        Raises:
            ConfigurationError: no noise keeps the promise.
        """
        models = self._models
        return calibration_of(models.spec, models.history.created.parameters, models.layout.num_parameters)

    def round(self, key: RegionalKey) -> MaskedRound:
        """One of them.

        Raises:
            PeerError: the job's specification has no bound, or too few members; ChainFault, StoreFault: try again.
        """
        spec, founders = self._models.spec, self._founders_now()
        context = self._context(key)
        if spec.max_update_norm is None:
            raise PeerError("the job's specification bounds no update, and cannot be summed; ask the job's owner")
        if self._graph is None:
            self._graph = graph_of(founders.cards.get(self._shard, {}), context)
        graph = self._graph
        units = 1 if spec.secure is None else spec.secure.max_examples
        num_nodes = len(graph.members)
        grid: SumGrid = Grid(max_norm=spec.max_update_norm, num_nodes=num_nodes, weight_units=units)
        own = QUANTITIES
        if self.noise is not None:
            grid = NoisedGrid(mechanism=self.noise.mechanism)
            own = grid.quantities
        return MaskedRound(
            context=context,
            graph=graph,
            grid=grid,
            quantities=Quantities(own, num_nodes, units),
            num_values=self._models.layout.num_parameters,
        )

    def _context(self, key: RegionalKey) -> SumContext:
        deployment = self._models.party.deployment
        return SumContext(
            chain_id=deployment.chain_id,
            contract=deployment.training_jobs,
            job=self._models.job,
            start=self._start,
            shard=key[0],
            global_round=key[1],
            regional_round=key[2],
        )

    def pairs(self, masked: MaskedRound, own: Address, key: MaskingKey, *, wait: bool) -> PairSecrets:
        """What a member shares with each other member whose key card holds.

        `wait`: a card that cannot be fetched now is waited for, since whoever withholds cards would otherwise choose
        who masks with whom. Otherwise it counts as none: to answer, that costs the shares of its owner's secrets alone.

        Raises:
            ConfigurationError: the own card was of another key when the job was started.
            StoreFault: a card cannot be fetched; try again.
        """
        cards = self._founders_now().cards.get(self._shard, {})
        for address in masked.graph.members:
            if address in self._publics:
                continue
            try:
                self._publics[address] = self._models.cards.card_of(address, cards[address]).masking_public
            except (PeerError, BlockMissing, BlockCorrupt) as exc:
                if wait and not isinstance(exc, PeerError):
                    raise
                where = {"job": self._models.job, "shard": self._shard, "node": address}
                log_event(log, "no_masking_key", level=logging.WARNING, **where, cause=str(exc))
        return PairSecrets(own, key, self._publics, masked.context)

    def _founders_now(self) -> Founders:
        """The members at the job's start; another object than before if the chain was reorganised below it."""
        founders = self._models.history.founders
        if founders is None:
            raise PeerError("the job has not been started; nobody masks yet")
        if founders is not self._founders:
            block_hash = self._models.party.chain.hash_of(founders.block)
            self._start, self._graph, self._publics = bytes.fromhex(block_hash.removeprefix("0x")), None, {}
            self._founders = founders
        return founders
