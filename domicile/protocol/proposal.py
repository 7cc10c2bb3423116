"""What committees vote on."""

from __future__ import annotations

from dataclasses import dataclass

from domicile.protocol.round import ExclusionReason
from domicile.types import Address, Digest, ShardIndex


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeExclusion:
    """A committed update that is left out."""

    node: Address
    reason: ExclusionReason


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardExclusion:
    """A reported model that is left out."""

    shard: ShardIndex
    reason: ExclusionReason


@dataclass(frozen=True, kw_only=True, slots=True)
class RegionalProposal:
    """`model`: sha-256 of the plain bytes; `payload`: the sealed model in the region store.

    `loss_micros`: validation loss of the round's start model in millionths, or `NO_LOSS`. `excluded` is in strictly
    ascending order of address.
    """

    global_round: int
    regional_round: int
    commitments: Digest
    model: Digest
    payload: Digest
    loss_micros: int
    excluded: tuple[NodeExclusion, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class SurvivorsProposal:
    """`excluded` is in strictly ascending order of address; who committed and is not among them is a survivor."""

    global_round: int
    regional_round: int
    commitments: Digest
    excluded: tuple[NodeExclusion, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class GlobalProposal:
    """`payload` is the sealed model in the border store; `excluded` is in strictly ascending order of shard."""

    global_round: int
    reports: Digest
    model: Digest
    payload: Digest
    excluded: tuple[ShardExclusion, ...]
