"""What all parties of a masked round must see alike: who masks with whom, by which keys, on which grid."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property

from domicile.crypto.keys import MaskingKey
from domicile.crypto.sealing import sealed_size
from domicile.errors import BlockCorrupt, BlockMissing, PeerError
from domicile.exchange import NUM_RECIPIENTS_MAX
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
    """One regional round of a shard whose updates are masked. `publics`: masking keys of those members whose key cards
    can be had and hold.
    """

    context: SumContext
    graph: Graph
    publics: dict[Address, bytes]
    grid: SumGrid
    quantities: Quantities
    num_values: int

    def pairs(self, own: Address, key: MaskingKey) -> PairSecrets:
        """Raises:
        ConfigurationError: the own card was of another key when the job was started.
        """
        return PairSecrets(own, key, self.publics, self.context)

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
        self._graph: Graph | None = None
        self._publics: dict[Address, bytes] | None = None

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
        spec, context = self._models.spec, self._context(key)
        if spec.max_update_norm is None:
            raise PeerError("the job's specification bounds no update, and cannot be summed; ask the job's owner")
        graph = self._graph_of(context)
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
            publics=self._masking_keys(graph),
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
            shard=key[0],
            global_round=key[1],
            regional_round=key[2],
        )

    def _graph_of(self, context: SumContext) -> Graph:
        if self._graph is None:
            founders = self._models.history.founders
            if founders is None:
                raise PeerError("the job has not been started; nobody masks yet")
            block_hash = self._models.party.chain.hash_of(founders.block)
            members = founders.cards.get(self._shard, {})
            self._graph = graph_of(members, bytes.fromhex(block_hash.removeprefix("0x")), context)
        return self._graph

    def _masking_keys(self, graph: Graph) -> dict[Address, bytes]:
        if self._publics is not None:
            return self._publics
        founders = self._models.history.founders
        cards = {} if founders is None else founders.cards.get(self._shard, {})
        publics: dict[Address, bytes] = {}
        for address in graph.members:
            try:
                publics[address] = self._models.cards.card_of(address, cards[address]).masking_public
            except (PeerError, BlockMissing, BlockCorrupt) as exc:
                where = {"job": self._models.job, "shard": self._shard, "node": address}
                log_event(log, "no_masking_key", level=logging.WARNING, **where, cause=str(exc))
        if len(publics) == len(graph.members):
            # A card that is missing now may be there in a later round.
            self._publics = publics
        return publics
