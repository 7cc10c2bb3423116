"""What a holder reveals once the survivors are agreed: enough to unmask their sum, and nothing besides."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass

from domicile.crypto.masks import SEED_BYTES
from domicile.errors import SecureSumError, UnmaskingRefusal, UnmaskingRefused
from domicile.secure_sum.context import SumContext, address_bytes, tagged_hash
from domicile.secure_sum.graph import MEMBERS_MIN, Graph
from domicile.secure_sum.seeds import PairSecrets
from domicile.secure_sum.sheet import Sheet, open_column
from domicile.types import Address, Digest

MAGIC = b"DOMANSWR"
VERSION = 1
HEADER = struct.Struct(">8sHH32s32s")
"""Magic, version, number of dealers, hash of context and holder, digest of the survivors."""

_PLACE_LABEL = b"domicile secure sum answer v1"
_SURVIVORS_LABEL = b"domicile secure sum survivors v1"


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreed:
    """A set of survivors as the board holds it."""

    context: SumContext
    commitments: Digest
    """The running hash of the commits that it was chosen from."""

    survivors: tuple[Address, ...]

    def digest(self, graph: Graph) -> bytes:
        """32 bytes that stand for this set in this round: what a node's journal notes before it answers."""
        ordered = sorted(address_bytes(one) for one in self.survivors)
        parts = (self.context.to_bytes(), graph.digest, bytes(self.commitments), len(ordered).to_bytes(4, "big"))
        return tagged_hash(_SURVIVORS_LABEL, *parts, *ordered)


def secrets_asked(graph: Graph, survivors: frozenset[Address], dealer: Address) -> list[int]:
    """Which secrets of a survivor are opened: 0, its self-mask seed, and r, the seed of its edge to its neighbour r
    (from 1), where that is no survivor.

    Never both seeds that hide one vector: of who is no survivor nothing is opened, and between two survivors the edge's
    mask cancels.
    """
    neighbours = enumerate(graph.neighbours[dealer], start=1)
    return [0, *(secret for secret, one in neighbours if one not in survivors)]


def require_answerable(
    agreed: Agreed,
    *,
    graph: Graph,
    context: SumContext,
    own: Address,
    commitments: Digest,
    min_contributors: int,
    answered: bytes | None,
) -> None:
    """Whether a node may answer for a set of survivors; nothing is computed or revealed otherwise.

    `context`, `commitments`: the round that the node sees on the chain, and the running hash that it folded itself from
    the commits. `answered`: digest of the set that its journal says it answered for in this round.

    Raises:
        UnmaskingRefused: with the reason.
    """
    reason, survivors = UnmaskingRefusal, frozenset(agreed.survivors)
    if agreed.context != context:
        raise UnmaskingRefused(reason.OTHER_ROUND, "survivors of another round, shard, job or chain")
    if agreed.commitments != commitments:
        raise UnmaskingRefused(reason.OTHER_COMMITS, "survivors of other commits than the chain shows")
    if answered is not None and answered != agreed.digest(graph):
        raise UnmaskingRefused(reason.OTHER_SET, "another set of survivors than was answered for in this round")
    if not survivors <= set(graph.members) or len(survivors) != len(agreed.survivors):
        raise UnmaskingRefused(reason.NOT_A_MEMBER, "a survivor comes twice or is no member of the shard")
    if own not in survivors:
        raise UnmaskingRefused(reason.NOT_A_SURVIVOR, "this node is no survivor, and holds no vote over their sum")
    if len(survivors) < max(min_contributors, MEMBERS_MIN):
        wanted = max(min_contributors, MEMBERS_MIN)
        raise UnmaskingRefused(reason.TOO_FEW_SURVIVORS, f"{len(survivors)} survivors; a sum has at least {wanted}")
    if lacking := graph.lacking(survivors):
        message = f"{len(lacking)} survivors have fewer than {graph.threshold} surviving holders, {lacking[0]} first"
        raise UnmaskingRefused(reason.BELOW_THRESHOLD, message)


def answer_for(
    agreed: Agreed,
    *,
    graph: Graph,
    pairs: PairSecrets,
    sheets: Mapping[Address, Sheet],
    commitments: Digest,
    min_contributors: int,
    answered: bytes | None,
) -> bytes:
    """The answer of `pairs.own`, to be sealed to the committee. The journal MUST hold `agreed.digest(graph)` before
    these bytes leave.

    `sheets`: of the survivors that this node holds shares of, itself among them, as committed on chain. Where a sheet
    cannot be had or its column does not hold, the answer says so for that dealer. Its length follows from the set.

    Raises:
        UnmaskingRefused: as of `require_answerable`.
    """
    own = pairs.own
    require_answerable(
        agreed,
        graph=graph,
        context=pairs.context,
        own=own,
        commitments=commitments,
        min_contributors=min_contributors,
        answered=answered,
    )
    asked = _asked(agreed, graph, own)
    flags, shares = bytearray(), []
    for dealer, secrets in asked.items():
        column = open_column(sheets[dealer], graph, pairs) if dealer in sheets else None
        flags.append(column is not None)
        shares += [bytes(SEED_BYTES) if column is None else column[secret] for secret in secrets]
    return b"".join((_header(agreed, graph, own, len(asked)), flags, *shares))


def answer_bytes(agreed: Agreed, *, graph: Graph, holder: Address) -> int:
    """Length of a holder's answer; it follows from graph and set."""
    return _length(_asked(agreed, graph, holder))


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """Shares that a holder revealed, not yet compared with the sheets' hashes."""

    shares: Mapping[Address, Mapping[int, bytes]]
    """By dealer and secret."""

    without: tuple[Address, ...]
    """Dealers of whom the holder says that their column does not hold."""


def read_answer(raw: bytes, agreed: Agreed, *, graph: Graph, holder: Address) -> Answer:
    """Parses an answer that somebody else may have written.

    Raises:
        SecureSumError: malformed, or for another round, holder or set.
    """
    asked = _asked(agreed, graph, holder)
    if len(raw) != _length(asked) or raw[: HEADER.size] != _header(agreed, graph, holder, len(asked)):
        raise SecureSumError(f"the answer of {holder} is malformed, or for another round or set; it is left out")
    start, without = HEADER.size + len(asked), []
    shares: dict[Address, dict[int, bytes]] = {}
    for flag, (dealer, secrets) in zip(raw[HEADER.size : start], asked.items(), strict=True):
        if flag == 1:
            ends = range(start, start + SEED_BYTES * len(secrets), SEED_BYTES)
            shares[dealer] = {secret: raw[at : at + SEED_BYTES] for at, secret in zip(ends, secrets, strict=True)}
        else:
            without.append(dealer)
        start += SEED_BYTES * len(secrets)
    return Answer(shares=shares, without=tuple(without))


def _header(agreed: Agreed, graph: Graph, holder: Address, num_dealers: int) -> bytes:
    place = tagged_hash(_PLACE_LABEL, agreed.context.to_bytes(), address_bytes(holder))
    return HEADER.pack(MAGIC, VERSION, num_dealers, place, agreed.digest(graph))


def _asked(agreed: Agreed, graph: Graph, holder: Address) -> dict[Address, list[int]]:
    """Of whom a holder is asked, and for which secrets, in the order of its answer."""
    survivors = frozenset(agreed.survivors)
    return {one: secrets_asked(graph, survivors, one) for one in graph.numbers[holder] if one in survivors}


def _length(asked: Mapping[Address, list[int]]) -> int:
    return HEADER.size + len(asked) + SEED_BYTES * sum(len(secrets) for secrets in asked.values())
