from collections.abc import Callable
from typing import Any

import pytest
from eth_abi import encode
from eth_utils import keccak

from tests.contracts.cast import (
    AGGREGATING,
    CANCELLED,
    COLLECTING,
    COMPLETE,
    FAILED,
    INELIGIBLE,
    JOINING,
    MATURE,
    MERGING,
    NO_LOSS,
    NO_QUORUM,
    NOT_EXPORTED,
    REPORTED,
    ROUND_OVER,
    STALLED,
    TOO_FEW_CONTRIBUTORS,
    TOO_FEW_MEMBERS,
    TOO_FEW_UPDATES,
    TRAINING,
    Cast,
)
from tests.contracts.ground import Ground, Job, Reverted, code, refused, word


def test_a_job_with_too_few_members_does_not_start_and_fails_at_the_deadline(cast: Cast) -> None:
    job = cast.job()
    job.join(cast.europe[0], 0)
    assert refused(lambda: job.send(cast.stranger, "start")) == ("NotOwner", (cast.stranger,))
    assert refused(lambda: job.send(cast.owner, "start")) == ("TooFewShards", (1, 0))
    deadline, now = job.state["deadline"], cast.ground.chain.now
    assert refused(lambda: job.send(cast.stranger, "advance")) == ("WindowStillOpen", (deadline, now))
    cast.ground.chain.to(deadline - 1)
    assert refused(lambda: job.send(cast.stranger, "advance")) == ("WindowStillOpen", (deadline, deadline - 1))
    job.pass_deadline()
    assert job.send(cast.stranger, "advance").event("JobPhaseChanged") == cast.job_phase(job, FAILED)
    assert refused(lambda: job.send(cast.stranger, "advance")) == ("NothingToAdvance", (job.id,))
    assert job.state["deadline"] == 0


def test_a_shard_without_enough_members_sits_the_round_out(cast: Cast) -> None:
    job = cast.job()
    for node in cast.europe:
        job.join(node, 0)
    receipt = job.send(cast.owner, "start")
    assert receipt.names() == ["JobPhaseChanged", "ShardPhaseChanged", "ShardPhaseChanged"]
    assert [event.values for event in receipt.events] == [
        cast.job_phase(job, TRAINING, window_s=100 * (2 * 1 + 1 + 1)),
        cast.shard_phase(job, COLLECTING, window_s=100),
        cast.shard_phase(job, STALLED, shard=1, stall=TOO_FEW_MEMBERS),
    ]
    assert (job.shard(0)["phase"], job.shard(1)["phase"]) == (COLLECTING, STALLED)
    assert job.shard(1)["stall"] == TOO_FEW_MEMBERS
    assert refused(lambda: job.send(cast.owner, "start")) == ("WrongJobPhase", (job.id, TRAINING))


def test_the_running_hash_is_that_of_every_commit(cast: Cast) -> None:
    job = cast.training(maxRetries=0)
    chain, jobs = cast.ground.chain, cast.ground.jobs
    expected = keccak(
        encode(
            ["uint256", "address", "uint256", "uint8", "uint16", "uint16"],
            [chain.chain_id, jobs.address, job.id, 0, 0, 0],
        )
    )
    assert job.call("commitmentsOf", 0) == expected
    for number, node in enumerate(cast.europe):
        receipt = job.commit(node, word(number))
        assert receipt.event("UpdateCommitted") == {
            "job": job.id, "shard": 0, "node": node, "globalRound": 0, "regionalRound": 0, "digest": word(number),
        }  # fmt: skip
        expected = keccak(encode(["bytes32", "address", "bytes32"], [expected, node, word(number)]))
        assert job.call("commitmentsOf", 0) == expected
    assert receipt.event("ShardPhaseChanged") == cast.shard_phase(job, AGGREGATING, window_s=100)
    assert job.shard()["phase"] == AGGREGATING
    assert job.shard()["deadline"] == chain.now + 100


POSSIBLE = {
    JOINING: {"join", "leave", "start", "cancel", "advance"},
    TRAINING: {"commit", "leave", "voteRegional", "reportExport", "advanceShard", "cancel", "advance"},
    MERGING: {"voteGlobal", "cancel", "advance"},
    COMPLETE: set(),
    CANCELLED: set(),
    FAILED: set(),
}


def _in_phase(cast: Cast, phase: int) -> Job:
    if phase in (JOINING, FAILED):
        job = cast.job()
        if phase == FAILED:
            job.pass_deadline()
            job.send(cast.stranger, "advance")
        return job
    job = cast.training(globalRounds=1)
    if phase in (MERGING, COMPLETE):
        cast.reported(cast.reported(job, 0), 1)
    if phase == COMPLETE:
        job.vote_global(cast.eu_committee[0])
    if phase == CANCELLED:
        job.send(cast.owner, "cancel")
    return job


@pytest.mark.parametrize("phase", POSSIBLE)
def test_an_act_in_a_phase_that_has_it_not_is_refused_by_that_phase(cast: Cast, phase: int) -> None:
    jobs, job = cast.ground.jobs, _in_phase(cast, phase)
    assert job.state["phase"] == phase
    for name in set().union(*POSSIBLE.values()) - POSSIBLE[phase]:
        sender = cast.owner if name in ("start", "cancel") else cast.europe[0]
        answer = refused(lambda: jobs.try_out(sender, name, id=job.id))  # noqa: B023
        over = phase in (COMPLETE, CANCELLED, FAILED) and name == "advance"
        assert answer == (("NothingToAdvance", (job.id,)) if over else ("WrongJobPhase", (job.id, phase))), name


def test_a_commit_is_refused_out_of_place_round_and_time(cast: Cast) -> None:
    waiting = cast.job()
    waiting.join(cast.europe[0], 0)
    late = lambda j, *arguments: refused(lambda: j.send(cast.europe[0], "commit", *arguments))  # noqa: E731
    assert late(waiting, 0, 0, word(1)) == ("WrongJobPhase", (waiting.id, JOINING))
    job = cast.training()
    assert refused(lambda: job.send(cast.stranger, "commit", 0, 0, word(1))) == ("NotMember", (cast.stranger,))
    assert late(job, 1, 0, word(1)) == ("WrongRound", (0, 0))
    assert late(job, 0, 1, word(1)) == ("WrongRound", (0, 0))
    assert late(job, 0, 0, b"") == ("ZeroDigest", ())
    job.commit(cast.europe[0])
    assert late(job, 0, 0, word(1)) == ("AlreadyCommitted", (cast.europe[0],))
    assert refused(lambda: job.send(cast.europe[0], "leave")) == ("AlreadyCommitted", (cast.europe[0],))
    deadline = job.shard()["deadline"]
    cast.ground.chain.to(deadline)
    answer = refused(lambda: job.commit(cast.europe[1]))
    assert answer == ("WindowClosed", (deadline, deadline))
    job.send(cast.stranger, "advanceShard", 0)
    job.commit(cast.europe[1])
    job.send(cast.stranger, "advance") if job.state["deadline"] <= cast.ground.chain.now else None
    job.commit(cast.europe[2])
    assert late(job, 0, 0, word(1)) == ("WrongShardPhase", (job.id, 0, AGGREGATING))
    job.send(cast.owner, "cancel")
    assert late(job, 0, 0, word(1)) == ("WrongJobPhase", (job.id, CANCELLED))


@pytest.mark.parametrize(
    ("withdraw", "reason"),
    [
        (lambda g, n: g.nodes.send(g.governor, "tighten", code("EU"), 4, word(1)), 4),
        (lambda g, n: g.nodes.send(g.attesters[1], "revokeAttestation", n, word(1)), 2),
        (lambda g, n: g.nodes.send(g.governor, "removeAttester", g.attesters[0]), 2),
        (lambda g, n: g.nodes.send(g.governor, "withdrawClearance", n, word(1)), 5),
        (lambda g, n: g.nodes.send(g.governor, "suspend", n, word(1)), 6),
        (lambda g, n: g.nodes.send(n, "updateKeyCard", word(1), 0), 7),
        (lambda g, n: g.nodes.send(n, "retire"), 1),
        (lambda g, n: g.attest(n, "US-CA"), 3),
    ],
)
def test_whatever_the_gate_refuses_now_counts_at_join_commit_and_vote(
    cast: Cast, withdraw: Callable[[Ground, str], Any], reason: int
) -> None:
    ground, node, voter = cast.ground, cast.europe[2], cast.eu_committee[0]
    joining, job, voting = cast.job(), cast.training(), cast.collected(cast.training())
    proposal = voting.regional()
    withdraw(ground, node)
    if reason not in (4, 2) or ground.nodes.call("standingOf", voter)["jurisdiction"]:
        withdraw(ground, voter) if reason != 4 and not _dismissed(ground) else None
    assert refused(lambda: joining.join(node, 0)) == ("NotEligible", (node, reason))
    assert refused(lambda: job.commit(node)) == ("NotEligible", (node, reason))
    assert refused(lambda: voting.send(voter, "voteRegional", 0, proposal)) == ("NotEligible", (voter, reason))


def test_a_member_that_moves_within_its_shard_is_judged_by_the_deny_list_anew(cast: Cast) -> None:
    ground, node = cast.ground, cast.europe[0]
    job = cast.training(denied=[code("FR")], minRegionalRounds=2, maxRegionalRounds=2)
    ground.attest(node, "FR")
    assert refused(lambda: job.commit(node)) == ("NotEligible", (node, 3))
    ground.attest(node, "EU")
    job.commit(node)
    for other in cast.europe[1:]:
        job.commit(other)
    for voter in cast.eu_committee:
        job.vote(voter)
    ground.attest(node, "FR")
    assert refused(lambda: job.commit(node)) == ("NotEligible", (node, 3))


def _dismissed(ground: Ground) -> bool:
    try:
        ground.nodes.call("attesterOf", ground.attesters[0])
    except Reverted:
        return True
    return False


def test_leaving_closes_the_round_when_all_who_stay_have_committed(cast: Cast) -> None:
    job = cast.training()
    for node in cast.europe[:2]:
        job.commit(node)
    receipt = job.send(cast.europe[2], "leave")
    assert receipt.names() == ["MemberLeft", "ShardPhaseChanged"]
    assert receipt.event("MemberLeft") == {"job": job.id, "shard": 0, "node": cast.europe[2]}
    assert receipt.event("ShardPhaseChanged") == cast.shard_phase(job, AGGREGATING, window_s=100)
    assert job.shard()["phase"] == AGGREGATING
    other = cast.training()
    other.commit(cast.europe[0])
    for node in cast.europe[1:]:
        assert other.send(node, "leave").names() == ["MemberLeft"]
    assert other.shard()["phase"] == COLLECTING


def test_who_left_after_committing_can_still_be_left_out(cast: Cast) -> None:
    job = cast.collected(cast.training(quorum=1))
    node = cast.europe[2]
    job.send(node, "leave")
    receipt = job.vote(cast.eu_committee[0], lossMicros=NO_LOSS, excluded=[{"node": node, "reason": INELIGIBLE}])
    assert receipt.event("RegionalModelAccepted") == {
        "job": job.id, "shard": 0, "globalRound": 0, "regionalRound": 0, "model": word(1000), "payload": word(1001),
        "contributors": 2, "lossMicros": NO_LOSS,
    }  # fmt: skip
    merging = cast.reported(cast.reported(cast.training(), 0), 1)
    assert refused(lambda: merging.send(node, "leave")) == ("WrongJobPhase", (merging.id, MERGING))


def test_a_vote_must_fit_the_round_to_the_letter(cast: Cast) -> None:
    job = cast.training(minContributors=3, minNodes=2)
    voter = cast.eu_committee[0]
    vote = lambda **changes: refused(lambda: job.vote(voter, 0, **changes))  # noqa: E731
    assert vote() == ("WrongShardPhase", (job.id, 0, COLLECTING))
    cast.collected(job)
    held = job.call("commitmentsOf", 0)
    a, b = sorted(cast.europe, key=lambda account: int(account, 16))[:2]
    out = lambda *nodes: [{"node": node, "reason": INELIGIBLE} for node in nodes]  # noqa: E731
    assert vote(globalRound=1) == ("WrongRound", (0, 0))
    assert vote(regionalRound=1) == ("WrongRound", (0, 0))
    assert refused(lambda: job.vote(cast.stranger)) == ("NotCommitteeMember", (cast.stranger,))
    assert vote(commitments=word(1)) == ("WrongCommitments", (held, word(1)))
    assert vote(model=b"") == vote(payload=b"") == ("ZeroDigest", ())
    assert vote(excluded=out(b, a)) == ("InvalidExclusion", (a,))
    assert vote(excluded=out(a, a)) == ("InvalidExclusion", (a,))
    assert vote(excluded=out(cast.america[0])) == ("InvalidExclusion", (cast.america[0],))
    assert vote(excluded=out(cast.stranger)) == ("InvalidExclusion", (cast.stranger,))
    assert vote(excluded=[{"node": a, "reason": 0}]) == ("InvalidExclusion", (a,))
    assert vote(excluded=out(a, b)) == ("TooFewContributors", (2, 1))
    assert vote(excluded=out(a)) == ("LossNotPublishable", (500_000, 2))
    assert vote(lossMicros=NO_LOSS) == ("LossNotPublishable", (NO_LOSS, 3))
    deadline = job.shard()["deadline"]
    cast.ground.chain.to(deadline)
    assert vote() == ("WindowClosed", (deadline, deadline))


def test_only_equal_proposals_of_distinct_voters_add_up(cast: Cast) -> None:
    job = cast.collected(cast.training())
    first, second = cast.eu_committee
    proposal = job.regional()
    identity = cast.proposal_id("voteRegional", job.id, 0, proposal)
    assert job.vote(first).event("RegionalVote") == {
        "job": job.id, "shard": 0, "voter": first, "proposalId": identity, "proposal": proposal}  # fmt: skip
    assert cast.ground.jobs.call("proposalVotes", identity) == 1
    assert refused(lambda: job.vote(first)) == ("AlreadyVoted", (first, identity))
    assert job.vote(second, model=word(666)).names() == ["RegionalVote"]
    receipt = job.vote(second)
    assert receipt.names() == ["RegionalVote", "RegionalModelAccepted", "ShardPhaseChanged"]
    assert receipt.event("RegionalModelAccepted") == {
        "job": job.id, "shard": 0, "globalRound": 0, "regionalRound": 0, "model": word(1000), "payload": word(1001),
        "contributors": 3, "lossMicros": 500_000,
    }  # fmt: skip
    assert receipt.event("ShardPhaseChanged") == cast.shard_phase(job, MATURE, window_s=100)
    assert job.call("regionalModelOf", 0) == word(1000)
    assert job.shard()["phase"] == MATURE


def test_a_quorum_of_one_stores_no_vote(cast: Cast) -> None:
    job = cast.collected(cast.training(quorum=1))
    identity = cast.proposal_id("voteRegional", job.id, 0, job.regional())
    assert "RegionalModelAccepted" in job.vote(cast.eu_committee[1]).names()
    assert cast.ground.jobs.call("proposalVotes", identity) == 0


def test_a_model_matures_on_a_plateau_after_the_least_rounds(cast: Cast) -> None:
    job = cast.training(minRegionalRounds=2, maxRegionalRounds=9, patience=2, minDeltaMicros=10, quorum=1)
    steps = [(100, 100, 0), (91, 100, 1), (89, 89, 0), (89, 89, 1)]
    for number, (loss, best, stale) in enumerate(steps):
        cast.collected(job)
        opened = job.vote(cast.eu_committee[0], lossMicros=loss).event("ShardPhaseChanged")
        state = job.shard()
        assert (state["bestLossMicros"], state["staleRounds"]) == (best, stale)
        assert (state["phase"], state["regionalRound"], state["numCommitted"]) == (COLLECTING, number + 1, 0)
        assert opened == cast.shard_phase(job, COLLECTING, window_s=100, regionalRound=number + 1)
    cast.collected(job)
    job.vote(cast.eu_committee[0], lossMicros=NO_LOSS - 1)
    assert job.shard()["phase"] == MATURE


def test_too_few_contributors_in_any_round_bar_the_export(cast: Cast) -> None:
    job = cast.training(minRegionalRounds=2, maxRegionalRounds=2, quorum=1)
    cast.collected(job)
    job.vote(cast.eu_committee[0], lossMicros=NO_LOSS, excluded=[{"node": cast.europe[0], "reason": 3}])
    assert job.shard()["leastContributors"] == 2
    cast.collected(job)
    receipt = job.vote(cast.eu_committee[0])
    assert receipt.names() == ["RegionalVote", "RegionalModelAccepted", "ShardPhaseChanged"]
    barred = cast.shard_phase(job, STALLED, stall=TOO_FEW_CONTRIBUTORS, regionalRound=1)
    assert receipt.event("ShardPhaseChanged") == barred
    assert (job.shard()["phase"], job.shard()["stall"]) == (STALLED, TOO_FEW_CONTRIBUTORS)


def test_the_ways_of_a_shard_past_its_deadlines(cast: Cast) -> None:
    job = cast.training(maxRetries=1, collectWindowS=100, maxRegionalRounds=9)
    advance = lambda: job.send(cast.stranger, "advanceShard", 0)  # noqa: E731
    deadline = job.shard()["deadline"]
    cast.ground.chain.to(deadline - 1)
    assert refused(advance) == ("WindowStillOpen", (deadline, deadline - 1))
    job.commit(cast.europe[0])
    job.pass_deadline(0)
    held = job.call("commitmentsOf", 0)
    assert advance().event("ShardPhaseChanged") == cast.shard_phase(job, COLLECTING, window_s=100, retries=1)
    assert (job.shard()["phase"], job.shard()["numCommitted"], job.call("commitmentsOf", 0)) == (COLLECTING, 1, held)
    job.commit(cast.europe[1])
    job.pass_deadline(0)
    advance()
    assert job.shard()["phase"] == AGGREGATING
    job.pass_deadline(0)
    advance()
    assert (job.shard()["phase"], job.shard()["stall"], job.shard()["deadline"]) == (STALLED, NO_QUORUM, 0)
    assert refused(advance) == ("WrongShardPhase", (job.id, 0, STALLED))


@pytest.mark.parametrize(
    ("reach", "reason"), [(lambda c, j: None, TOO_FEW_UPDATES), (lambda c, j: c.accepted(j), NOT_EXPORTED)]
)
def test_a_shard_stalls_when_its_retries_are_spent(cast: Cast, reach: Callable[..., Any], reason: int) -> None:
    job = cast.training(maxRetries=1)
    reach(cast, job)
    for _ in range(2):
        job.pass_deadline(0)
        job.send(cast.stranger, "advanceShard", 0)
    assert (job.shard()["phase"], job.shard()["stall"]) == (STALLED, reason)


def test_only_the_committee_exports_a_mature_model(cast: Cast) -> None:
    job = cast.training()
    exporter = cast.eu_committee[0]
    export = lambda who, *arguments: refused(lambda: job.send(who, "reportExport", 0, *arguments))  # noqa: E731
    assert export(exporter, 0, word(1)) == ("WrongShardPhase", (job.id, 0, COLLECTING))
    cast.accepted(job)
    assert export(exporter, 1, word(1)) == ("WrongRound", (0, 0))
    assert export(cast.stranger, 0, word(1)) == ("NotCommitteeMember", (cast.stranger,))
    assert export(exporter, 0, b"") == ("ZeroDigest", ())
    cast.ground.nodes.send(cast.ground.governor, "suspend", exporter, word(1))
    assert export(exporter, 0, word(1)) == ("NotEligible", (exporter, 6))
    seed = job.call("reportsOf")
    told = job.send(cast.eu_committee[1], "reportExport", 0, 0, word(2000))
    assert told.names() == ["ModelExported", "ShardPhaseChanged"]
    assert told.event("ShardPhaseChanged") == cast.shard_phase(job, REPORTED)
    assert told.event("ModelExported") == {
        "job": job.id, "shard": 0, "exporter": cast.eu_committee[1], "globalRound": 0, "jurisdiction": code("EU"),
        "contributors": 3, "model": word(1000), "payload": word(2000),
    }  # fmt: skip
    chained = keccak(encode(["bytes32", "uint8", "bytes32", "bytes32"], [seed, 0, word(1000), word(2000)]))
    assert job.call("reportsOf") == chained
    assert (job.shard()["phase"], job.state["numReported"]) == (REPORTED, 1)
    other = cast.accepted(cast.training(), 1)
    deadline = other.shard(1)["deadline"]
    cast.ground.chain.to(deadline)
    assert refused(lambda: other.export(cast.us_committee[0], 1)) == ("WindowClosed", (deadline, deadline))


def test_a_global_vote_must_fit_the_round_to_the_letter(cast: Cast) -> None:
    job = cast.reported(cast.training(minShards=2), 0)
    voter = cast.us_committee[0]
    vote = lambda who=voter, **changes: refused(lambda: job.vote_global(who, **changes))  # noqa: E731
    assert vote() == ("WrongJobPhase", (job.id, TRAINING))
    cast.reported(job, 1)
    out = lambda *shards: [{"shard": shard, "reason": 2} for shard in shards]  # noqa: E731
    assert vote(globalRound=1) == ("WrongRound", (0, 0))
    assert vote(cast.stranger) == ("NotCommitteeMember", (cast.stranger,))
    assert vote(reports=word(1)) == ("WrongReports", (job.call("reportsOf"), word(1)))
    assert vote(model=b"") == vote(payload=b"") == ("ZeroDigest", ())
    assert vote(excluded=out(1, 0)) == ("InvalidShardExclusion", (0,))
    assert vote(excluded=out(0, 0)) == ("InvalidShardExclusion", (0,))
    assert vote(excluded=out(2)) == ("InvalidShardExclusion", (2,))
    assert vote(excluded=[{"shard": 0, "reason": 0}]) == ("InvalidShardExclusion", (0,))
    assert vote(excluded=out(0)) == ("TooFewShards", (2, 1))
    cast.ground.nodes.send(cast.ground.governor, "suspend", voter, word(1))
    assert vote() == ("NotEligible", (voter, 6))
    deadline = job.state["deadline"]
    cast.ground.chain.to(deadline)
    assert vote(cast.eu_committee[0]) == ("WindowClosed", (deadline, deadline))


def test_a_whole_job_runs_to_its_end(cast: Cast) -> None:
    job = cast.training(globalRounds=2, global_quorum=2, minShards=2)
    chain = cast.ground.chain
    for global_round in range(2):
        seed = encode(
            ["uint256", "address", "uint256", "uint16"],
            [chain.chain_id, cast.ground.jobs.address, job.id, global_round],
        )
        assert job.call("reportsOf") == keccak(seed)
        cast.accepted(cast.reported(job, 0), 1)
        settled = job.export(cast.us_committee[0], 1)
        assert settled.names() == ["ModelExported", "ShardPhaseChanged", "JobPhaseChanged"]
        merging = cast.job_phase(job, MERGING, window_s=100, globalRound=global_round)
        assert settled.event("JobPhaseChanged") == merging
        reports, voter = job.call("reportsOf"), cast.eu_committee[0]
        proposal = {
            "globalRound": global_round, "reports": reports, "model": word(3000), "payload": word(3001), "excluded": [],
        }  # fmt: skip
        identity = cast.proposal_id("voteGlobal", job.id, proposal)
        first = job.vote_global(voter)
        assert first.names() == ["GlobalVote"]
        assert first.event("GlobalVote") == {
            "job": job.id, "voter": voter, "proposalId": identity, "proposal": proposal}  # fmt: skip
        assert refused(lambda: job.vote_global(voter)) == ("AlreadyVoted", (voter, identity))  # noqa: B023
        receipt = job.vote_global(cast.us_committee[0])
        assert receipt.event("GlobalModelAccepted") == {
            "job": job.id, "globalRound": global_round, "model": word(3000), "payload": word(3001), "shards": 2,
            "reports": reports,
        }  # fmt: skip
        opened = [event.values for event in receipt.events if event.name.endswith("PhaseChanged")]
        assert (
            opened
            == [
                [
                    cast.job_phase(job, TRAINING, window_s=400, globalRound=1),
                    cast.shard_phase(job, COLLECTING, window_s=100, globalRound=1),
                    cast.shard_phase(job, COLLECTING, shard=1, window_s=100, globalRound=1),
                ],
                [cast.job_phase(job, COMPLETE, globalRound=1)],
            ][global_round]
        )
    assert (job.state["phase"], job.state["deadline"]) == (COMPLETE, 0)
    assert job.call("globalModelOf") == word(3000)
    assert refused(lambda: job.send(cast.owner, "cancel")) == ("WrongJobPhase", (job.id, COMPLETE))


def test_stalled_shards_open_again_with_rounds_that_never_were(cast: Cast) -> None:
    job = cast.training(minShards=2, maxRetries=1, maxRegionalRounds=2, minRegionalRounds=2)
    cast.collected(job, 0)
    deadline = job.state["deadline"]
    cast.ground.chain.to(deadline - 1)
    assert refused(lambda: job.send(cast.stranger, "advance")) == ("WindowStillOpen", (deadline, deadline - 1))
    cast.ground.chain.to(deadline)
    assert [event.values for event in job.send(cast.stranger, "advance").events] == [
        cast.shard_phase(job, STALLED, stall=ROUND_OVER),
        cast.shard_phase(job, STALLED, shard=1, stall=ROUND_OVER),
        cast.job_phase(job, TRAINING, window_s=600, retries=1),
        cast.shard_phase(job, COLLECTING, window_s=100, regionalRound=1),
        cast.shard_phase(job, COLLECTING, shard=1, window_s=100, regionalRound=1),
    ]
    assert (job.state["phase"], job.state["retries"], job.state["numStalled"]) == (TRAINING, 1, 0)
    state = job.shard(0)
    assert (state["phase"], state["regionalRound"], state["firstRound"], state["numCommitted"]) == (COLLECTING, 1, 1, 0)
    for _ in range(2):
        cast.accepted(job, 0)
    assert (job.shard(0)["phase"], job.shard(0)["regionalRound"]) == (MATURE, 2)
    job.export(cast.eu_committee[0])
    cast.ground.chain.to(job.state["deadline"])
    job.send(cast.stranger, "advance")
    assert (job.state["phase"], job.shard(1)["stall"], job.shard(0)["phase"]) == (FAILED, ROUND_OVER, REPORTED)


def test_a_job_fails_at_once_when_too_few_shards_could_still_report(cast: Cast) -> None:
    job = cast.training(minShards=2, maxRetries=9)
    for node in cast.america[:2]:
        job.send(node, "leave")
    cast.ground.chain.to(job.state["deadline"])
    job.send(cast.stranger, "advance")
    assert job.state["phase"] == FAILED


def test_a_round_goes_on_without_the_stalled_shard_and_takes_it_back_in_the_next(cast: Cast) -> None:
    job = cast.reported(cast.training(minShards=1, maxRetries=0), 0)
    job.pass_deadline(1)
    receipt = job.send(cast.stranger, "advanceShard", 1)
    assert receipt.names() == ["ShardPhaseChanged", "JobPhaseChanged"]
    assert receipt.event("ShardPhaseChanged") == cast.shard_phase(job, STALLED, shard=1, stall=TOO_FEW_UPDATES)
    assert receipt.event("JobPhaseChanged") == cast.job_phase(job, MERGING, window_s=100)
    assert job.state["phase"] == MERGING
    job.vote_global(cast.eu_committee[0])
    assert (job.state["globalRound"], job.state["numStalled"]) == (1, 0)
    assert [shard["phase"] for shard in job.call("snapshot")[1]] == [COLLECTING, COLLECTING]
    job.commit(cast.europe[0])


def test_a_merge_that_nobody_finishes_fails_after_its_retries(cast: Cast) -> None:
    job = cast.reported(cast.reported(cast.training(maxRetries=1), 0), 1)
    job.pass_deadline()
    again = job.send(cast.stranger, "advance")
    assert again.event("JobPhaseChanged") == cast.job_phase(job, MERGING, window_s=100, retries=1)
    job.pass_deadline()
    ended = job.send(cast.stranger, "advance")
    assert ended.event("JobPhaseChanged") == cast.job_phase(job, FAILED, retries=1)


def test_a_later_round_without_enough_members_fails_the_job(cast: Cast) -> None:
    job = cast.training(minShards=2)
    for index in (0, 1):
        cast.reported(job, index) if index == 0 else cast.accepted(job, 1)
    for node in cast.america[:2]:
        job.send(node, "leave")
    job.export(cast.us_committee[0], 1)
    job.vote_global(cast.eu_committee[0])
    assert job.state["phase"] == FAILED


def test_only_the_owner_cancels_and_nothing_moves_afterwards(cast: Cast) -> None:
    job = cast.training()
    assert refused(lambda: job.send(cast.stranger, "cancel")) == ("NotOwner", (cast.stranger,))
    assert job.send(cast.owner, "cancel").event("JobPhaseChanged") == cast.job_phase(job, CANCELLED)
    for function, arguments in (("advanceShard", (0,)), ("leave", ()), ("reportExport", (0, 0, word(1)))):
        answer = refused(lambda: job.send(cast.europe[0], function, *arguments))  # noqa: B023
        assert answer == ("WrongJobPhase", (job.id, CANCELLED))
    assert refused(lambda: job.send(cast.owner, "advance")) == ("NothingToAdvance", (job.id,))
