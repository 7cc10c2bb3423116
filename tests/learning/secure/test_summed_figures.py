"""What the sum tells is what the nodes would have told one by one."""

from __future__ import annotations

import math
from collections import Counter

import pytest

from domicile.errors import SecureSumError
from domicile.learning.model import ROWS_MAX
from domicile.learning.secure.figures import LOSS_MAX, LOSS_STEP, NUM_EXAMPLES, QUANTITIES, SummedFigures, told_by
from domicile.learning.training import Evaluation
from domicile.secure_sum.grid import Quantities


def figures(loss_sum: float, count: int, correct: int | None = None) -> Evaluation:
    return Evaluation(metrics={}, loss_sum=loss_sum, correct=correct, count=count)


CLASSIFIED = figures(1.5, 4, 3)


def summed(*parts: dict[str, float]) -> dict[str, float]:
    sums: Counter[str] = Counter()
    for part in parts:
        sums.update(part)  # type: ignore[arg-type]
    return dict(sums)


def test_a_node_tells_a_value_of_every_quantity_and_of_no_other() -> None:
    for test in (None, CLASSIFIED, figures(1.0, 0)):
        assert list(told_by(10, CLASSIFIED, test)) == [one.name for one in QUANTITIES]


def test_a_sum_tells_what_all_nodes_together_have() -> None:
    parts = (told_by(10, CLASSIFIED, figures(2.25, 5, 2)), told_by(40, figures(0.125, 2, 2), figures(1.0, 6, 6)))
    found = SummedFigures.of(summed(*parts), 2)
    assert found.num_examples == 50
    assert (found.validation.loss_sum, found.validation.count, found.validation.correct) == (1.625, 6, 5)
    assert found.test is not None
    assert (found.test.loss_sum, found.test.count, found.test.correct) == (3.25, 11, 8)


def test_what_not_all_of_them_told_is_not_told_of_their_sum() -> None:
    tested, untested = told_by(1, CLASSIFIED, figures(1.0, 2, 1)), told_by(1, CLASSIFIED, None)
    assert SummedFigures.of(summed(tested, untested), 2).test is None
    regression = told_by(1, figures(1.0, 2), None)
    assert SummedFigures.of(summed(untested, regression), 2).validation.correct is None


def test_a_loss_is_exact_to_its_step_and_what_is_too_large_is_said_as_the_most() -> None:
    quantities = Quantities(QUANTITIES, 256, 1)
    for loss, expected in ((math.pi, math.pi), (1e300, LOSS_MAX)):
        words = quantities.encode(1, told_by(1, figures(loss, 1), None))
        decoded = {one.name: one.decode(int(word), 1) for one, word in zip(quantities.all, words, strict=True)}
        assert decoded["validation loss"] == pytest.approx(expected, abs=LOSS_STEP / 2)


GOOD = summed(told_by(3, CLASSIFIED, CLASSIFIED), told_by(4, CLASSIFIED, CLASSIFIED))
WRONG = {
    NUM_EXAMPLES: (1, -7, ROWS_MAX + 1),
    "validations told": (1, 3),
    "validation rows": (5, -8, ROWS_MAX + 1),
    "validation loss": (-LOSS_STEP,),
    "validation hits told": (3, -1),
    "validation hits": (9, -1),
    "test rows": (5,),
    "test loss": (-1.0,),
    "test hits told": (3,),
    "test hits": (9,),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in WRONG.items() for value in values])
def test_figures_that_no_nodes_have_together_are_refused(name: str, value: float) -> None:
    SummedFigures.of(GOOD, 2)
    with pytest.raises(SecureSumError, match=r"does not hold .* some survivor's figures are garbage"):
        SummedFigures.of({**GOOD, name: value}, 2)
