"""A committee member in a masked round: whom it leaves out of the sum, what it makes of answers, and what comes out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from domicile.errors import BlockMissing, StoreFault, UnmaskingRefused
from domicile.protocol.proposal import NodeExclusion, SurvivorsProposal
from domicile.protocol.round import ExclusionReason
from domicile.types import Digest, ShardIndex
from tests.aggregator.masked_ground import KEY, MaskedGround
from tests.aggregator.regional_ground import JOB

LOST = Digest(b"\x09" * 32)


@pytest.fixture
def ground(tmp_path: Path) -> MaskedGround:
    return MaskedGround(tmp_path)


def reasons(ground: MaskedGround) -> dict[str, str]:
    return {one.subject: one.reason for one in ground.remarks()}


def test_the_model_is_that_of_the_mean_of_all_survivors_whoever_of_them_answered(ground: MaskedGround) -> None:
    ground.masks(*ground.members)
    ground.agrees()
    ground.answers(*ground.members[:2])
    assert ground.reads() is None
    assert ground.duty().masked is not None
    assert "4 of 4 survivors" in ground.duty().masked.waits_for  # type: ignore[union-attr]
    ground.answers(ground.members[3])
    assert ground.duty().masked.unread  # type: ignore[union-attr]
    merge = ground.reads()
    assert merge is not None
    assert merge.model is not None
    mean_P = torch.stack(list(ground.updates.values())).mean(dim=0)
    assert float((merge.model.values_P - mean_P).abs().max()) < 1e-6
    assert (merge.contributors, merge.excluded, merge.loss_micros) == (4, (), 500_000)
    assert merge.model.file.metadata.num_examples == 40
    assert merge.model.file.metadata.test is not None
    assert (merge.model.file.metadata.test.count, merge.model.file.metadata.test.correct) == (8, 4)


def test_the_same_sum_comes_out_whoever_answered(ground: MaskedGround) -> None:
    ground.masks(*ground.members)
    ground.agrees()
    ground.answers(*ground.members[:3])
    first = ground.reads()
    ground.answers(ground.members[3])
    # Another member has read the last three answers alone.
    told = ground.history.unmaskings[KEY]
    del told[0]
    ground.work.add(KEY, frozenset(), 100)
    second = ground.reads()
    assert first is not None
    assert second is not None
    assert first.model is not None
    assert second.model is not None
    assert first.model.digest == second.model.digest


def test_what_cannot_be_in_the_sum_is_left_out_with_its_reason(tmp_path: Path) -> None:
    ground = MaskedGround(tmp_path, num_nodes=15)
    garbage, foreign, ineligible, lost, endless, *good = ground.members
    payload, other = ground.mask(garbage), ground.mask(foreign)
    ground.commits(garbage, bytes(len(payload.head)), payload)
    ground.commits(foreign, other.head, other, as_=good[0])
    ground.masks(ineligible, *good)
    ground.tells_commit(lost, LOST)
    ground.tells_commit(endless, ground.region.put_bytes(bytes(5 << 20)))
    ground.work.add(KEY, frozenset({ineligible}), 100)
    assert reasons(ground) == {
        garbage: "MALFORMED",
        foreign: "UNOPENABLE",
        ineligible: "INELIGIBLE",
        lost: "UNAVAILABLE",
        endless: "MALFORMED",
    }
    assert [one.node for one in ground.proposal.excluded] == sorted(reasons(ground), key=str.lower)
    duty = ground.duty()
    assert (duty.impossible, duty.look_again_s) == (None, 100.25)
    assert duty.stale  # Whom the gate refused, it admits by now.
    ground.tells_survivors(ground.proposal)
    assert not ground.duty().masked.summed  # type: ignore[union-attr]
    ground.work.add(KEY, frozenset(), 100)
    ground.answers(*good)
    merge = ground.reads()
    assert merge is not None
    assert merge.model is not None
    mean_P = torch.stack([ground.updates[member] for member in good]).mean(dim=0)
    assert float((merge.model.values_P - mean_P).abs().max()) < 1e-6
    assert {one.reason for one in merge.exclusions} == {
        ExclusionReason.MALFORMED,
        ExclusionReason.UNOPENABLE,
        ExclusionReason.INELIGIBLE,
        ExclusionReason.UNAVAILABLE,
    }


def test_nobody_is_in_a_sum_whose_masks_the_survivors_could_not_take_away(tmp_path: Path) -> None:
    ground = MaskedGround(tmp_path, num_nodes=9)
    ground.masks(*ground.members[:4])
    ground.work.add(KEY, frozenset(), 100)
    assert set(reasons(ground).values()) == {"MALFORMED"}
    assert ground.duty().impossible == "0 usable masked updates, 6 are needed"


def test_a_set_that_no_member_would_answer_for_is_neither_proposed_nor_confirmed(tmp_path: Path) -> None:
    """Five of nine hold a threshold of all shares, and the contract asks for three; but only a third may be missing."""
    ground = MaskedGround(tmp_path, num_nodes=9)
    ground.masks(*ground.members[:5])
    ground.work.add(KEY, frozenset(), 100)
    ground.tells_vote(account := ground.members[8])
    assert ground.history.survivors_tallies[KEY][ground.proposal_id].voters == [account]
    duty = ground.duty()
    assert (duty.impossible, duty.acceptable) == ("5 usable masked updates, 6 are needed", None)
    ground.masks(ground.members[5])
    ground.work.add(KEY, frozenset(), 100)
    ground.tells_vote(account)
    duty = ground.duty()
    assert (duty.impossible, duty.acceptable) == (None, ground.proposal_id)


def test_a_key_card_that_cannot_be_fetched_is_waited_for_and_a_bad_one_is_not(ground: MaskedGround) -> None:
    own, other = ground.members[:2]
    ground.starts(8, {other: LOST})
    with pytest.raises(BlockMissing):
        ground.mask(own)
    ground.starts(9, {other: ground.party.border.put_bytes(b"no card")})
    ground.masks(own, *ground.members[2:])
    ground.work.add(KEY, frozenset(), 100)
    # Nobody has an edge to the one that did not mask, so that the others are in a sum without it.
    assert ground.duty().impossible is None
    assert reasons(ground) == {}


def test_a_node_masks_anew_on_a_chain_that_was_reorganised_below_the_start(ground: MaskedGround) -> None:
    own = ground.members[0]
    place = slice(12, 44)  # The sheet's hash of context and dealer.
    first = ground.mask(own).head[place]
    assert ground.mask(own).head[place] == first
    ground.starts(8, {})
    assert ground.mask(own).head[place] != first


def test_a_set_that_others_agreed_on_takes_the_place_of_the_own(ground: MaskedGround) -> None:
    ground.masks(*ground.members)
    ground.work.add(KEY, frozenset(), 100)
    left_out = NodeExclusion(node=ground.members[0], reason=ExclusionReason.UNAVAILABLE)
    own = ground.proposal
    ground.tells_survivors(
        SurvivorsProposal(
            global_round=own.global_round,
            regional_round=own.regional_round,
            commitments=own.commitments,
            excluded=(left_out,),
        )
    )
    assert not ground.duty().masked.summed  # type: ignore[union-attr]
    ground.work.add(KEY, frozenset(), 100)
    ground.answers(*ground.members[1:])
    merge = ground.reads()
    assert merge is not None
    assert merge.exclusions == (left_out,)
    assert merge.model is not None
    mean_P = torch.stack([ground.updates[member] for member in ground.members[1:]]).mean(dim=0)
    assert float((merge.model.values_P - mean_P).abs().max()) < 1e-6


def test_an_agreed_survivor_whose_payload_is_gone_is_waited_for(ground: MaskedGround) -> None:
    ground.masks(*ground.members[1:])
    ground.tells_commit(ground.members[0], LOST)
    ground.work.add(KEY, frozenset(), 100)
    own = ground.proposal
    everybody = SurvivorsProposal(
        global_round=own.global_round, regional_round=own.regional_round, commitments=own.commitments, excluded=()
    )
    ground.tells_survivors(everybody)
    with pytest.raises(BlockMissing):
        ground.work.add(KEY, frozenset(), 100)
    assert not ground.duty().masked.summed  # type: ignore[union-attr]


def test_an_answer_that_the_store_lost_is_looked_for_again(ground: MaskedGround) -> None:
    ground.masks(*ground.members)
    ground.agrees()
    ground.answers(*ground.members[:2])
    ground.answers(ground.members[2], put=False)
    assert ground.reads() is None
    assert not ground.duty(100).masked.unread  # type: ignore[union-attr]
    assert ground.duty(101).masked.unread  # type: ignore[union-attr]
    ground.put(ground.members[2])
    assert ground.reads(101) is not None


def test_an_answer_that_does_not_hold_is_left_out_and_its_holder_named(ground: MaskedGround) -> None:
    ground.masks(*ground.members)
    ground.agrees()
    liar, *honest = ground.members
    ground.answers(liar, put=False)
    told = ground.history.unmaskings[KEY]
    told[0] = replace(told[0], digest=ground.region.put_bytes(b"nothing of the kind"))
    ground.answers(*honest)
    assert ground.reads() is not None
    assert reasons(ground) == {liar: "BAD_ANSWER"}


def test_a_node_answers_only_to_survivors_of_the_commits_that_it_sees(ground: MaskedGround) -> None:
    ground.masks(*ground.members)
    ground.work.add(KEY, frozenset(), 100)
    own = ground.proposal
    ground.tells_survivors(
        SurvivorsProposal(
            global_round=own.global_round, regional_round=own.regional_round, commitments=LOST, excluded=()
        )
    )
    with pytest.raises(UnmaskingRefused, match="other commits than the chain shows; nothing is revealed"):
        ground.answers(ground.members[0])
    assert ground.journals[ground.members[0]].answers(JOB) == []


def test_an_answer_helps_with_no_other_survivors_than_those_that_it_was_given_for(ground: MaskedGround) -> None:
    ground.masks(*ground.members)
    ground.agrees()
    node = ground.members[1]
    ground.answers(node)
    ground.maskings[node].require_same_set(KEY)
    # What a chain tells that was reorganised.
    left_out = NodeExclusion(node=ground.members[0], reason=ExclusionReason.MALFORMED)
    ground.tells_survivors(replace(ground.proposal, excluded=(left_out,)))
    with pytest.raises(UnmaskingRefused, match="not those that this node answered to; nothing is revealed"):
        ground.maskings[node].require_same_set(KEY)
    with pytest.raises(UnmaskingRefused, match="another set of survivors"):
        ground.maskings[node].answer(KEY, late=False)


def test_all_payloads_of_a_round_have_one_length(ground: MaskedGround) -> None:
    ground.masks(*ground.members)
    sizes = {ground.region.size_of(event.digest) for event in ground.history.commits_of(KEY)}
    assert len(sizes) == 1
    assert sizes == {ground.maskings[ground.members[0]].payload_bytes(KEY, 1)}


def test_a_key_card_that_is_missing_is_waited_for_before_anything_is_trained(ground: MaskedGround) -> None:
    own, other, missing, _ = ground.members
    border, founders = ground.party.border, ground.history.founders
    assert founders is not None
    digest = founders.cards[ShardIndex(0)][missing]
    card = border.get_bytes(digest, max_bytes=1 << 16)
    border.unpin(digest)
    border.collect()
    with pytest.raises(BlockMissing):
        ground.maskings[own].require_cards(KEY)
    border.put_bytes(card)
    ground.maskings[own].require_cards(KEY)
    ground.masks(own, other)
    assert len(ground.history.commits_of(KEY)) == 2


def test_too_few_proper_key_cards_are_noticed_before_anything_is_trained(ground: MaskedGround) -> None:
    own, _, *spoiled = ground.members
    founders = ground.history.founders
    assert founders is not None
    nothing = ground.party.border.put_bytes(b"no key card")
    founders.cards[ShardIndex(0)].update(dict.fromkeys(spoiled, nothing))
    with pytest.raises(StoreFault, match="key cards of 2 members hold, 3 are needed to mask"):
        ground.maskings[own].require_cards(KEY)
