"""What a node gives to a secure sum is bounded, and what the sum tells is what the nodes would have told one by one."""

from __future__ import annotations

import math
import random
from dataclasses import replace

import pytest
import torch

from domicile.learning.model import l2_norm
from domicile.learning.secure.contribution import (
    LOSS_MAX,
    LOSS_UNIT,
    SCALAR_RING,
    Contribution,
    Scalars,
    SumOutOfRange,
    contribute,
    read_sums,
)
from domicile.learning.secure.settings import SecureSettings
from domicile.learning.training import Evaluation, TrainingResult

BOUND = 2.0
SECURE = SecureSettings(max_examples=50)


def result(values: list[float], num_examples: int = 10) -> TrainingResult:
    return TrainingResult(delta_P=torch.tensor(values), num_examples=num_examples, num_steps=3, training_loss=0.7)


def figures(loss_sum: float, count: int, correct: int | None = None) -> Evaluation:
    return Evaluation(metrics={}, loss_sum=loss_sum, correct=correct, count=count)


def given(
    values: list[float],
    num_examples: int = 10,
    *,
    validation: Evaluation | None = None,
    test: Evaluation | None = None,
    secure: SecureSettings | None = SECURE,
) -> Contribution:
    return contribute(
        result(values, num_examples), validation or figures(1.5, 4, 3), test, secure=secure, max_update_norm=BOUND
    )


def summed(*parts: Contribution) -> list[int]:
    columns = zip(*(part.scalars.to_ints() for part in parts), strict=True)
    return [sum(column) % SCALAR_RING for column in columns]


def test_an_update_below_the_bound_is_only_weighed() -> None:
    assert given([0.5, -1.0], 25).weighed_P.tolist() == [0.25, -0.5]
    assert given([0.5, -1.0], 25, secure=None).weighed_P.tolist() == [0.5, -1.0]


def test_no_update_comes_to_lie_above_the_bound_and_its_direction_stays() -> None:
    generator = random.Random(0)  # noqa: S311 - values of a test
    for size in (1, 7, 1000):
        for scale in (1e-3, 1.0, 1e6, 1e30):
            values = [generator.gauss(0, scale) for _ in range(size)]
            before, after_P = torch.tensor(values), given(values, 50).weighed_P
            assert l2_norm(after_P) <= BOUND
            cosine = torch.dot(before.double(), after_P.double()) / l2_norm(before) / l2_norm(after_P)
            assert float(cosine) == pytest.approx(1.0, abs=1e-6)
            if l2_norm(before) > BOUND:
                assert l2_norm(after_P) == pytest.approx(BOUND, rel=1e-5)


def test_more_rows_than_the_most_count_as_the_most_and_are_told_as_they_are() -> None:
    scalars = given([1.0], 51).scalars
    assert (scalars.weight, scalars.num_examples) == (50, 51)


def test_a_sum_tells_what_all_nodes_together_have() -> None:
    parts = (
        given([0.1], 10, validation=figures(1.5, 4, 3), test=figures(2.25, 5, 2)),
        given([0.1], 40, validation=figures(0.125, 2, 2), test=figures(1.0, 6, 6)),
    )
    found = read_sums(summed(*parts), num_nodes=2, secure=SECURE)
    assert (found.weight, found.num_examples) == (1.0, 50)
    assert (found.validation.loss_sum, found.validation.count, found.validation.correct) == (1.625, 6, 5)
    assert found.test is not None
    assert (found.test.loss_sum, found.test.count, found.test.correct) == (3.25, 11, 8)


def test_what_not_all_of_them_told_is_not_told_of_their_sum() -> None:
    tested = given([0.1], test=figures(1.0, 2, 1))
    assert read_sums(summed(tested, given([0.1])), num_nodes=2, secure=SECURE).test is None
    regression = given([0.1], validation=figures(1.0, 2))
    assert read_sums(summed(tested, regression), num_nodes=2, secure=SECURE).validation.correct is None


def test_a_loss_is_exact_to_its_unit_and_what_is_too_large_is_said_as_the_most() -> None:
    scalars = given([0.1], validation=figures(math.pi, 1)).scalars
    assert abs(scalars.validation_loss * LOSS_UNIT - math.pi) <= LOSS_UNIT / 2
    assert given([0.1], validation=figures(1e300, 1)).scalars.validation_loss == LOSS_MAX
    assert 256 * LOSS_MAX < SCALAR_RING // 2


@pytest.mark.parametrize("name", list(Scalars.__dataclass_fields__))
def test_a_sum_that_no_nodes_can_have_is_refused_by_what_is_wrong_with_it(name: str) -> None:
    good = Scalars.from_ints(summed(given([0.1], test=figures(1.0, 2, 1)), given([0.1], test=figures(1.0, 2, 1))))
    for wrong in (SCALAR_RING - 1, 1 << 62):
        spoiled = replace(good, **{name: wrong})
        with pytest.raises(SumOutOfRange, match=r"outside .* masked with other secrets than it dealt"):
            read_sums(spoiled.to_ints(), num_nodes=2, secure=SECURE)


def test_the_weight_of_a_sum_is_between_the_least_and_the_most_of_so_many_nodes() -> None:
    two = summed(given([0.1], 1), given([0.1], 50))
    assert read_sums(two, num_nodes=2, secure=SECURE).weight == pytest.approx(1.02)
    for num_nodes in (1, 52):
        with pytest.raises(SumOutOfRange, match="weight"):
            read_sums(two, num_nodes=num_nodes, secure=SECURE)
