"""What a committee member does next: pure decisions over what it sees.

All members derive the merge by themselves, and a vote says "I derived this". Sealing draws a fresh content key, so
that two members never produce the same payload: the members therefore take turns in proposing, by rank. The first in
turn proposes at once; each further one only when its slice of the window has come and nothing acceptable was proposed.
"""

from __future__ import annotations

from dataclasses import dataclass

from domicile.clock import JobClock
from domicile.protocol.round import JobPhase, ShardPhase


@dataclass(frozen=True, kw_only=True, slots=True)
class Duty:
    """One member's view of one committee's work at one moment of the chain's clock.

    `rank` is the member's place in the turn (0 goes first), rotated by round. `merged` says whether this member's own
    merge of the round is at hand, `stale` whether something has since turned up that it does not take into account.
    `acceptable` is the id of a proposal that equals the own merge and has no vote of this member's yet. `look_again_s`
    is when to look again for what the merge did not find in the store (`None`: nothing was missing), `looked_again`
    whether that was done once at least. `masked`: where updates are masked, how far this member's unmasking has come.
    """

    now_s: int
    window_s: int
    deadline_s: int
    rank: int
    size: int
    refused: bool
    merged: bool = False
    stale: bool = False
    voted: bool = False
    acceptable: bytes | None = None
    impossible: str | None = None
    look_again_s: float | None = None
    looked_again: bool = False
    masked: Masked | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Masked:
    """One member's view of a round whose updates are masked. Until the merge is at hand, `Duty.acceptable`, `voted`,
    `impossible` and the looks are those of the survivors.

    `agreed`: the committee has fixed the survivors. `summed`: the sum at hand is over them, or, before they are fixed,
    over those whom this member would propose. `unread`: answers have come that this member has not read, or one that
    was missing is to be looked for again. `waits_for`: why the sum cannot be unmasked yet, or ever. `unmasked_s`: when,
    on the chain's clock, this member unmasked it: turns to propose the model begin then.
    """

    agreed: bool = False
    summed: bool = False
    unread: bool = False
    waits_for: str = "no answers yet"
    unmasked_s: float | None = None


@dataclass(frozen=True, slots=True)
class Merge:
    """Fetch, open, check and merge what was committed (or reported)."""


@dataclass(frozen=True, slots=True)
class Sum:
    """Fetch, open, check and add the masked updates that were committed."""


@dataclass(frozen=True, slots=True)
class ProposeSurvivors:
    """Vote for those whose masked updates are in the own sum."""


@dataclass(frozen=True, slots=True)
class ConfirmSurvivors:
    """Vote for another member's proposal, which has the same survivors as the own sum."""

    proposal_id: bytes


@dataclass(frozen=True, slots=True)
class ReadAnswers:
    """Fetch, open and check the answers to the survivors, and unmask the sum once they are enough."""


@dataclass(frozen=True, slots=True)
class Propose:
    """Seal the own merge, put it into the store and vote for it."""


@dataclass(frozen=True, slots=True)
class Confirm:
    """Check that a proposal's payload opens to the own merge, and vote for it."""

    proposal_id: bytes


@dataclass(frozen=True, slots=True)
class Export:
    """Move the mature regional model through the export door and enter it into the ledger."""


@dataclass(frozen=True, slots=True)
class Advance:
    """End a phase whose deadline has passed."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do; `reason` is for the log."""

    reason: str


Act = Merge | Sum | ProposeSurvivors | ConfirmSurvivors | ReadAnswers | Propose | Confirm | Export | Advance | Wait


def decide_shard(phase: ShardPhase, duty: Duty) -> Act:
    """The next act of a regional committee member in its shard, while the job is training."""
    if phase in {ShardPhase.COLLECTING, ShardPhase.AGGREGATING, ShardPhase.MATURE} and duty.now_s >= duty.deadline_s:
        return Advance()
    if phase is ShardPhase.AGGREGATING:
        return _decide_merge(duty) if duty.masked is None else _decide_masked(duty, duty.masked)
    if phase is ShardPhase.MATURE:
        if duty.refused:
            return Wait("the contract refuses this member now")
        return (
            Export()
            if _in_turn(duty, JobClock(duty.window_s).exporters_s)
            else Wait("another member is to export first")
        )
    return Wait(f"the shard is {phase.name.lower()}")


def decide_job(phase: JobPhase, duty: Duty) -> Act:
    """The next act of any committee member for the job as a whole; only the global committee merges."""
    if phase in {JobPhase.JOINING, JobPhase.TRAINING, JobPhase.MERGING} and duty.now_s >= duty.deadline_s:
        return Advance()
    if phase is JobPhase.MERGING and duty.size:
        return _decide_merge(duty)
    return Wait(f"the job is {phase.name.lower()}")


def _decide_merge(duty: Duty) -> Act:
    if duty.refused:
        return Wait("the contract refuses this member now")
    if not duty.merged or duty.stale:
        return Merge()
    return _decide_vote(duty)


def _decide_vote(duty: Duty) -> Act:
    """What a member does that has derived; `Merge` means to derive again."""
    if duty.acceptable is not None:
        return Confirm(duty.acceptable)
    if duty.voted:
        return Wait("other members are still to vote")
    waiting = _not_to_propose(duty)
    if waiting is None:
        return Propose()
    overdue = duty.look_again_s is not None and duty.now_s >= duty.look_again_s
    return Merge() if overdue else Wait(waiting)


def _decide_masked(duty: Duty, masked: Masked) -> Act:
    if duty.refused:
        return Wait("the contract refuses this member now")
    if duty.merged:
        return _decide_vote(duty)
    if not masked.summed or (duty.stale and not masked.agreed):
        return Sum()
    if masked.agreed:
        return ReadAnswers() if masked.unread else Wait(masked.waits_for)
    return _of_survivors(_decide_vote(duty))


def _of_survivors(act: Act) -> Act:
    """The same vote, on survivors instead of a model."""
    if isinstance(act, Confirm):
        return ConfirmSurvivors(act.proposal_id)
    if isinstance(act, Propose):
        return ProposeSurvivors()
    return Sum() if isinstance(act, Merge) else act


def _not_to_propose(duty: Duty) -> str | None:
    """Why a member that has merged does not propose now.

    A store may hold in a moment what it does not hold now. An exclusion that rests on one look is not proposed, and the
    turns for it begin when all members can have looked twice.
    """
    if duty.impossible is not None:
        return duty.impossible
    clock = JobClock(duty.window_s)
    unmasked_s = None if duty.masked is None else duty.masked.unmasked_s
    if unmasked_s is not None:
        in_turn = _in_turn(duty, clock.proposers_s, after_s=unmasked_s - (duty.deadline_s - duty.window_s))
    elif duty.look_again_s is None:
        in_turn = _in_turn(duty, clock.proposers_s)
    elif not duty.looked_again:
        return "what is missing is to be looked for once more"
    else:
        in_turn = _in_turn(duty, clock.proposers_s, after_s=clock.look_again_s)
    return None if in_turn else "another member is to propose first"


def outsider(now_s: int, deadline_s: int) -> Duty:
    """The duty of somebody who is in no global committee, but may end a phase like anyone."""
    return Duty(now_s=now_s, window_s=0, deadline_s=deadline_s, rank=0, size=0, refused=False)


def rank(position: int, size: int, turn: int) -> int:
    """A member's place in the turn, which moves on by one each round."""
    return (position - turn) % size


def _in_turn(duty: Duty, turns_s: float, *, after_s: float = 0) -> bool:
    """Rank r of n may act once r/n of the time for turns has passed, so that every member has the rest left."""
    opened_s = duty.deadline_s - duty.window_s + after_s
    return duty.rank == 0 or duty.now_s >= opened_s + duty.rank * turns_s / duty.size
