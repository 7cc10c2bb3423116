"""What becomes of a job whose deadline passes, and what became of one that is over: pure, from a view."""

from __future__ import annotations

from domicile.protocol.round import JobPhase, ShardPhase, StallReason
from scripts.view import JobView, ShardView
from scripts.wording import WAITING, counted, listed, spaced

STALLS = {
    ShardPhase.COLLECTING: StallReason.TOO_FEW_UPDATES,
    ShardPhase.AGGREGATING: StallReason.NO_QUORUM,
    ShardPhase.MATURE: StallReason.NOT_EXPORTED,
}


def is_ready(view: JobView, shard: ShardView) -> bool:
    """Whether a shard has enough members to train."""
    return len(shard.members) >= view.rules.min_nodes


def after_joining(view: JobView) -> str:
    ready = [one for one in view.shards if is_ready(view, one)]
    if len(ready) < view.rules.min_shards:
        told = f"{len(ready)} of {counted(len(view.shards), 'shard')} with enough members"
        return f"the job fails: {told}, {view.rules.min_shards} must have them"
    without = [one.jurisdiction for one in view.shards if one not in ready]
    return "the first round opens" + (f", without {listed(without)} (too few members)" if without else "")


def after_merging(view: JobView) -> str:
    if view.retries < view.rules.max_retries:
        return _new_window(view.retries + 1, view.rules.max_retries)
    return "the job fails: no retry is left"


def after_shard(view: JobView, shard: ShardView) -> str:
    num_committed = len(shard.committed)
    if shard.phase is ShardPhase.COLLECTING and num_committed >= view.rules.min_nodes:
        return f"its committee goes on with the {counted(num_committed, 'update')} that {_are(num_committed)} there"
    if shard.retries < view.rules.max_retries:
        return _new_window(shard.retries + 1, view.rules.max_retries)
    return f"the shard stalls ({spaced(STALLS[shard.phase].name)}): {_after_stall(view, shard)}"


def after_stalled(view: JobView, shard: ShardView) -> str:
    """When a shard that sits a round out trains again."""
    if not is_ready(view, shard):
        return f"it has {len(shard.members)} of at least {view.rules.min_nodes} members, and nobody can join any more"
    if view.global_round + 1 < view.rules.num_global_rounds:
        return "it trains again in the next global round, or in this one if it is tried again"
    return "it trains again only if this global round, the last, is tried again"


def why_over(view: JobView) -> str:
    """Why a job is over without being complete; empty for any other."""
    if view.phase is JobPhase.CANCELLED:
        return f"its owner ({view.owner}) cancelled it while it was {_spoken(view.before)}"
    if view.phase is not JobPhase.FAILED:
        return ""
    counts = ", ".join(f"{one.jurisdiction} {len(one.members)}" for one in view.shards)
    needed = f"{counted(view.rules.min_shards, 'shard')} must have at least {view.rules.min_nodes} members each"
    if view.before is JobPhase.JOINING:
        return f"too few members joined in time: {counts}; {needed}"
    if view.newest_model == view.global_round:
        return f"too few members are left for another global round: {counts}; {needed}"
    number = view.global_round + 1
    if view.before is JobPhase.MERGING:
        quorum = counted(view.global_committee.quorum, "vote")
        return f"the global committee did not reach its {quorum} in global round {number}, and no retry was left"
    return _why_too_few_reports(view, number)


def _why_too_few_reports(view: JobView, number: int) -> str:
    reported = sum(one.phase is ShardPhase.REPORTED for one in view.shards)
    stalled = [
        f"{one.jurisdiction} stalled ({spaced(one.stall.name)})"
        for one in view.shards
        if one.phase is ShardPhase.STALLED
    ]
    retried = view.retries == view.rules.max_retries
    cause = "no retry was left" if retried else "too few shards have the members to try again"
    return (
        f"{reported} of at least {counted(view.rules.min_shards, 'shard')} reported in global round {number}: "
        f"{'; '.join(stalled)}; {cause}"
    )


def _after_stall(view: JobView, shard: ShardView) -> str:
    others = [one for one in view.shards if one is not shard]
    if any(one.phase in WAITING for one in others):
        return "the others go on"
    reported = sum(one.phase is ShardPhase.REPORTED for one in others)
    if reported >= view.rules.min_shards:
        return f"the global committee merges the {counted(reported, 'model')} that {_are(reported)} there"
    again = sum(is_ready(view, one) for one in view.shards if one.phase is not ShardPhase.REPORTED)
    if view.retries == view.rules.max_retries or reported + again < view.rules.min_shards:
        return "the job fails"
    return f"stalled shards try again, retry {view.retries + 1} of {view.rules.max_retries} of the round"


def _new_window(retry: int, retries: int) -> str:
    return f"a new window opens, retry {retry} of {retries}"


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def _spoken(phase: JobPhase | None) -> str:
    return "new" if phase is None else phase.name.lower()
