"""One shard's round in one process and one thread: what masking and unmasking cost beside the same sum without masks.

Shapes: P flat parameters.
"""

from __future__ import annotations

import os
import statistics
import time
from dataclasses import dataclass

import numpy as np
from eth_utils.address import to_checksum_address

from domicile.crypto.keys import MaskingKey
from domicile.crypto.masks import PIECE_BYTES, mask_stream
from domicile.secure_sum.answer import Agreed, answer_for
from domicile.secure_sum.context import SumContext
from domicile.secure_sum.graph import Graph, degree_of, graph_of
from domicile.secure_sum.grid import PIECE_VALUES, Encoder, Grid, Quantities
from domicile.secure_sum.masking import MaskedUpdate, masked_bytes
from domicile.secure_sum.seeds import PairSecrets
from domicile.secure_sum.sheet import Sheet, read_sheet, sheet_bytes
from domicile.secure_sum.unmasking import MaskedSum, Unmasking
from domicile.types import Address, Digest, JobId, ShardIndex

COMMITMENTS = Digest(bytes(32))
CONTEXT = SumContext(
    chain_id=1,
    contract=Address("0x" + "1" * 40),
    job=JobId(1),
    start=bytes(32),
    shard=ShardIndex(0),
    global_round=0,
    regional_round=0,
)
UNITS = 1
RUNS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class Case:
    num_values: int
    num_nodes: int
    dropped: float

    @property
    def num_dropped(self) -> int:
        return round(self.num_nodes * self.dropped)

    @property
    def streams(self) -> tuple[int, int]:
        """How many masks a node expands, and about how many the committee does."""
        degree, survivors = degree_of(self.num_nodes), self.num_nodes - self.num_dropped
        opened = self.num_dropped * degree * survivors // max(1, self.num_nodes - 1)
        return degree + 1, survivors + opened


@dataclass(frozen=True, kw_only=True, slots=True)
class Figures:
    """Seconds are of one thread; `plain` ones are of the same values rounded to the same grid, without masks."""

    degree: int
    threshold: int
    node_s: float
    plain_node_s: float
    answer_s: float
    committee_s: float
    plain_committee_s: float
    sent_bytes: int
    plain_bytes: int
    read_bytes: int
    """Sheets of its neighbours that a holder reads."""

    exact: bool


class Reader:
    """A masked vector in memory."""

    def __init__(self, raw: memoryview) -> None:
        self._raw = raw

    def readinto(self, buffer: memoryview) -> int:
        count = min(len(buffer), len(self._raw))
        buffer[:count] = self._raw[:count]
        self._raw = self._raw[count:]
        return count


class Shard:
    """Nodes with keys. All have one update, so that one lies in memory; their masked vectors have nothing in common."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.members = [Address(to_checksum_address(f"0x{number + 1:040x}")) for number in range(case.num_nodes)]
        self.keys = {member: MaskingKey(os.urandom(32)) for member in self.members}
        self.cards = {member: key.public_bytes for member, key in self.keys.items()}
        self.graph: Graph = graph_of(self.members, CONTEXT)
        self.grid = Grid(max_norm=1.0, num_nodes=case.num_nodes, weight_units=UNITS)
        self.quantities = Quantities((), case.num_nodes, UNITS)
        self.survivors = tuple(self.members[case.num_dropped :])
        self.agreed = Agreed(context=CONTEXT, commitments=COMMITMENTS, survivors=self.survivors)
        self.update_P = np.random.default_rng(1).normal(size=case.num_values).astype(np.float32)
        # Values on the grid, so that the expected sum is known to the bit.
        self.update_P /= np.float32(2 * np.linalg.norm(self.update_P))
        np.rint(self.update_P / np.float32(self.grid.step), out=self.update_P)
        self.update_P *= np.float32(self.grid.step)
        self.vector = memoryview(bytearray(masked_bytes(len(self.quantities.all), case.num_values)))

    def mask(self, member: Address) -> bytes:
        """A whole payload, its vector in `vector`; returns the sheet."""
        masked = MaskedUpdate(
            self.update_P,
            graph=self.graph,
            pairs=PairSecrets(member, self.keys[member], self.cards, CONTEXT),
            grid=self.grid,
            quantities=self.quantities,
            units=UNITS,
            figures={},
        )
        start = 0
        for chunk in masked.chunks():
            self.vector[start : start + len(chunk)] = chunk
            start += len(chunk)
        return masked.sheet

    def answer(self, holder: Address, sheets: dict[Address, Sheet]) -> bytes:
        return answer_for(
            self.agreed,
            graph=self.graph,
            pairs=PairSecrets(holder, self.keys[holder], self.cards, CONTEXT),
            sheets=sheets,
            commitments=COMMITMENTS,
            min_contributors=3,
            answered=None,
        )

    def encode(self) -> None:
        """What a node does without masks."""
        encoder = Encoder(self.grid, self.grid.clip_factor(self.update_P), UNITS, os.urandom(32))
        out = np.empty(PIECE_VALUES, dtype=np.uint32)
        for start in range(0, len(self.update_P), PIECE_VALUES):
            values = self.update_P[start : start + PIECE_VALUES]
            words = out[: len(values)]
            encoder.encode(values, words)
            self.vector[4 * start : 4 * start + words.nbytes] = words.data.cast("B")


def measure(case: Case) -> Figures:
    """Masks, answers, sums and unmasks; vectors pass one after another through one buffer."""
    shard, node, committee, answering = Shard(case), Stopwatch(), Stopwatch(), Stopwatch()
    total = MaskedSum(shard.grid, shard.quantities, case.num_values)
    sheets: dict[Address, Sheet] = {}
    for member in shard.survivors:
        with node:
            raw = shard.mask(member)
        with committee:
            sheets[member] = read_sheet(raw, shard.graph, CONTEXT, member)
            total.add(sheets[member], Reader(shard.vector))
    unmasking, answers = Unmasking(shard.agreed, graph=shard.graph, sheets=sheets), {}
    for holder in shard.survivors:
        with answering:
            answers[holder] = shard.answer(holder, sheets)
    with committee:
        for holder, answer in answers.items():
            unmasking.take(holder, answer)
        mean = total.finish(unmasking)
    num_holders = shard.graph.num_holders
    return Figures(
        degree=num_holders - 1,
        threshold=shard.graph.threshold,
        node_s=node.median_s,
        plain_node_s=_plain_node_s(shard),
        answer_s=answering.median_s,
        committee_s=sum(committee.laps_s),
        plain_committee_s=_plain_sum_s(shard),
        sent_bytes=sheet_bytes(num_holders) + len(shard.vector) + len(next(iter(answers.values()))),
        plain_bytes=4 * case.num_values,
        read_bytes=(num_holders - 1) * sheet_bytes(num_holders),
        exact=bool(np.array_equal(mean.mean_P, shard.update_P)),
    )


class Stopwatch:
    """Seconds of each `with`."""

    def __init__(self) -> None:
        self.laps_s: list[float] = []

    def __enter__(self) -> None:
        self._started = time.perf_counter()

    def __exit__(self, *_: object) -> None:
        self.laps_s.append(time.perf_counter() - self._started)

    @property
    def median_s(self) -> float:
        return statistics.median(self.laps_s)


def expansion_gb_s() -> float:
    """GB of mask stream a second into a reused buffer."""
    stream, zeros, out = mask_stream(os.urandom(32)), bytes(PIECE_BYTES), bytearray(PIECE_BYTES)
    rounds = (1 << 30) // PIECE_BYTES
    watch = Stopwatch()
    with watch:
        for _ in range(rounds):
            stream.update_into(zeros, out)
    return (1 << 30) / watch.median_s / 1e9


def _plain_node_s(shard: Shard) -> float:
    watch = Stopwatch()
    for _ in range(RUNS):
        with watch:
            shard.encode()
    return watch.median_s


def _plain_sum_s(shard: Shard) -> float:
    """The committee without masks: reads as many integer vectors, adds them, and makes floats of the sum."""
    words, piece = np.zeros(shard.case.num_values, dtype=np.uint32), np.empty(PIECE_VALUES, dtype=np.uint32)
    mean_P = np.empty(shard.case.num_values, dtype=np.float32)
    adding, finishing = Stopwatch(), Stopwatch()
    for _ in range(RUNS):
        with adding:
            reader = Reader(shard.vector)
            for start in range(0, len(words), PIECE_VALUES):
                part = words[start : start + PIECE_VALUES]
                reader.readinto(piece.data.cast("B")[: part.nbytes])
                np.add(part, piece[: len(part)], out=part)
        with finishing:
            np.multiply(words.view(np.int32), np.float32(shard.grid.step), out=mean_P, casting="same_kind")
    return len(shard.survivors) * adding.median_s + finishing.median_s
