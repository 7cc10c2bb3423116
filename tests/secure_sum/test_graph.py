"""The graph: regular, the same for everybody, and with as many neighbours as the tails ask for."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domicile.errors import SecureSumError
from domicile.secure_sum.graph import (
    COMPLETE_MAX,
    GROUP_MIN,
    _tail,
    adds,
    degree_of,
    graph_of,
    threshold_of,
)
from domicile.types import JobId
from tests.secure_sum.circle import CONTEXT, account

DEGREES = {33: 26, 48: 36, 64: 46, 96: 68, 128: 88, 192: 132, 256: 164}
"""As ``docs/secure-aggregation.md`` prints them."""


@pytest.mark.parametrize("num_members", [3, 4, COMPLETE_MAX, COMPLETE_MAX + 1, 64, 256])
def test_a_graph_is_regular_and_mutual(num_members: int) -> None:
    members = [account(number) for number in range(num_members)]
    graph = graph_of(reversed(members), CONTEXT)
    assert graph.members == tuple(members)
    for own in members:
        others = graph.neighbours[own]
        assert len(set(others)) == len(others) == degree_of(num_members)
        assert own not in others
        assert all(own in graph.neighbours[other] for other in others)
        assert sorted((*others, own), key=str.lower) == list(graph.numbers[own])
        assert list(graph.numbers[own].values()) == list(range(1, graph.num_holders + 1))
    assert graph.threshold == threshold_of(degree_of(num_members) + 1)


def test_small_shards_are_complete() -> None:
    assert all(degree_of(number) == number - 1 for number in range(3, COMPLETE_MAX + 1))


def test_degrees_are_those_of_the_document() -> None:
    assert {number: degree_of(number) for number in DEGREES} == DEGREES


def test_one_neighbour_fewer_would_not_do() -> None:
    for number, degree in DEGREES.items():
        risks = []
        for tried in (degree - 2, degree):
            threshold = threshold_of(tried + 1)
            exposed = number * _tail(number - 1, number // 3, tried, threshold - GROUP_MIN + 1)
            failed = number * _tail(number - 1, number // 3, tried, tried + 2 - threshold)
            risks.append(exposed <= Fraction(1, 2**40) and failed <= Fraction(1, 2**20))
        assert risks == [False, True]


def test_the_tail_counts_what_counting_counts() -> None:
    for marked in range(7):
        for drawn in range(1, 7):
            draws = [sum(one < marked for one in draw) for draw in combinations(range(6), drawn)]
            for least in range(drawn + 1):
                assert _tail(6, marked, drawn, least) == Fraction(sum(hit >= least for hit in draws), len(draws))


def test_the_graph_follows_from_job_and_block_and_from_no_round() -> None:
    members = [account(number) for number in range(40)]
    graph = graph_of(members, CONTEXT)
    assert graph_of(members, replace(CONTEXT, global_round=9, regional_round=1)) == graph
    others = [
        graph_of(members, replace(CONTEXT, start=bytes(32))),
        graph_of(members, replace(CONTEXT, job=JobId(8))),
        graph_of(members, replace(CONTEXT, chain_id=1)),
    ]
    for other in others:
        assert other.neighbours != graph.neighbours
        assert other.digest != graph.digest


def test_neighbours_are_spread_evenly_over_blocks() -> None:
    members = [account(number) for number in range(34)]
    hits = dict.fromkeys(members[1:], 0)
    for block in range(400):
        for other in graph_of(members, replace(CONTEXT, start=block.to_bytes(32, "big"))).neighbours[members[0]]:
            hits[other] += 1
    expected = 400 * degree_of(34) / 33
    # 5.5 standard deviations of a binomial count; its variance is at most 400/4.
    assert all(abs(count - expected) < 5.5 * 10 for count in hits.values())


def test_of_two_ends_one_adds() -> None:
    for one, other in combinations([account(number) for number in range(20)], 2):
        assert adds(one, other) != adds(other, one)
    assert adds(account(9), account(10))


@pytest.mark.parametrize(
    ("num_members", "required"), [(3, 3), (4, 3), (5, 4), (6, 4), (7, 5), (8, 6), (9, 6), (10, 7), (32, 22), (256, 171)]
)
def test_no_more_than_a_third_is_left_out(num_members: int, required: int) -> None:
    graph = graph_of([account(number) for number in range(num_members)], CONTEXT)
    assert graph.required_survivors(2) == required
    assert graph.required_survivors(required + 1) == required + 1


def test_a_start_that_is_no_hash_is_refused() -> None:
    with pytest.raises(ValueError, match="the hash of the job's start has 32 bytes, not 31"):
        replace(CONTEXT, start=bytes(31))


@settings(max_examples=50, deadline=None)
@given(st.sets(st.integers(0, 39)))
def test_who_lacks_holders_is_named(alive: set[int]) -> None:
    graph = graph_of([account(number) for number in range(40)], CONTEXT)
    survivors = {account(number) for number in alive}
    lacking = [
        one
        for one in graph.members
        if one in survivors and sum(holder in survivors for holder in graph.numbers[one]) < graph.threshold
    ]
    assert list(graph.lacking(survivors)) == lacking


@pytest.mark.parametrize("numbers", [[], [0, 1], [0, 1, 2, 2]])
def test_too_few_members_or_one_twice_are_refused(numbers: list[int]) -> None:
    with pytest.raises(SecureSumError, match="at least 3, each once"):
        graph_of([account(number) for number in numbers], CONTEXT)
