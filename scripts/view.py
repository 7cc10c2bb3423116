"""What is known of a job while it runs: input of the live view, of ``job status`` and of the plain lines."""

from __future__ import annotations

from dataclasses import dataclass

from domicile.participation import GlobalParticipation
from domicile.privacy.claim import Claim
from domicile.protocol.budget import Budget
from domicile.protocol.eligibility import Refusal
from domicile.protocol.round import JobPhase, ShardPhase, StallReason


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardLoss:
    """Published validation loss of the model that a regional round started from."""

    global_round: int
    regional_round: int
    loss: float


@dataclass(frozen=True, kw_only=True, slots=True)
class RefusedParty:
    """Somebody with a part in a job whom the gate refuses now; `place` is where it was attested last, or empty."""

    name: str
    reason: Refusal
    place: str


@dataclass(frozen=True, kw_only=True, slots=True)
class CommitteeView:
    """`members` begin with the one whose turn it is to propose; `votes` are the voters of each rival proposal."""

    members: tuple[str, ...]
    quorum: int
    votes: tuple[tuple[str, ...], ...]
    refused: tuple[RefusedParty, ...]

    @property
    def voted(self) -> frozenset[str]:
        return frozenset(name for voters in self.votes for name in voters)


@dataclass(frozen=True, kw_only=True, slots=True)
class UnmaskingView:
    """How far the masks of a round are off. `survivors`: whose updates are in the sum, `None` until they are agreed on.
    `answered`: which of them answered, in the order of their answers. `threshold`: how many must of each survivor's
    `num_holders` holders, of which it is one.
    """

    survivors: tuple[str, ...] | None
    answered: tuple[str, ...]
    threshold: int
    num_holders: int

    @property
    def unanswered(self) -> tuple[str, ...]:
        return tuple(name for name in self.survivors or () if name not in self.answered)


@dataclass(frozen=True, kw_only=True, slots=True)
class ShardView:
    """One shard. `losses` are oldest first; `exports` are the global rounds to which it exported a model.

    `since_s`: when its phase began in this round, whatever new windows were granted since. `refused`: members.
    `committee`: its votes are for a model, or for survivors as long as masked updates have none. `unmasking`: `None`
    where the shard is not aggregating masked updates.
    """

    jurisdiction: str
    phase: ShardPhase
    stall: StallReason
    regional_round: int
    retries: int
    since_s: int
    deadline_s: int
    members: tuple[str, ...]
    committed: tuple[str, ...]
    refused: tuple[RefusedParty, ...]
    committee: CommitteeView
    losses: tuple[ShardLoss, ...]
    exports: tuple[int, ...]
    unmasking: UnmaskingView | None = None

    @property
    def awaited(self) -> tuple[str, ...]:
        """Members whose update of the round is not there yet."""
        return tuple(name for name in self.members if name not in self.committed)


@dataclass(frozen=True, kw_only=True, slots=True)
class GlobalFigure:
    """Mean over the held-out parts of the reported regions, of the model that a global round produced."""

    global_round: int
    loss: float
    accuracy: float | None


@dataclass(frozen=True, kw_only=True, slots=True)
class JobRules:
    """What the owner fixed, as far as it decides whether a job goes on. `min_survivors`: the fewest updates in a sum of
    masked ones; `None` where nothing is masked.
    """

    num_global_rounds: int
    min_nodes: int
    min_survivors: int | None
    min_shards: int
    max_retries: int
    sensitivity: str

    @property
    def min_updates(self) -> int:
        """Without which a regional round makes no model."""
        return self.min_nodes if self.min_survivors is None else self.min_survivors


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleView:
    """A merge that up to `num_hostile` contributions cannot steer."""

    rule: str
    num_hostile: int


@dataclass(frozen=True, kw_only=True, slots=True)
class AggregationView:
    """How updates become a model: ``plain``, ``secure`` or ``robust``. `updates` and `regions`: by which rules, in a
    robust job; `None` for regional models that are merged by their mean.
    """

    kind: str
    updates: RuleView | None = None
    regions: RuleView | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class DatasetView:
    """A member's dataset: `granted` to all jobs, `reserved` for this one, and `remaining` of the grant for others.

    `spent` in this job; `None` while nobody said it, and all that is reserved may be.
    """

    dataset: int
    node: str
    granted: Budget
    reserved: Budget
    spent: Budget | None
    remaining: Budget


@dataclass(frozen=True, kw_only=True, slots=True)
class PrivacyCost:
    """What the `num_rounds` regional rounds that a node trained in finished global rounds cost: `epsilon` by its
    accountant, at the job's δ.
    """

    node: str
    num_rounds: int
    epsilon: float


@dataclass(frozen=True, kw_only=True, slots=True)
class JobView:
    """One job at one block. Times are on the chain's clock; a deadline of 0 stands for none.

    `since_s`: when its phase began in this round. `before`: the phase before a final one, else `None`. `newest_model`:
    the last global round that made a model.
    """

    job: int
    name: str
    owner: str
    rules: JobRules
    phase: JobPhase
    before: JobPhase | None
    global_round: int
    newest_model: int | None
    retries: int
    since_s: int
    deadline_s: int
    now_s: int
    block: int
    gas_used: int
    shards: tuple[ShardView, ...]
    global_committee: CommitteeView
    figures: tuple[GlobalFigure, ...]
    participation: tuple[GlobalParticipation, ...]
    """With names in place of accounts, where they are known."""

    refusals: tuple[tuple[str, str], ...]
    """``(node, reason)``"""

    aggregation: AggregationView | None = None
    """``None`` where the job's specification is not to be had."""

    claim: Claim | None = None
    """What the job promises of the privacy of rows or nodes; ``None`` where it promises nothing, or its specification
    is not to be had."""

    datasets: tuple[DatasetView, ...] = ()
    """Of which members reserved the job's privacy budget; empty where it has none."""

    costs: tuple[PrivacyCost, ...] = ()
    """Of a job that runs, where nodes' journals can be read: the chain knows reservations alone until it is over."""
