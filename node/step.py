"""What a node does next: a pure decision over what it sees."""

from __future__ import annotations

from dataclasses import dataclass

from domicile.clock import JobClock
from domicile.protocol.round import JobPhase, ShardPhase
from domicile.types import Digest


@dataclass(frozen=True, kw_only=True, slots=True)
class Observation:
    """What a node knows of one job at one moment of the chain's clock.

    The shard's fields are `None` until the node is a member; a member that is `forgotten` lost its journal. `sealed` is
    the digest of the update that the journal holds for the present round, `stored` whether the region store was seen to
    hold it, a short while ago. `declined` says that the node takes no part in the job, `given_up` that it trains no
    update in the present round, `lost` that what it trained is gone, and a round that is `measured` needs no
    evaluation, be it that none was possible: why stands in the node's journal. A job that was `left` by hand is not
    joined again. `has_budget`: a member has something to give back when the job is over.

    Where updates are masked: `agreed`, the committee has fixed whose are in the sum; `answer` is the digest of what the
    journal holds as this node's answer to that set, `answer_stored` the same as `stored`; `unmasked`, the chain holds
    it; `silent`, the node answers nothing in the present round, or what it answered is gone.
    """

    now_s: int
    job_phase: JobPhase
    job_deadline_s: int
    collect_window_s: int
    declined: bool
    left: bool = False
    has_budget: bool = False
    forgotten: bool = False
    shard_phase: ShardPhase | None = None
    shard_deadline_s: int = 0
    global_round: int = 0
    regional_round: int = 0
    committed: bool = False
    refused: bool = False
    sealed: Digest | None = None
    stored: bool = False
    lost: bool = False
    given_up: bool = False
    agreed: bool = False
    answer: Digest | None = None
    answer_stored: bool = False
    unmasked: bool = False
    silent: bool = False
    newest_global_round: int | None = None
    measured_global_rounds: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Join:
    """Ask the contract for membership."""


@dataclass(frozen=True, slots=True)
class Evaluate:
    """Measure the global model that this round produced on the node's own held-out part."""

    global_round: int


@dataclass(frozen=True, slots=True)
class Adopt:
    """Note a membership that a lost journal knew of: before the first round opens, nothing can have been trained."""


@dataclass(frozen=True, slots=True)
class Recover:
    """Build the journal anew from chain and store, and sit the present round out."""

    global_round: int
    regional_round: int


@dataclass(frozen=True, slots=True)
class Train:
    """Train from the round's model and seal the update, which stays here until it is stored."""

    global_round: int
    regional_round: int


@dataclass(frozen=True, slots=True)
class Store:
    """Make sure that the region store holds the sealed update."""

    global_round: int
    regional_round: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class Answer:
    """Seal this node's shares for the agreed survivors, once; until it is `late`, those of all of them."""

    global_round: int
    regional_round: int
    late: bool


@dataclass(frozen=True, slots=True)
class StoreAnswer:
    """Make sure that the region store holds the sealed answer."""

    global_round: int
    regional_round: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class Unmask:
    """Enter the sealed answer's digest on the board."""

    global_round: int
    regional_round: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class Commit:
    """Commit the sealed update's digest."""

    global_round: int
    regional_round: int
    digest: Digest


@dataclass(frozen=True, slots=True)
class AdvanceJob:
    """End a phase of the job whose deadline has passed."""


@dataclass(frozen=True, slots=True)
class AdvanceShard:
    """End a phase of the node's shard whose deadline has passed."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do; `reason` is for the log."""

    reason: str


@dataclass(frozen=True, slots=True)
class Finished:
    """Nothing will ever be to do in this job again."""

    reason: str


Act = (
    Join
    | Adopt
    | Recover
    | Evaluate
    | Train
    | Store
    | Commit
    | Answer
    | StoreAnswer
    | Unmask
    | AdvanceJob
    | AdvanceShard
    | Wait
    | Finished
)

_FINAL = frozenset({JobPhase.COMPLETE, JobPhase.CANCELLED, JobPhase.FAILED})


def decide(seen: Observation) -> Act:  # noqa: PLR0911 - one return a rule reads best
    """The next act in one job."""
    if seen.declined:
        settles_later = seen.has_budget and seen.shard_phase is not None and seen.job_phase not in _FINAL
        return Wait("declined; what it reserved is settled at the end") if settles_later else Finished("declined")
    if seen.newest_global_round is not None and seen.newest_global_round not in seen.measured_global_rounds:
        return Evaluate(seen.newest_global_round)
    if seen.job_phase in _FINAL:
        return Finished(seen.job_phase.name.lower())
    if seen.shard_phase is None:
        return _decide_outside(seen)
    if seen.forgotten:
        if seen.job_phase is JobPhase.JOINING:
            return Adopt()
        return Recover(seen.global_round, seen.regional_round)
    grace_s = JobClock(seen.collect_window_s).node_patience_s
    if seen.job_phase is not JobPhase.TRAINING:
        return AdvanceJob() if seen.now_s >= seen.job_deadline_s + grace_s else Wait("the job is not training")
    if seen.shard_deadline_s and seen.now_s >= seen.shard_deadline_s + grace_s:
        return AdvanceShard()
    if seen.now_s >= seen.job_deadline_s + grace_s:
        return AdvanceJob()
    return _decide_round(seen, seen.shard_phase)


def _decide_round(seen: Observation, phase: ShardPhase) -> Act:
    if phase is ShardPhase.AGGREGATING and seen.agreed and not seen.silent:
        act = _decide_unmasking(seen)
        if act is not None:
            return act
    if seen.committed and phase in {ShardPhase.COLLECTING, ShardPhase.AGGREGATING}:
        return _decide_committed(seen)
    if phase is ShardPhase.COLLECTING:
        return _decide_collecting(seen)
    return Wait(f"the shard is {phase.name.lower()}")


def _decide_outside(seen: Observation) -> Act:
    if seen.job_phase is JobPhase.JOINING:
        if seen.left:
            return Wait("its operator took this node out")
        return Join() if seen.now_s < seen.job_deadline_s else Wait("the join window is over")
    return Finished("the job started without this node")


def _decide_committed(seen: Observation) -> Act:
    """The committee has yet to read what was committed: a store that lost it gets it again."""
    if seen.sealed is not None and not seen.stored and not seen.lost:
        return Store(seen.global_round, seen.regional_round, seen.sealed)
    return Wait("others are still to commit, or the committee to agree")


def _decide_unmasking(seen: Observation) -> Act | None:
    """What a member owes to the sum, whether its own update is in it or not; `None` where nothing is left to do now."""
    rounds = seen.global_round, seen.regional_round
    if seen.unmasked and seen.answer is not None:
        # The committee has yet to read it.
        return None if seen.answer_stored else StoreAnswer(*rounds, seen.answer)
    if seen.unmasked or seen.refused or seen.now_s >= seen.shard_deadline_s:
        return None
    if seen.answer is None:
        return Answer(*rounds, late=seen.now_s >= seen.shard_deadline_s - seen.collect_window_s / 2)
    return Unmask(*rounds, seen.answer) if seen.answer_stored else StoreAnswer(*rounds, seen.answer)


def _decide_collecting(seen: Observation) -> Act:  # noqa: PLR0911 - one return a rule reads best
    if seen.now_s >= seen.shard_deadline_s:
        return Wait("the collecting window is over")
    if seen.refused:
        return Wait("the contract refuses this node now")
    if seen.lost:
        return Wait("the sealed update is lost")
    if seen.sealed is not None and not seen.stored:
        return Store(seen.global_round, seen.regional_round, seen.sealed)
    if seen.sealed is not None:
        return Commit(seen.global_round, seen.regional_round, seen.sealed)
    if seen.given_up:
        return Wait("this node sits the round out")
    return Train(seen.global_round, seen.regional_round)
