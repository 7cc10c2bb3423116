"""The sheet: what a member deals to the holders of its secrets, before the masked vector in its payload.

It is readable by everybody in the region and holds hashes and ciphertexts alone. Its length follows from the number of
holders. Shapes: H holders of a dealer and as many secrets, its self-mask seed and the seeds of its edges.
"""

from __future__ import annotations

import hashlib
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from domicile.crypto.masks import SEED_BYTES
from domicile.crypto.shares import deal
from domicile.errors import SecureSumError
from domicile.secure_sum.context import SumContext, address_bytes, tagged_hash
from domicile.secure_sum.graph import Graph
from domicile.secure_sum.seeds import (
    CHECK_BYTES,
    SHARE_CHECK_BYTES,
    PairSecrets,
    ShareChecks,
    edge_check,
    self_check,
)
from domicile.types import Address

MAGIC = b"DOMSHEET"
VERSION = 1
SALT_BYTES = 32
TAG_BYTES = 16
NO_EDGE = bytes(CHECK_BYTES)
"""Stands where a neighbour had no usable masking key: there is no mask between the two."""

HEADER = struct.Struct(">8sHH32s32s32s")
"""Magic, version, number of holders, hash of context and dealer, the graph's digest, salt."""

_PLACE_LABEL = b"domicile secure sum sheet v1"
_NONCE = bytes(12)


def sheet_bytes(num_holders: int) -> int:
    """Length of any sheet in such a graph."""
    column = num_holders * (SHARE_CHECK_BYTES + SEED_BYTES) + TAG_BYTES
    return HEADER.size + num_holders * (CHECK_BYTES + column)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sheet:
    """A sheet that was read: well-formed, of this round and graph. What its columns hold, only holders see."""

    dealer: Address
    digest: bytes
    """sha-256 of its bytes; the masked vector quotes it."""

    salt: bytes
    header: bytes
    checks: tuple[bytes, ...]
    """Of the self-mask seed, then of the edge to each neighbour in ascending order of address."""

    share_checks: tuple[bytes, ...]
    """By holder, those of all secrets in a row: a large shard's committee has millions of them and asks for few."""

    columns: tuple[bytes, ...]
    """By holder, sealed."""

    def share_check(self, holder_number: int, secret: int) -> bytes:
        """Holders are numbered from 1, secrets from 0."""
        return self.share_checks[holder_number - 1][SHARE_CHECK_BYTES * secret :][:SHARE_CHECK_BYTES]

    def has_edge(self, secret: int) -> bool:
        """Whether the dealer masked with its neighbour of this number, from 1."""
        return self.checks[secret] != NO_EDGE


def deal_sheet(graph: Graph, pairs: PairSecrets, self_seed: bytes) -> bytes:
    """The sheet of `pairs.own`.

    Raises:
        SecureSumError: fewer holders with usable key cards than the threshold; nobody could unmask this member.
    """
    context, dealer, salt = pairs.context, pairs.own, os.urandom(SALT_BYTES)
    holders, neighbours = graph.numbers[dealer], graph.neighbours[dealer]
    num_usable = sum(pairs.knows(one) for one in holders)
    if num_usable < graph.threshold:
        raise SecureSumError(
            f"{num_usable} of {len(holders)} holders have usable key cards, the threshold is {graph.threshold}; "
            "the others must register proper ones"
        )
    seeds, checks = [self_seed], [self_check(context, dealer, self_seed)]
    for neighbour in neighbours:
        known = pairs.knows(neighbour)
        # Shares of nothing, so that the length tells nobody which cards could be had.
        seeds.append(pairs.edge_seed(neighbour) if known else os.urandom(SEED_BYTES))
        checks.append(edge_check(context, dealer, neighbour, seeds[-1]) if known else NO_EDGE)
    secrets_HB = np.frombuffer(b"".join(seeds), dtype=np.uint8).reshape(len(seeds), SEED_BYTES)
    shares_HHB = deal(secrets_HB, len(holders), graph.threshold)
    place = tagged_hash(_PLACE_LABEL, context.to_bytes(), address_bytes(dealer))
    header = HEADER.pack(MAGIC, VERSION, len(holders), place, graph.digest, salt)
    parts = [header, *checks]
    check_of = ShareChecks(context, dealer)
    for holder, number in holders.items():
        shares = [share.tobytes() for share in shares_HHB[number - 1]]
        parts += [check_of.of(number, secret, share) for secret, share in enumerate(shares)]
        # A key for one use alone, by round, dealer, holder and salt, needs no nonce of its own.
        key = pairs.column_key(dealer, holder, salt) if pairs.knows(holder) else os.urandom(32)
        parts.append(AESGCM(key).encrypt(_NONCE, b"".join(shares), header))
    return b"".join(parts)


def read_sheet(raw: bytes, graph: Graph, context: SumContext, dealer: Address) -> Sheet:
    """Parses a sheet that somebody else may have written.

    Raises:
        SecureSumError: malformed, or of another round, dealer or graph.
    """
    holders = graph.num_holders
    if len(raw) != sheet_bytes(holders):
        raise _wrong(dealer, f"{len(raw)} bytes; {sheet_bytes(holders)} are expected")
    header = raw[: HEADER.size]
    magic, version, num_holders, place, graph_digest, salt = HEADER.unpack(header)
    if (magic, version) != (MAGIC, VERSION):
        raise _wrong(dealer, "no sheet of this version")
    if place != tagged_hash(_PLACE_LABEL, context.to_bytes(), address_bytes(dealer)):
        raise _wrong(dealer, "it is of another round or another dealer")
    if (num_holders, graph_digest) != (holders, graph.digest):
        raise _wrong(dealer, "it is dealt over another graph")
    body = memoryview(raw)[HEADER.size :]
    checks = _cut(body[: holders * CHECK_BYTES], CHECK_BYTES)
    if checks[0] == NO_EDGE:
        raise _wrong(dealer, "it has no self mask")
    split = holders * SHARE_CHECK_BYTES
    parts = _cut(body[holders * CHECK_BYTES :], split + holders * SEED_BYTES + TAG_BYTES)
    return Sheet(
        dealer=dealer,
        digest=hashlib.sha256(raw).digest(),
        salt=salt,
        header=header,
        checks=checks,
        share_checks=tuple(part[:split] for part in parts),
        columns=tuple(part[split:] for part in parts),
    )


def open_column(sheet: Sheet, graph: Graph, pairs: PairSecrets) -> tuple[bytes, ...] | None:
    """The shares that `pairs.own` holds of a dealer's secrets, by secret; None where they are not what the sheet says.

    `None` is the dealer's doing, or that of one of the two who registered another key meanwhile.
    """
    if not pairs.knows(sheet.dealer):
        return None
    number = graph.numbers[sheet.dealer][pairs.own]
    key = pairs.column_key(sheet.dealer, pairs.own, sheet.salt)
    try:
        opened = AESGCM(key).decrypt(_NONCE, sheet.columns[number - 1], sheet.header)
    except InvalidTag:
        return None
    shares = _cut(memoryview(opened), SEED_BYTES)
    check_of = ShareChecks(pairs.context, sheet.dealer)
    good = all(
        check_of.of(number, secret, share) == sheet.share_check(number, secret) for secret, share in enumerate(shares)
    )
    return shares if good else None


def disputed(graph: Graph, sheets: Mapping[Address, Sheet]) -> dict[Address, str]:
    """Whom to leave out because its masks would not cancel, and why: before anything is unmasked.

    The two ends of an edge must say the same of its seed; where they differ, one lies, and nobody can tell which.
    Who is in most disputes goes first, again and again, and equals go together: a liar about many edges goes alone,
    a liar about one takes its victim with it.
    """
    disputes: dict[Address, set[Address]] = {address: set() for address in sheets}
    for address, sheet in sheets.items():
        for number, neighbour in enumerate(graph.neighbours[address]):
            if neighbour in sheets:
                back = graph.neighbours[neighbour].index(address)
                if sheet.checks[1 + number] != sheets[neighbour].checks[1 + back]:
                    disputes[address].add(neighbour)
    left_out: dict[Address, str] = {}
    while most := max((len(others) for others in disputes.values()), default=0):
        for address in [one for one, others in disputes.items() if len(others) == most]:
            left_out[address] = f"its masks disagree with those of {most} others; it must register a proper key card"
            del disputes[address]
        for others in disputes.values():
            others.difference_update(left_out)
    return left_out


def _cut(raw: memoryview, size: int) -> tuple[bytes, ...]:
    return tuple(bytes(raw[start : start + size]) for start in range(0, len(raw), size))


def _wrong(dealer: Address, what: str) -> SecureSumError:
    return SecureSumError(f"the sheet of {dealer} does not hold ({what}); its update is left out")
