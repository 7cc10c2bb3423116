"""Who was in a job when it was started, and by which keys: the parties of its masked rounds, however long it runs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from domicile.types import Address, Digest, ShardIndex


@dataclass(frozen=True, kw_only=True, slots=True)
class Founders:
    """Members of each shard with the digests of their key cards, as the chain had them at the job's start in `block`.

    A card that is changed later changes nothing here: all members see the same keys in every round, and nobody can be
    shown others. Who changed its key, or left, is silent in the rounds that follow.
    """

    block: int
    cards: Mapping[ShardIndex, Mapping[Address, Digest]]


def founders_of(block: int, members: Mapping[Address, ShardIndex], key_cards: Mapping[Address, Digest]) -> Founders:
    """What membership and key cards are at the job's start."""
    cards: dict[ShardIndex, dict[Address, Digest]] = {}
    for address, shard in members.items():
        cards.setdefault(shard, {})[address] = key_cards[address]
    return Founders(block=block, cards=cards)
