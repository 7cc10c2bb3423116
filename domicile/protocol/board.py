"""What the UnmaskingBoard keeps of one job: agreed survivors, votes for them, and who answered last when."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from domicile.types import Address, ShardIndex


@dataclass(frozen=True, kw_only=True, slots=True)
class Agreement:
    """The last set that a shard's committee agreed on; `survivors`: how many updates are in the sum, 0 for no set."""

    global_round: int
    regional_round: int
    survivors: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """The last round in which a member unmasked; `given` says whether the rounds mean anything."""

    given: bool
    global_round: int
    regional_round: int


NO_AGREEMENT = Agreement(global_round=0, regional_round=0, survivors=0)
NO_ANSWER = Answer(given=False, global_round=0, regional_round=0)


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
