"""A committee of three that hostile nodes keep apart: one is opened by the first member alone, one by the second."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from aggregator.meeting import is_split
from domicile.chain import events as ev
from domicile.protocol.commitment import survivors_proposal_id
from domicile.protocol.proposal import NodeExclusion, SurvivorsProposal
from domicile.protocol.round import Committee, ExclusionReason, ShardParameters
from domicile.survivors import SurvivorsTally
from domicile.types import Address, JurisdictionCode, ShardIndex
from tests.aggregator.masked_ground import DUTY, KEY, MaskedGround, address_of
from tests.aggregator.regional_ground import JOB, origin

SECOND, THIRD = address_of(101), address_of(102)


class Split(MaskedGround):
    """This member cannot open the first node's update; the second cannot open the last one's."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, num_nodes=7)
        self.own = self.party.sender.address
        committee = Committee(members=(self.own, SECOND, THIRD), quorum=2)
        shard = ShardParameters(jurisdiction=JurisdictionCode("EU"), committee=committee)
        self.history.shards[0] = ev.ShardCreated(**origin(), shard=ShardIndex(0), parameters=shard)
        self.sealed_elsewhere, *good, self.sealed_here = self.members
        payload = self.mask(self.sealed_elsewhere)
        self.commits(self.sealed_elsewhere, payload.head, payload, as_=good[0])
        self.masks(*good, self.sealed_here)
        self.work.add(KEY, frozenset(), 100)

    def leaving_out(
        self, *left_out: Address, reason: ExclusionReason = ExclusionReason.UNOPENABLE
    ) -> SurvivorsProposal:
        excluded = (NodeExclusion(node=one, reason=reason) for one in sorted(left_out, key=str.lower))
        return replace(self.proposal, excluded=tuple(excluded))

    def vote(self, voter: Address, proposal: SurvivorsProposal) -> bytes:
        shard = ShardIndex(0)
        proposal_id = survivors_proposal_id(JOB, shard, proposal)
        self.history.apply(
            ev.SurvivorsVote(**origin(), shard=shard, voter=voter, proposal_id=proposal_id, proposal=proposal)
        )
        return proposal_id


@pytest.fixture
def split(tmp_path: Path) -> Split:
    return Split(tmp_path)


def test_members_that_leave_out_others_meet_in_what_any_of_them_misses(split: Split) -> None:
    both = split.leaving_out(split.sealed_elsewhere, split.sealed_here)
    split.vote(split.own, split.proposal)
    split.vote(SECOND, split.leaving_out(split.sealed_here))
    assert (split.duty(105).voted, split.duty(105).acceptable) == (True, None)
    proposal_id = split.vote(THIRD, both)
    duty = split.duty(105)
    assert (duty.voted, duty.acceptable) == (False, proposal_id)
    assert split.proposal == both
    assert {one.subject for one in split.remarks()} == {split.sealed_elsewhere, split.sealed_here}


def test_once_all_turns_are_over_who_is_silent_is_not_waited_for(split: Split) -> None:
    split.vote(split.own, split.proposal)
    split.vote(SECOND, split.leaving_out(split.sealed_here))
    assert split.duty(119).voted
    assert not split.duty(120).voted
    assert split.proposal == split.leaving_out(split.sealed_elsewhere, split.sealed_here)


def test_one_reason_counts_where_members_miss_a_node_for_two(split: Split) -> None:
    split.vote(SECOND, split.leaving_out(split.sealed_elsewhere, reason=ExclusionReason.UNAVAILABLE))
    split.vote(THIRD, split.leaving_out(split.sealed_here))
    split.duty(105)
    assert split.proposal == split.leaving_out(split.sealed_elsewhere, split.sealed_here)


def test_a_rival_that_leaves_too_few_is_not_followed(split: Split) -> None:
    own = split.proposal
    split.vote(SECOND, split.leaving_out(*split.members[1:]))
    split.vote(THIRD, split.leaving_out(*split.members[2:]))
    split.duty(105)
    assert split.proposal == own


def test_what_all_members_can_see_is_taken_from_nobody(split: Split) -> None:
    own = split.proposal
    for voter in (SECOND, THIRD):
        split.vote(voter, split.leaving_out(split.sealed_here, reason=ExclusionReason.MALFORMED))
    split.duty(105)
    assert split.proposal == own


def test_one_member_does_not_move_a_quorum_that_sees_alike(split: Split) -> None:
    committee = split.history.shards[ShardIndex(0)].parameters.committee
    alike, rival = split.proposal, split.leaving_out(*split.members[:3])
    tallies = [SurvivorsTally(proposal=rival, voters=[THIRD])]
    for voters in ([], [split.own], [SECOND], [split.own, SECOND]):
        told = [*tallies, SurvivorsTally(proposal=alike, voters=voters)] if voters else tallies
        for turns_are_over in (False, True):
            moved = is_split(alike, told, member=split.own, committee=committee, turns_are_over=turns_are_over)
            # Only where the other one is silent to the end is it as if it did not exist.
            assert moved == (turns_are_over and SECOND not in voters)
    assert DUTY.deadline_s - DUTY.window_s == 100
