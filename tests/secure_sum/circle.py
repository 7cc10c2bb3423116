"""A shard that sums: members with keys, updates of their own, and all that is on chain and in the store, in memory."""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

import numpy as np
from eth_utils.address import to_checksum_address
from numpy.typing import NDArray

from domicile.crypto.keys import HpkeKey, MaskingKey
from domicile.secure_sum.answer import Agreed, answer_for
from domicile.secure_sum.context import SumContext
from domicile.secure_sum.graph import Graph, graph_of
from domicile.secure_sum.grid import Grid, Quantities, Quantity
from domicile.secure_sum.masking import MaskedUpdate
from domicile.secure_sum.seeds import PairSecrets
from domicile.secure_sum.sheet import Sheet, read_sheet
from domicile.secure_sum.unmasking import MaskedSum, SecureMean, Unmasking
from domicile.types import Address, Digest, JobId, ShardIndex

START = bytes(range(32))
COMMITMENTS = Digest(b"\x77" * 32)
CONTEXT = SumContext(
    chain_id=31337,
    contract=Address("0x" + "c0" * 20),
    job=JobId(7),
    start=START,
    shard=ShardIndex(2),
    global_round=3,
    regional_round=5,
)
ROWS = Quantity(name="rows", maximum=2.0**40)
LOSS = Quantity(name="loss", step=2.0**-16, maximum=2.0**30)


def account(number: int) -> Address:
    return Address(to_checksum_address(f"0x{number + 1:040x}"))


def masking_key(number: int) -> MaskingKey:
    return HpkeKey.from_seed(number.to_bytes(32, "big")).masking_key()


@dataclass
class Circle:
    """`sheets` and `sealed` hold what each member has committed."""

    num_members: int
    num_values: int = 50
    max_norm: float = 2.0
    weight_units: int = 100
    seed: int = 0
    context: SumContext = CONTEXT
    sheets: dict[Address, bytes] = field(default_factory=dict)
    sealed: dict[Address, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._read: dict[bytes, Sheet] = {}
        self.members = [account(number) for number in range(self.num_members)]
        self.keys = {member: masking_key(number) for number, member in enumerate(self.members)}
        self.cards = {member: key.public_bytes for member, key in self.keys.items()}
        self.graph: Graph = graph_of(self.members, self.context)
        self.grid = Grid(max_norm=self.max_norm, num_nodes=self.num_members, weight_units=self.weight_units)
        self.quantities = Quantities((ROWS, LOSS), self.num_members, self.weight_units)
        random = np.random.default_rng(self.seed)
        self.updates = {}
        for member in self.members:
            direction = random.normal(size=self.num_values)
            norm = random.uniform(0.1, 0.999 * self.max_norm)
            self.updates[member] = (direction / np.linalg.norm(direction) * norm).astype(np.float32)
        self.units = {member: int(random.integers(1, self.weight_units + 1)) for member in self.members}
        self.losses = {member: float(random.uniform(0, 9)) for member in self.members}

    def pairs(self, member: Address, cards: dict[Address, bytes] | None = None) -> PairSecrets:
        return PairSecrets(member, self.keys[member], self.cards if cards is None else cards, self.context)

    def mask(self, member: Address, pairs: PairSecrets | None = None) -> MaskedUpdate:
        return MaskedUpdate(
            self.updates[member],
            graph=self.graph,
            pairs=pairs or self.pairs(member),
            grid=self.grid,
            quantities=self.quantities,
            units=self.units[member],
            figures={"rows": self.units[member], "loss": self.losses[member]},
        )

    def commit(self, member: Address, pairs: PairSecrets | None = None) -> None:
        masked = self.mask(member, pairs)
        self.sheets[member] = masked.sheet
        self.sealed[member] = b"".join(bytes(chunk) for chunk in masked.chunks())

    def commit_all(self, members: Collection[Address] | None = None) -> None:
        for member in self.members if members is None else members:
            self.commit(member)

    def sheet(self, member: Address) -> Sheet:
        raw = self.sheets[member]
        if raw not in self._read:
            self._read[raw] = read_sheet(raw, self.graph, self.context, member)
        return self._read[raw]

    def all_sheets(self, survivors: Sequence[Address]) -> dict[Address, Sheet]:
        return {member: self.sheet(member) for member in survivors}

    def agreed(self, survivors: Sequence[Address]) -> Agreed:
        return Agreed(context=self.context, commitments=COMMITMENTS, survivors=tuple(survivors))

    def answer(self, holder: Address, agreed: Agreed, answered: bytes | None = None) -> bytes:
        held = [one for one in self.graph.numbers[holder] if one in agreed.survivors and one in self.sheets]
        return answer_for(
            agreed,
            graph=self.graph,
            pairs=self.pairs(holder),
            sheets=self.all_sheets(held),
            commitments=COMMITMENTS,
            min_contributors=3,
            answered=answered,
        )

    def total(self, survivors: Sequence[Address]) -> MaskedSum:
        total = MaskedSum(self.grid, self.quantities, self.num_values)
        for member in survivors:
            total.check(self.sheet(member), io.BytesIO(self.sealed[member]))
            total.add(self.sheet(member), io.BytesIO(self.sealed[member]))
        return total

    def unmasking(self, survivors: Sequence[Address], answering: Sequence[Address]) -> Unmasking:
        agreed = self.agreed(survivors)
        unmasking = Unmasking(agreed, graph=self.graph, sheets=self.all_sheets(survivors))
        for holder in answering:
            unmasking.take(holder, self.answer(holder, agreed))
        return unmasking

    def sum(self, survivors: Sequence[Address], answering: Sequence[Address] | None = None) -> SecureMean:
        unmasking = self.unmasking(survivors, survivors if answering is None else answering)
        return self.total(survivors).finish(unmasking)

    def exact_mean(self, survivors: Sequence[Address]) -> NDArray[np.float64]:
        """The weighted mean that no grid has rounded."""
        total = sum(self.updates[one].astype(np.float64) * self.units[one] for one in survivors)
        return np.asarray(total) / sum(self.units[one] for one in survivors)
