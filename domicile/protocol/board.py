"""What the UnmaskingBoard keeps of one job: agreed survivors, votes for them, and who answered last when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from domicile.types import Address, ShardIndex

RECORD_BYTES = 26
"""What the rest of a storage slot has room for."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """The last set that a shard's committee agreed on; `survivors`: how many updates are in the sum, 0 for no set.

    `record`: running hash over all that was ever agreed on in the shard, 26 bytes.
    """

    global_round: int
    regional_round: int
    survivors: int
    record: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The last round in which a member unmasked; `given` says whether it ever did.

    `record`: running hash over all its answers in the job, 26 bytes.
    """

    given: bool
    global_round: int
    regional_round: int
    record: bytes


NO_AGREEMENT = Agreement(global_round=0, regional_round=0, survivors=0, record=bytes(RECORD_BYTES))
NO_ANSWER = Answer(given=False, global_round=0, regional_round=0, record=bytes(RECORD_BYTES))


@dataclass(frozen=True, kw_only=True)
class UnmaskingBoard:
    """`votes` holds the voters of each proposal by its id."""

    agreements: Mapping[ShardIndex, Agreement] = field(default_factory=dict)
    answers: Mapping[Address, Answer] = field(default_factory=dict)
    votes: Mapping[bytes, frozenset[Address]] = field(default_factory=dict)

    def agreement_of(self, shard: ShardIndex) -> Agreement:
        return self.agreements.get(shard, NO_AGREEMENT)

    def answer_of(self, node: Address) -> Answer:
        return self.answers.get(node, NO_ANSWER)
