"""What members and the committee may try: found, named where it can be, and never answered with more than the sum."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from domicile.crypto.shares import deal
from domicile.errors import ConfigurationError, SecureSumError, UnmaskingRefusal, UnmaskingRefused
from domicile.secure_sum import sheet
from domicile.secure_sum.answer import HEADER as ANSWER_HEADER
from domicile.secure_sum.answer import Agreed, answer_bytes, answer_for, read_answer, secrets_asked
from domicile.secure_sum.graph import graph_of
from domicile.secure_sum.masking import HEADER
from domicile.secure_sum.seeds import PairSecrets
from domicile.secure_sum.sheet import HEADER as SHEET_HEADER
from domicile.secure_sum.sheet import disputed, open_column, read_sheet, sheet_bytes
from domicile.secure_sum.unmasking import Unmasking
from domicile.types import Address, Digest, JobId, ShardIndex
from tests.secure_sum.circle import BLOCK_HASH, COMMITMENTS, CONTEXT, Circle, account, masking_key

FOREIGN = [
    replace(CONTEXT, chain_id=1),
    replace(CONTEXT, contract=Address("0x" + "c1" * 20)),
    replace(CONTEXT, job=JobId(8)),
    replace(CONTEXT, shard=ShardIndex(1)),
    replace(CONTEXT, global_round=4),
    replace(CONTEXT, regional_round=4),
]


@pytest.fixture
def circle() -> Circle:
    """Six members, threshold 4, the last one did not commit."""
    made = Circle(6)
    made.commit_all(made.members[:5])
    return made


def refusal(circle: Circle, agreed: Agreed, own: int = 0, answered: bytes | None = None) -> UnmaskingRefusal:
    with pytest.raises(UnmaskingRefused, match=r"nothing is revealed$") as refused:
        circle.answer(circle.members[own], agreed, answered)
    return refused.value.reason


class TestLyingCommittee:
    @pytest.mark.parametrize("context", FOREIGN)
    def test_survivors_of_another_round_are_refused(self, circle: Circle, context: object) -> None:
        agreed = replace(circle.agreed(circle.members[:5]), context=context)
        assert refusal(circle, agreed) is UnmaskingRefusal.OTHER_ROUND

    def test_survivors_of_other_commits_are_refused(self, circle: Circle) -> None:
        agreed = replace(circle.agreed(circle.members[:5]), commitments=Digest(bytes(32)))
        assert refusal(circle, agreed) is UnmaskingRefusal.OTHER_COMMITS

    def test_a_second_set_is_refused_and_the_first_one_answered_again(self, circle: Circle) -> None:
        first, second = circle.agreed(circle.members[:5]), circle.agreed(circle.members[:4])
        noted = first.digest(circle.graph)
        assert refusal(circle, second, answered=noted) is UnmaskingRefusal.OTHER_SET
        own = circle.members[0]
        assert circle.answer(own, first, noted) == circle.answer(own, first)
        turned = circle.agreed(circle.members[4::-1])
        assert circle.answer(own, turned, noted) == circle.answer(own, first)

    def test_survivors_from_elsewhere_or_twice_are_refused(self, circle: Circle) -> None:
        for added in (account(99), circle.members[0]):
            agreed = circle.agreed([*circle.members[:4], added])
            assert refusal(circle, agreed) is UnmaskingRefusal.NOT_A_MEMBER

    def test_who_is_left_out_does_not_answer(self, circle: Circle) -> None:
        """Otherwise the survivors of a small group could be unmasked by those who are not in it."""
        assert refusal(circle, circle.agreed(circle.members[1:5])) is UnmaskingRefusal.NOT_A_SURVIVOR

    def test_a_sum_of_too_few_is_refused(self, circle: Circle) -> None:
        assert refusal(circle, circle.agreed(circle.members[:2])) is UnmaskingRefusal.TOO_FEW_SURVIVORS
        with pytest.raises(UnmaskingRefused, match="4 survivors; a sum has at least 5"):
            answer_for(
                circle.agreed(circle.members[:4]),
                graph=circle.graph,
                pairs=circle.pairs(circle.members[0]),
                sheets={},
                commitments=COMMITMENTS,
                min_contributors=5,
                answered=None,
            )

    def test_a_set_that_leaves_somebody_without_holders_is_refused(self, circle: Circle) -> None:
        assert refusal(circle, circle.agreed(circle.members[:3])) is UnmaskingRefusal.BELOW_THRESHOLD

    def test_in_a_sparse_graph_nobody_is_cut_off_from_its_neighbours(self) -> None:
        """A committee that leaves out all neighbours of a member would see that member's own vector."""
        circle = Circle(34, num_values=5)
        victim = circle.members[0]
        far = [one for one in circle.members if one not in circle.graph.neighbours[victim]]
        near = [one for one in circle.members if one != victim and one not in far]
        survivors = [victim, *[one for one in far if one != victim], *near[:13]]
        circle.commit_all(survivors)
        # Fourteen holders are the threshold: thirteen neighbours and itself.
        assert circle.graph.threshold == 14
        assert victim not in circle.graph.lacking(survivors)
        reason = refusal(circle, circle.agreed([one for one in survivors if one != near[0]]))
        assert reason is UnmaskingRefusal.BELOW_THRESHOLD

    @settings(max_examples=60, deadline=None)
    @given(st.integers(3, 40), st.data())
    def test_no_set_asks_for_both_seeds_that_hide_one_vector(self, num_members: int, data: st.DataObject) -> None:
        graph = graph_of([account(number) for number in range(num_members)], BLOCK_HASH, CONTEXT)
        survivors = frozenset(data.draw(st.sets(st.sampled_from(graph.members), min_size=1)))
        for dealer in survivors:
            opened = secrets_asked(graph, survivors, dealer)
            assert opened[0] == 0
            ends = [graph.neighbours[dealer][secret - 1] for secret in opened[1:]]
            assert ends == [one for one in graph.neighbours[dealer] if one not in survivors]


class TestLyingMember:
    def test_an_answer_with_wrong_shares_is_named_and_the_rest_suffices(self, circle: Circle) -> None:
        survivors = circle.members[:5]
        unmasking = circle.unmasking(survivors, survivors[1:])
        liar = survivors[0]
        raw = bytearray(circle.answer(liar, circle.agreed(survivors)))
        raw[-1] ^= 1
        unmasking.take(liar, bytes(raw))
        assert list(unmasking.bad_holders) == [liar]
        assert "not the one that was dealt" in unmasking.bad_holders[liar]
        mean = circle.total(survivors).finish(unmasking)
        assert np.array_equal(mean.mean_P, circle.sum(survivors).mean_P)

    def test_with_more_liars_than_the_threshold_bears_nothing_comes_out(self, circle: Circle) -> None:
        survivors = circle.members[:5]
        unmasking = circle.unmasking(survivors, survivors[:3])
        for liar in survivors[3:]:
            agreed = circle.agreed(survivors)
            raw = circle.answer(liar, agreed)
            unmasking.take(liar, raw[: ANSWER_HEADER.size + 5] + os.urandom(len(raw) - ANSWER_HEADER.size - 5))
        assert set(unmasking.bad_holders) == set(survivors[3:])
        assert unmasking.lacking == dict.fromkeys(survivors, 1)
        with pytest.raises(SecureSumError, match="waiting for more answers"):
            circle.total(survivors).finish(unmasking)

    @pytest.mark.parametrize(
        "spoil",
        [
            lambda raw: b"",
            lambda raw: raw[:-1],
            lambda raw: raw + b"\0",
            lambda raw: b"x" + raw[1:],
            lambda raw: os.urandom(len(raw)),
        ],
    )
    def test_an_answer_that_is_garbage_is_named(self, circle: Circle, spoil: Callable[[bytes], bytes]) -> None:
        survivors = circle.members[:5]
        unmasking = circle.unmasking(survivors, survivors[1:])
        unmasking.take(survivors[0], spoil(circle.answer(survivors[0], circle.agreed(survivors))))
        assert "malformed, or for another round or set" in unmasking.bad_holders[survivors[0]]
        assert unmasking.lacking == {}

    def test_an_answer_of_another_round_set_or_holder_is_not_taken(self, circle: Circle) -> None:
        survivors = circle.members[:5]
        agreed, own = circle.agreed(survivors), survivors[0]
        other = Circle(6, context=FOREIGN[-1])
        other.commit_all(survivors)
        replayed = [
            other.answer(own, other.agreed(survivors)),
            circle.answer(own, circle.agreed(survivors[:4])),
            circle.answer(survivors[1], agreed),
        ]
        for raw in replayed:
            with pytest.raises(SecureSumError, match="malformed, or for another round or set"):
                read_answer(raw, agreed, graph=circle.graph, holder=own)

    def test_the_first_answer_counts_and_that_of_an_outsider_never(self, circle: Circle) -> None:
        survivors = circle.members[:5]
        unmasking = circle.unmasking(survivors, survivors[:4])
        unmasking.take(survivors[0], b"")
        unmasking.take(circle.members[5], b"")
        assert unmasking.bad_holders == {}
        assert unmasking.lacking == {}

    def test_a_column_that_does_not_open_is_complained_of(self, circle: Circle) -> None:
        survivors = circle.members[:5]
        dealer, victim = survivors[0], survivors[1]
        raw = bytearray(circle.sheets[dealer])
        number = circle.graph.numbers[dealer][victim]
        block = (sheet_bytes(6) - SHEET_HEADER.size - 6 * 32) // 6
        raw[SHEET_HEADER.size + 6 * 32 + number * block - 1] ^= 1
        circle.sheets[dealer] = bytes(raw)
        masked = bytearray(circle.sealed[dealer])
        masked[HEADER.size - 32 : HEADER.size] = circle.sheet(dealer).digest
        circle.sealed[dealer] = bytes(masked)
        assert open_column(circle.sheet(dealer), circle.graph, circle.pairs(victim)) is None
        unmasking = circle.unmasking(survivors, survivors)
        assert unmasking.complaints == {dealer: {victim}}
        assert unmasking.bad_holders == {}
        assert len(circle.total(survivors).finish(unmasking).mean_P) == circle.num_values

    def test_a_sheet_that_a_holder_could_not_have_does_not_change_its_answers_length(self, circle: Circle) -> None:
        agreed, own = circle.agreed(circle.members[:4]), circle.members[0]
        whole = circle.answer(own, agreed)
        del circle.sheets[circle.members[1]]
        raw = circle.answer(own, agreed)
        assert len(raw) == len(whole) == answer_bytes(agreed, graph=circle.graph, holder=own)
        assert read_answer(raw, agreed, graph=circle.graph, holder=own).without == (circle.members[1],)

    def test_shares_of_no_secret_name_their_dealer(self, circle: Circle) -> None:
        """Proper hashes of shares that lie on no common polynomial: nobody but the dealer could make them."""
        survivors, dealer = circle.members[:5], circle.members[2]
        raw = bytearray(circle.sheets[dealer])
        raw[SHEET_HEADER.size] ^= 1  # The self mask's check.
        circle.sheets[dealer] = bytes(raw)
        with pytest.raises(SecureSumError, match=f"{dealer} dealt shares that lead to no secret"):
            # The header of a sheet is authenticated with its columns, its checks are not: they still open.
            circle.unmasking(survivors, survivors).masks()

    @pytest.mark.parametrize("spoiled", [0, 3, 6])
    def test_one_share_off_the_polynomial_names_its_dealer_and_stops_nobody(
        self, spoiled: int, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The dealer hashes what it dealt, so that each share is the one that was dealt."""
        circle = Circle(8)
        dealer = circle.members[7]
        circle.commit_all(circle.members[:7])

        def deal_badly(*args: Any) -> NDArray[np.uint8]:
            shares_HSB = deal(*args)
            shares_HSB[spoiled] ^= 1
            return shares_HSB

        monkeypatch.setattr(sheet, "deal", deal_badly)
        circle.commit(dealer)
        everybody = circle.unmasking(circle.members, circle.members)
        assert everybody.unsolved() == []
        assert everybody.bad_dealers <= {dealer}
        mean = circle.total(circle.members).finish(everybody)
        assert np.allclose(mean.mean_P, circle.exact_mean(circle.members), atol=1e-5)
        holders = circle.graph.numbers[dealer]
        deceived = next(one for one, number in holders.items() if number == spoiled + 1)
        others = [one for one in circle.members if one != deceived]
        early = circle.unmasking(circle.members, [deceived, *others[: circle.graph.threshold - 1]])
        assert (early.unsolved(), early.bad_dealers, early.bad_holders) == ([dealer], {dealer}, {})
        with pytest.raises(SecureSumError, match=f"{dealer} dealt shares that lead to no secret; waiting for more"):
            early.masks()
        one_more = others[circle.graph.threshold - 1]
        early.take(one_more, circle.answer(one_more, circle.agreed(circle.members)))
        assert early.unsolved() == []
        assert np.array_equal(circle.total(circle.members).finish(early).mean_P, mean.mean_P)

    def test_masks_with_a_swapped_key_are_found_before_anything_is_unmasked(self) -> None:
        circle = Circle(6)
        circle.commit_all()
        cheated = circle.members[4]
        wrong = {**circle.cards, circle.members[0]: masking_key(77).public_bytes}
        circle.commit(cheated, circle.pairs(cheated, wrong))
        everybody = circle.all_sheets(circle.members)
        # One edge in dispute: nobody can tell who lies about it.
        assert set(disputed(circle.graph, everybody)) == {circle.members[0], cheated}
        wrong = {one: card if one == cheated else masking_key(77).public_bytes for one, card in circle.cards.items()}
        circle.commit(cheated, circle.pairs(cheated, wrong))
        assert list(disputed(circle.graph, circle.all_sheets(circle.members))) == [cheated]

    def test_a_card_that_changed_since_masking_costs_its_own_shares_alone(self, circle: Circle) -> None:
        survivors = circle.members[:5]
        circle.cards[survivors[0]] = masking_key(77).public_bytes
        circle.keys[survivors[0]] = masking_key(77)
        unmasking = circle.unmasking(survivors, survivors)
        assert unmasking.complaints[survivors[0]] == set(survivors)
        assert unmasking.lacking == {survivors[0]: 4}

    def test_a_card_that_is_not_the_own_key_is_told_at_once(self, circle: Circle) -> None:
        own = circle.members[0]
        with pytest.raises(ConfigurationError, match="another masking key than its key file"):
            PairSecrets(own, circle.keys[own], {own: masking_key(9).public_bytes}, CONTEXT)

    @pytest.mark.parametrize("where", ["scalars", "vector", "masks"])
    def test_garbage_in_a_masked_vector_shows_in_the_sum(self, circle: Circle, where: str) -> None:
        survivors = circle.members[:5]
        raw = bytearray(circle.sealed[survivors[3]])
        scalars = HEADER.size + 8 * 4
        if where != "vector":
            raw[HEADER.size : scalars] = os.urandom(32)
        if where != "scalars":
            raw[scalars:] = os.urandom(len(raw) - scalars)
        circle.sealed[survivors[3]] = bytes(raw)
        with pytest.raises(SecureSumError, match="a survivor's masks or values are garbage"):
            circle.sum(survivors)

    @pytest.mark.parametrize(
        ("spoil", "told"),
        [
            (lambda raw: raw[:-1], "1 bytes are missing"),
            (lambda raw: raw[:20], "34 bytes are missing"),
            (lambda raw: raw + b"\0", "bytes follow its end"),
            (lambda raw: b"X" + raw[1:], "another layout"),
            (lambda raw: raw[:30] + bytes(10) + raw[40:], "not the vector of its sheet"),
        ],
    )
    def test_a_malformed_vector_is_named(self, circle: Circle, spoil: Callable[[bytes], bytes], told: str) -> None:
        member = circle.members[0]
        total = circle.total([])
        for act in (total.check, total.add):
            with pytest.raises(SecureSumError, match=f"the masked update of {member} does not hold .*{told}"):
                act(circle.sheet(member), io.BytesIO(spoil(circle.sealed[member])))

    def test_a_sum_that_met_an_error_is_not_finished(self, circle: Circle) -> None:
        survivors = circle.members[:5]
        total, sheet = circle.total(survivors[:4]), circle.sheet(survivors[4])
        with pytest.raises(SecureSumError, match="are missing"):
            total.add(sheet, io.BytesIO(circle.sealed[survivors[4]][:-4]))
        with pytest.raises(ValueError, match="add them anew"):
            total.finish(circle.unmasking(survivors, survivors))

    @pytest.mark.parametrize(
        ("spoil", "told"),
        [
            (lambda raw: b"", "0 bytes"),
            (lambda raw: raw + b"\0", "are expected"),
            (lambda raw: b"X" + raw[1:], "no sheet of this version"),
            (lambda raw: raw[:9] + b"\2" + raw[10:], "no sheet of this version"),
            (lambda raw: raw[:20] + bytes(8) + raw[28:], "another round or another dealer"),
            (lambda raw: raw[:50] + bytes(8) + raw[58:], "another graph"),
            (lambda raw: raw[: SHEET_HEADER.size] + bytes(32) + raw[SHEET_HEADER.size + 32 :], "no self mask"),
        ],
    )
    def test_a_malformed_sheet_is_named(self, circle: Circle, spoil: Callable[[bytes], bytes], told: str) -> None:
        member = circle.members[0]
        with pytest.raises(SecureSumError, match=f"the sheet of {member} does not hold .*{told}"):
            read_sheet(spoil(circle.sheets[member]), circle.graph, CONTEXT, member)

    @pytest.mark.parametrize("context", FOREIGN)
    def test_a_sheet_of_another_round_is_replayed_in_vain(self, circle: Circle, context: object) -> None:
        member = circle.members[0]
        with pytest.raises(SecureSumError, match="another round"):
            read_sheet(circle.sheets[member], circle.graph, context, member)  # type: ignore[arg-type]

    def test_a_sheet_copied_from_another_member_does_not_hold(self, circle: Circle) -> None:
        with pytest.raises(SecureSumError, match="another dealer"):
            read_sheet(circle.sheets[circle.members[1]], circle.graph, CONTEXT, circle.members[0])

    @settings(max_examples=60, deadline=None)
    @given(st.binary(max_size=4000))
    def test_whatever_somebody_sends_has_a_name(self, raw: bytes) -> None:
        graph = graph_of([account(number) for number in range(4)], BLOCK_HASH, CONTEXT)
        agreed = Agreed(context=CONTEXT, commitments=COMMITMENTS, survivors=graph.members)
        for size in (sheet_bytes(4), answer_bytes(agreed, graph=graph, holder=account(0))):
            padded = raw.ljust(size, b"\1")[:size]
            with pytest.raises(SecureSumError):
                read_sheet(padded, graph, CONTEXT, account(0))
            with pytest.raises(SecureSumError):
                read_answer(padded, agreed, graph=graph, holder=account(0))

    def test_an_unmasking_without_a_commit_of_a_survivor_is_our_bug(self, circle: Circle) -> None:
        sheets = circle.all_sheets(circle.members[:4])
        with pytest.raises(KeyError):
            Unmasking(circle.agreed(circle.members[:5]), graph=circle.graph, sheets=sheets)


def test_secrets_of_a_pair_are_equal_at_both_ends_and_unlike_all_others() -> None:
    circle = Circle(4)
    one, other, third = circle.members[:3]
    seed = circle.pairs(one).edge_seed(other)
    assert circle.pairs(other).edge_seed(one) == seed
    key = circle.pairs(one).column_key(one, other, bytes(32))
    assert circle.pairs(other).column_key(one, other, bytes(32)) == key
    different = {
        circle.pairs(one).edge_seed(third),
        key,
        circle.pairs(one).column_key(other, one, bytes(32)),
        circle.pairs(one).column_key(one, other, b"\1" * 32),
        *(PairSecrets(one, circle.keys[one], circle.cards, context).edge_seed(other) for context in FOREIGN),
    }
    assert seed not in different
    assert len(different) == 4 + len(FOREIGN)


def test_an_answer_holds_what_the_set_asks_for() -> None:
    circle = Circle(4)
    circle.commit_all(circle.members[:3])
    agreed = circle.agreed(circle.members[:3])
    holder = circle.members[0]
    answer = read_answer(circle.answer(holder, agreed), agreed, graph=circle.graph, holder=holder)
    # Of each survivor its self mask, and its edge to the one who is missing, its third neighbour.
    assert list(answer.shares) == circle.members[:3]
    assert all(set(shares) == {0, 3} for shares in answer.shares.values())
