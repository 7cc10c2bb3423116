"""A whole round: what comes out is the mean of the survivors, whoever drops out and when."""

from __future__ import annotations

import io
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domicile.errors import SecureSumError, UnmaskingRefusal, UnmaskingRefused, UpdateError
from domicile.secure_sum.grid import Quantities
from domicile.secure_sum.masking import masked_bytes
from domicile.secure_sum.sheet import disputed, sheet_bytes
from domicile.secure_sum.unmasking import MaskedSum
from domicile.types import Address
from tests.secure_sum.circle import Circle


def assert_is_the_mean(circle: Circle, survivors: list[Address], answering: list[Address] | None = None) -> None:
    mean = circle.sum(survivors, answering)
    units = sum(circle.units[one] for one in survivors)
    assert mean.units == units
    assert mean.figures["rows"] == units
    expected_loss = sum(circle.losses[one] for one in survivors)
    assert abs(mean.figures["loss"] - expected_loss) <= len(survivors) * 2.0**-17
    bound = len(survivors) * circle.grid.step * circle.weight_units / units
    exact = circle.exact_mean(survivors)
    assert np.all(np.abs(mean.mean_P - exact) <= bound + 2.0**-24 * np.abs(exact))


@pytest.mark.parametrize("num_members", [3, 4, 7, 40])
def test_with_everybody_there_the_mean_comes_out(num_members: int) -> None:
    circle = Circle(num_members, num_values=20_000 if num_members == 4 else 50)
    circle.commit_all()
    assert_is_the_mean(circle, circle.members)


def test_values_on_the_grid_come_out_to_the_bit() -> None:
    circle = Circle(5, num_values=3000, weight_units=1)
    random = np.random.default_rng(3)
    encoded = {one: random.integers(-10_000, 10_000, size=3000) for one in circle.members}
    circle.updates = {one: (values * circle.grid.step).astype(np.float32) for one, values in encoded.items()}
    circle.commit_all()
    survivors = circle.members[:4]
    expected = sum(encoded[one] for one in survivors) * circle.grid.step / 4
    assert np.array_equal(circle.sum(survivors).mean_P, np.asarray(expected).astype(np.float32))


def test_every_pattern_of_drop_outs_of_five_either_comes_out_or_is_refused() -> None:
    """Before the commit, and again between commit and answer: threshold 3 of 5 holders, at most one of 5 left out."""
    circle = Circle(5)
    circle.commit_all()
    outcomes = {True: 0, False: 0}
    for survivors in combinations(circle.members, 3):
        with pytest.raises(UnmaskingRefused, match="3 survivors of 5 members; a sum has at least 4"):
            circle.answer(survivors[0], circle.agreed(survivors))
    for num_survivors in (4, 5):
        for survivors in combinations(circle.members, num_survivors):
            for num_answering in range(num_survivors + 1):
                for answering in combinations(survivors, num_answering):
                    enough = num_answering >= circle.graph.threshold
                    outcomes[enough] += 1
                    if enough:
                        assert_is_the_mean(circle, list(survivors), list(answering))
                    else:
                        with pytest.raises(SecureSumError, match="waiting for more answers"):
                            circle.sum(survivors, answering)
    assert outcomes == {True: 41, False: 71}


@settings(max_examples=12, deadline=None)
@given(st.data())
def test_in_a_sparse_graph_as_many_may_drop_out_as_leave_everybody_a_threshold(data: st.DataObject) -> None:
    circle = Circle(34, num_values=5, seed=data.draw(st.integers(0, 99)))
    gone = data.draw(st.sets(st.sampled_from(circle.members), max_size=10))
    survivors = [one for one in circle.members if one not in gone]
    while lacking := circle.graph.lacking(survivors):
        survivors = [one for one in survivors if one not in lacking]
    circle.commit_all(survivors)
    silent = data.draw(st.sets(st.sampled_from(survivors), max_size=4))
    answering = [one for one in survivors if one not in silent]
    unmasking = circle.unmasking(survivors, answering)
    expected = {}
    for dealer in survivors:
        alive = sum(holder in answering for holder in circle.graph.numbers[dealer])
        if alive < circle.graph.threshold:
            expected[dealer] = circle.graph.threshold - alive
    assert unmasking.lacking == expected
    if not expected:
        assert_is_the_mean(circle, survivors, answering)


def test_a_large_shard_with_drop_outs_before_and_after_the_commit() -> None:
    circle = Circle(64, num_values=100)
    survivors = circle.members[6:]
    circle.commit_all(circle.members[2:])
    assert_is_the_mean(circle, survivors, survivors[5:])


def test_where_more_than_a_third_is_left_out_nobody_answers() -> None:
    """Four of seven hold a threshold of the shares; with three of them corrupt, they would open a single update."""
    circle = Circle(7)
    circle.commit_all()
    survivors = circle.members[:4]
    assert circle.graph.lacking(survivors) == ()
    with pytest.raises(UnmaskingRefused, match="4 survivors of 7 members; a sum has at least 5") as refused:
        circle.answer(survivors[0], circle.agreed(survivors))
    assert refused.value.reason is UnmaskingRefusal.TOO_FEW_SURVIVORS


def test_all_payloads_of_a_round_have_one_length() -> None:
    circle = Circle(6, num_values=1000)
    circle.updates[circle.members[0]][:] = 0
    circle.units[circle.members[1]] = 1
    circle.commit_all()
    circle.commit(circle.members[2], circle.pairs(circle.members[2], _without(circle, circle.members[5])))
    assert {len(raw) for raw in circle.sheets.values()} == {sheet_bytes(6)}
    assert {len(raw) for raw in circle.sealed.values()} == {masked_bytes(4, 1000)}


def test_an_updates_norm_is_clipped_before_it_is_masked() -> None:
    circle = Circle(3, weight_units=1)
    loud = circle.members[0]
    circle.units = dict.fromkeys(circle.members, 1)
    circle.updates[loud] = circle.updates[loud] * np.float32(1000)
    circle.commit_all()
    norm = np.linalg.norm(circle.updates[loud].astype(np.float64))
    circle.updates[loud] = (circle.updates[loud] * (circle.max_norm / norm)).astype(np.float32)
    exact = circle.exact_mean(circle.members)
    assert np.all(np.abs(circle.sum(circle.members).mean_P - exact) <= 2 * circle.grid.step + 2.0**-22 * np.abs(exact))


def test_what_cannot_be_summed_is_refused_before_it_is_masked() -> None:
    circle = Circle(3)
    circle.updates[circle.members[0]][7] = np.nan
    with pytest.raises(UpdateError, match="NaN or infinite"):
        circle.mask(circle.members[0])
    circle.losses[circle.members[1]] = 1e12
    with pytest.raises(UpdateError, match=r"loss is 1e\+12"):
        circle.mask(circle.members[1])


def test_a_masked_update_is_given_out_once_and_never_the_same_again() -> None:
    circle = Circle(3)
    masked = circle.mask(circle.members[0])
    first = b"".join(bytes(chunk) for chunk in masked.chunks())
    with pytest.raises(ValueError, match="come once"):
        next(masked.chunks())
    second = circle.mask(circle.members[0])
    assert second.sheet != masked.sheet
    assert b"".join(bytes(chunk) for chunk in second.chunks()) != first
    assert repr(masked) == f"MaskedUpdate(num_bytes={masked.num_bytes})"


def test_a_member_whose_card_cannot_be_had_is_left_out_by_all_alike() -> None:
    circle = Circle(6)
    lost = circle.members[3]
    for member in circle.members:
        cards = _without(circle, lost) if member != lost else circle.cards
        circle.commit(member, circle.pairs(member, cards))
    assert list(disputed(circle.graph, circle.all_sheets(circle.members))) == [lost]
    assert_is_the_mean(circle, [one for one in circle.members if one != lost])


def test_nobody_masks_with_too_few_cards() -> None:
    circle = Circle(6)
    few = dict(list(circle.cards.items())[:3])
    with pytest.raises(SecureSumError, match="3 of 6 holders have usable key cards, the threshold is 4"):
        circle.mask(circle.members[0], circle.pairs(circle.members[0], few))


def test_a_sum_holds_exactly_the_survivors_and_starts_anew_on_demand() -> None:
    circle = Circle(5)
    circle.commit_all()
    survivors = circle.members[1:]
    unmasking = circle.unmasking(survivors, survivors)
    total = circle.total(circle.members)
    with pytest.raises(ValueError, match="exactly the survivors"):
        total.finish(unmasking)
    with pytest.raises(ValueError, match="added already"):
        total.add(circle.sheet(survivors[0]), io.BytesIO(circle.sealed[survivors[0]]))
    total.reset()
    for member in survivors:
        total.add(circle.sheet(member), io.BytesIO(circle.sealed[member]))
    again = total.finish(unmasking)
    assert np.array_equal(again.mean_P, circle.sum(survivors).mean_P)
    with pytest.raises(ValueError, match="exactly the survivors"):
        total.finish(unmasking)


def test_a_sum_of_other_quantities_does_not_take_the_vector() -> None:
    circle = Circle(3)
    circle.commit_all()
    total = MaskedSum(circle.grid, Quantities((), 3, circle.weight_units), circle.num_values)
    member = circle.members[0]
    with pytest.raises(SecureSumError, match="another layout"):
        total.check(circle.sheet(member), io.BytesIO(circle.sealed[member]))


def _without(circle: Circle, lost: Address) -> dict[Address, bytes]:
    return {one: card for one, card in circle.cards.items() if one != lost}
