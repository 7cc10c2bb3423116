"""Survivors of a masked round and who unmasked their sum: refusals first, then what is agreed and kept."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from eth_abi import encode
from eth_utils import keccak

from domicile.protocol.eligibility import Safeguard
from tests.contracts.cast import AGGREGATING, COLLECTING, INELIGIBLE, JOINING, TRAINING, Cast
from tests.contracts.ground import Contract, Ground, Job, Receipt, refused, word

SECURE = int(Safeguard.DIFFERENTIAL_PRIVACY | Safeguard.SECURE_AGGREGATION)
UNAVAILABLE = 2
MISSING_SAFEGUARD = 7
SUSPENDED = 6


@dataclass
class Round:
    """A job whose European shard has five members, `nodes`, in ascending order of address."""

    cast: Cast
    job: Job
    nodes: list[str]

    @property
    def board(self) -> Contract:
        return self.cast.ground.board

    @property
    def committee(self) -> list[str]:
        return self.cast.eu_committee

    def proposal(self, **changes: Any) -> dict[str, Any]:
        """One that holds now, unless `changes` say otherwise."""
        return {
            "globalRound": self.job.state["globalRound"],
            "regionalRound": self.job.shard()["regionalRound"],
            "commitments": self.job.call("commitmentsOf", 0),
            "excluded": [],
            **changes,
        }

    def vote(self, voter: str, shard: int = 0, **changes: Any) -> Receipt:
        return self.board.send(voter, "voteSurvivors", self.job.id, shard, self.proposal(**changes))

    def agree(self, **changes: Any) -> Receipt:
        for voter in self.committee:
            receipt = self.vote(voter, **changes)
        return receipt

    def unmask(self, node: str, digest: bytes = word(70), **changes: int) -> Receipt:
        rounds = {name: self.proposal(**changes)[name] for name in ("globalRound", "regionalRound")}
        return self.board.send(node, "unmask", self.job.id, *rounds.values(), digest)

    def without(self, *nodes: str, reason: int = UNAVAILABLE) -> list[dict[str, Any]]:
        return [{"node": node, "reason": reason} for node in nodes]

    def agreement(self) -> tuple[int, int, int]:
        held = self.board.call("agreementOf", self.job.id, 0)
        return held["globalRound"], held["regionalRound"], held["survivors"]


def admitted_nodes(cast: Cast) -> list[str]:
    """The cast's Europeans and two more, in ascending order of address."""
    more = cast.ground.people[12:14]
    for node in more:
        cast.ground.admit(node, "DE")
    return sorted([*cast.europe, *more], key=lambda node: int(node, 16))


def collecting(cast: Cast, **changes: Any) -> Round:
    job = cast.job(safeguards=SECURE, maxRegionalRounds=2, minRegionalRounds=2, **changes)
    one = Round(cast, job, admitted_nodes(cast))
    for node in one.nodes:
        job.join(node, 0)
    job.send(cast.owner, "start")
    return one


def aggregating(cast: Cast, **changes: Any) -> Round:
    one = collecting(cast, **changes)
    for number, node in enumerate(one.nodes):
        one.job.commit(node, word(10 + number))
    return one


def test_the_board_asks_the_gate_of_its_jobs(cast: Cast) -> None:
    board = cast.ground.board
    assert (board.call("JOBS"), board.call("NODES")) == (cast.ground.jobs.address, cast.ground.nodes.address)


def test_both_acts_belong_to_a_round_in_aggregation_of_a_known_secure_job(cast: Cast) -> None:
    one = collecting(cast)
    voter, node, job = one.committee[0], one.nodes[0], one.job.id
    assert refused(lambda: one.board.send(voter, "voteSurvivors", 99, 0, one.proposal())) == ("UnknownJob", (99,))
    assert refused(lambda: one.board.send(node, "unmask", 99, 0, 0, word(1))) == ("UnknownJob", (99,))
    assert refused(lambda: one.vote(voter, shard=2)) == ("UnknownShard", (job, 2))
    for act in (lambda: one.vote(voter), lambda: one.unmask(node)):
        assert refused(act) == ("WrongShardPhase", (job, 0, COLLECTING))
    open_job = cast.job(safeguards=SECURE)
    for act in (
        lambda: one.board.send(voter, "voteSurvivors", open_job.id, 0, one.proposal()),
        lambda: one.board.send(node, "unmask", open_job.id, 0, 0, word(1)),
    ):
        assert refused(act) == ("WrongJobPhase", (open_job.id, JOINING))


@pytest.mark.parametrize("safeguards", [0, int(Safeguard.DIFFERENTIAL_PRIVACY)])
def test_a_job_that_masks_nothing_has_no_survivors(cast: Cast, safeguards: int) -> None:
    job = cast.collected(cast.training(safeguards=safeguards))
    one = Round(cast, job, cast.europe)
    for act in (lambda: one.vote(one.committee[0]), lambda: one.unmask(one.nodes[0])):
        assert refused(act) == ("NothingMasked", (job.id,))


def test_a_vote_must_fit_the_round_to_the_letter(cast: Cast) -> None:
    one = aggregating(cast)
    voter = one.committee[0]
    for changes in ({"globalRound": 1}, {"regionalRound": 1}):
        assert refused(lambda: one.vote(voter, **changes)) == ("WrongRound", (0, 0))  # noqa: B023
    expected = one.job.call("commitmentsOf", 0)
    assert refused(lambda: one.vote(voter, commitments=word(3))) == ("WrongCommitments", (expected, word(3)))
    assert refused(lambda: one.vote(one.nodes[0])) == ("NotCommitteeMember", (one.nodes[0],))
    assert refused(lambda: one.vote(cast.us_committee[0])) == ("NotCommitteeMember", (cast.us_committee[0],))
    first, second, third = one.nodes[:3]
    for excluded, named in (
        (one.without(second, first), first),
        (one.without(first, first), first),
        (one.without(first, reason=0), first),
        (one.without(cast.america[0]), cast.america[0]),
    ):
        answer = refused(lambda: one.vote(voter, excluded=excluded))  # noqa: B023
        assert answer == ("InvalidExclusion", (named,))
    answer = refused(lambda: one.vote(voter, excluded=one.without(first, second, third)))
    assert answer == ("TooFewContributors", (3, 2))
    one.job.pass_deadline(0)
    deadline = one.job.shard()["deadline"]
    assert refused(lambda: one.vote(voter)) == ("WindowClosed", (deadline, deadline))


def test_survivors_are_as_many_as_a_merge_demands(cast: Cast) -> None:
    one = aggregating(cast, minNodes=5)
    answer = refused(lambda: one.vote(one.committee[0], excluded=one.without(one.nodes[0])))
    assert answer == ("TooFewContributors", (5, 4))


def test_who_did_not_commit_cannot_be_excluded(cast: Cast) -> None:
    one = collecting(cast)
    for node in one.nodes[:4]:
        one.job.commit(node)
    one.job.pass_deadline(0)
    one.job.send(cast.stranger, "advanceShard", 0)
    assert one.job.shard()["phase"] == AGGREGATING
    silent = one.nodes[4]
    assert refused(lambda: one.vote(one.committee[0], excluded=one.without(silent))) == ("InvalidExclusion", (silent,))
    one.agree()
    assert one.agreement() == (0, 0, 4)
    # Nobody asked it: what it says is left unread.
    assert one.unmask(silent).names() == ["Unmasked"]


def test_only_equal_proposals_of_distinct_voters_add_up_and_the_set_is_final(cast: Cast) -> None:
    one = aggregating(cast)
    left_out = one.without(one.nodes[1], one.nodes[3])
    told = one.vote(one.committee[0], excluded=left_out)
    proposal = one.proposal(excluded=left_out)
    vote = told.event("SurvivorsVote")
    expected_id = cast.proposal_id_of(one.board, "voteSurvivors", one.job.id, 0, proposal)
    assert (vote["voter"], vote["proposalId"], vote["proposal"]) == (one.committee[0], expected_id, proposal)
    assert told.names() == ["SurvivorsVote"]
    assert (one.agreement(), one.board.call("survivorsVotes", expected_id)) == ((0, 0, 0), 1)
    answer = refused(lambda: one.vote(one.committee[0], excluded=left_out))
    assert answer == ("AlreadyVoted", (one.committee[0], expected_id))
    for other in ([], one.without(one.nodes[1]), one.without(one.nodes[1], one.nodes[3], reason=INELIGIBLE)):
        assert one.vote(one.committee[1], excluded=other).names() == ["SurvivorsVote"]
    assert refused(lambda: one.unmask(one.nodes[0])) == ("SurvivorsNotAgreed", (0, 0))
    told = one.vote(one.committee[1], excluded=left_out)
    assert told.names() == ["SurvivorsVote", "SurvivorsAgreed"]
    assert told.event("SurvivorsAgreed") == {
        "job": one.job.id,
        "shard": 0,
        "globalRound": 0,
        "regionalRound": 0,
        "proposalId": expected_id,
        "survivors": 3,
    }
    assert one.agreement() == (0, 0, 3)
    for excluded in (left_out, []):
        answer = refused(lambda: one.vote(one.committee[0], excluded=excluded))  # noqa: B023
        assert answer == ("SurvivorsAlreadyAgreed", (0, 0))


def test_a_quorum_of_one_agrees_at_once_and_stores_no_vote(cast: Cast) -> None:
    one = aggregating(cast, quorum=1)
    told = one.vote(one.committee[1])
    assert told.names() == ["SurvivorsVote", "SurvivorsAgreed"]
    assert one.board.call("survivorsVotes", told.event("SurvivorsVote")["proposalId"]) == 0


def test_a_member_answers_once_a_round_whatever_it_says(cast: Cast) -> None:
    one = aggregating(cast)
    one.agree(excluded=one.without(one.nodes[4]))
    node = one.nodes[0]
    assert refused(lambda: one.unmask(node, bytes(32))) == ("ZeroDigest", ())
    assert refused(lambda: one.unmask(node, globalRound=1)) == ("WrongRound", (0, 0))
    assert refused(lambda: one.unmask(node, regionalRound=1)) == ("WrongRound", (0, 0))
    for outsider in (cast.stranger, one.committee[0], cast.america[0]):
        assert refused(lambda: one.unmask(outsider)) == ("NotMember", (outsider,))  # noqa: B023
    told = one.unmask(node, word(71))
    assert told.event("Unmasked") == {
        "job": one.job.id,
        "shard": 0,
        "node": node,
        "globalRound": 0,
        "regionalRound": 0,
        "digest": word(71),
    }
    for digest in (word(71), word(72)):
        assert refused(lambda: one.unmask(node, digest)) == ("AlreadyUnmasked", (node,))  # noqa: B023
    held = one.board.call("answerOf", one.job.id, node)
    record = keccak(encode(["bytes26", "uint16", "uint16", "bytes32"], [bytes(26), 0, 0, word(71)]))[:26]
    assert held == {"given": True, "globalRound": 0, "regionalRound": 0, "record": record}
    assert one.unmask(one.nodes[4]).names() == ["Unmasked"]
    one.job.pass_deadline(0)
    deadline = one.job.shard()["deadline"]
    assert refused(lambda: one.unmask(one.nodes[1])) == ("WindowClosed", (deadline, deadline))


def test_who_left_answers_no_more(cast: Cast) -> None:
    one = aggregating(cast)
    one.agree()
    one.job.send(one.nodes[2], "leave")
    assert refused(lambda: one.unmask(one.nodes[2])) == ("NotMember", (one.nodes[2],))


def _suspend(ground: Ground, account: str) -> None:
    ground.nodes.send(ground.governor, "suspend", account, word(1))


def _withdraw_offer(ground: Ground, account: str) -> None:
    ground.nodes.send(account, "updateKeyCard", word(1), int(Safeguard.DIFFERENTIAL_PRIVACY))


@pytest.mark.parametrize(("change", "reason"), [(_suspend, SUSPENDED), (_withdraw_offer, MISSING_SAFEGUARD)])
def test_whatever_the_gate_refuses_now_counts_at_both_acts(
    cast: Cast, change: Callable[[Ground, str], None], reason: int
) -> None:
    one = aggregating(cast)
    change(cast.ground, one.committee[1])
    assert refused(lambda: one.vote(one.committee[1])) == ("NotEligible", (one.committee[1], reason))
    one.vote(one.committee[0])
    cast.ground.nodes.send(one.committee[1], "updateKeyCard", word(1), SECURE)
    if reason == SUSPENDED:
        cast.ground.nodes.send(cast.ground.governor, "reinstate", one.committee[1], word(1))
    one.vote(one.committee[1])
    change(cast.ground, one.nodes[0])
    assert refused(lambda: one.unmask(one.nodes[0])) == ("NotEligible", (one.nodes[0], reason))


def test_a_set_outlasts_a_new_window_and_ends_with_its_round(cast: Cast) -> None:
    one = aggregating(cast)
    first = one.agree()
    one.unmask(one.nodes[0])
    one.job.pass_deadline(0)
    one.job.send(cast.stranger, "advanceShard", 0)
    assert refused(lambda: one.vote(one.committee[0])) == ("SurvivorsAlreadyAgreed", (0, 0))
    assert refused(lambda: one.unmask(one.nodes[0])) == ("AlreadyUnmasked", (one.nodes[0],))
    one.unmask(one.nodes[1])
    for voter in one.committee:
        one.job.vote(voter)
    assert refused(lambda: one.unmask(one.nodes[2])) == ("WrongShardPhase", (one.job.id, 0, COLLECTING))
    for node in one.nodes:
        one.job.commit(node)
    assert refused(lambda: one.unmask(one.nodes[0], regionalRound=0)) == ("WrongRound", (0, 1))
    assert refused(lambda: one.unmask(one.nodes[0])) == ("SurvivorsNotAgreed", (0, 1))
    second = one.agree()
    one.unmask(one.nodes[0])
    assert one.agreement() == (0, 1, 5)
    ids = [told.event("SurvivorsAgreed")["proposalId"] for told in (first, second)]
    record = bytes(26)
    for proposal_id in ids:
        record = keccak(encode(["bytes26", "bytes32"], [record, proposal_id]))[:26]
    assert one.board.call("agreementOf", one.job.id, 0)["record"] == record
    assert one.board.call("answerOf", one.job.id, one.nodes[0])["regionalRound"] == 1


def test_nothing_is_agreed_or_answered_once_the_job_is_over(cast: Cast) -> None:
    one = aggregating(cast)
    one.agree()
    assert one.job.state["phase"] == TRAINING
    one.job.send(cast.owner, "cancel")
    for act in (lambda: one.vote(one.committee[0]), lambda: one.unmask(one.nodes[0])):
        assert refused(act)[0] == "WrongJobPhase"
