"""One region's secure sum, run through by its audit: what its committee sees of a node, and of all together.

Shapes: P flat parameters.
"""

from __future__ import annotations

import io
import os
from collections.abc import Sequence

import numpy as np
import torch
from eth_utils.address import to_checksum_address

from domicile.crypto.keys import HpkeKey
from domicile.secure_sum.answer import Agreed, answer_for
from domicile.secure_sum.context import SumContext
from domicile.secure_sum.graph import graph_of
from domicile.secure_sum.grid import Grid, Quantities
from domicile.secure_sum.masking import HEADER, MaskedUpdate
from domicile.secure_sum.seeds import PairSecrets
from domicile.secure_sum.sheet import read_sheet
from domicile.secure_sum.unmasking import MaskedSum, Unmasking
from domicile.types import Address, Digest, JobId, ShardIndex

CONTEXT = SumContext(
    chain_id=1,
    contract=Address("0x" + "00" * 20),
    job=JobId(0),
    start=bytes(32),
    shard=ShardIndex(0),
    global_round=0,
    regional_round=0,
)
"""No job has this number."""


def masked_and_summed(deltas_P: Sequence[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """The first node's masked vector, read as if it were an update, and the mean of all nodes' updates once the
    committee has unmasked their sum; each ``(P,)``. Keys and masks are made for this once, from secret randomness.
    """
    members = [Address(to_checksum_address(os.urandom(20))) for _ in deltas_P]
    keys = {one: HpkeKey.generate().masking_key() for one in members}
    cards = {one: key.public_bytes for one, key in keys.items()}
    graph = graph_of(members, CONTEXT)
    grid = Grid(max_norm=max(float(one.norm()) for one in deltas_P) or 1.0, num_nodes=len(members))
    quantities = Quantities((), len(members), 1)
    pairs = {one: PairSecrets(one, keys[one], cards, CONTEXT) for one in members}
    sheets, sealed = {}, {}
    for one, delta_P in zip(members, deltas_P, strict=True):
        made = MaskedUpdate(
            delta_P.numpy(), graph=graph, pairs=pairs[one], grid=grid, quantities=quantities, units=1, figures={}
        )
        sealed[one] = b"".join(bytes(chunk) for chunk in made.chunks())
        sheets[one] = read_sheet(made.sheet, graph, CONTEXT, one)
    commitments = Digest(os.urandom(32))
    agreed = Agreed(context=CONTEXT, commitments=commitments, survivors=tuple(members))
    unmasking, total = Unmasking(agreed, graph=graph, sheets=sheets), MaskedSum(grid, quantities, len(deltas_P[0]))
    for one in members:
        total.add(sheets[one], io.BytesIO(sealed[one]))
        answer = answer_for(
            agreed,
            graph=graph,
            pairs=pairs[one],
            sheets=sheets,
            commitments=commitments,
            min_contributors=len(members),
            answered=None,
        )
        unmasking.take(one, answer)
    words = np.frombuffer(sealed[members[0]], dtype=np.int32, offset=HEADER.size + 8 * len(quantities.all))
    seen_P = torch.from_numpy(words.astype(np.float64) * grid.step).float()
    return seen_P, torch.from_numpy(total.finish(unmasking).mean_P)
