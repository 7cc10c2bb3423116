"""What goes into a secure sum: one node's clipped and weighed update, with the figures that go along as whole numbers.

Figures are summed like everything else, so that nobody learns a node's rows, weight or loss. P: flat parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Self

import torch

from domicile.errors import UpdateError
from domicile.learning.model import ROWS_MAX, Figures, l2_norm
from domicile.learning.secure.settings import SecureSettings
from domicile.learning.training import Evaluation, TrainingResult

SCALAR_RING = 1 << 64
"""Scalars are added modulo this."""

LOSS_UNIT = 2.0**-20
LOSS_MAX = 1 << 54
"""In units; what a node has lost beyond it is said as this. 256 nodes' sum stays below the ring's half."""

CLIP_MARGIN = 1 - 2.0**-20
"""Scaling rounds each value to float32; with it no norm comes to lie above the bound again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scalars:
    """Whole numbers of one node, or their sums over several, in the order in which they are masked.

    `weight`: units of 1 / `max_weight`. Losses are in `LOSS_UNIT`. The `num_...` fields count the nodes that told
    something, so that a sum says whether all did: a test split was measured, or a loss is one of a classification.
    """

    weight: int
    num_examples: int
    validation_loss: int
    validation_count: int
    validation_correct: int
    num_validation_correct: int
    num_tested: int
    test_loss: int
    test_count: int
    test_correct: int
    num_test_correct: int

    @classmethod
    def of(cls, weight: int, num_examples: int, validation: Evaluation, test: Evaluation | None) -> Self:
        return cls(
            weight=weight,
            num_examples=num_examples,
            validation_loss=_units(validation.loss_sum),
            validation_count=validation.count,
            validation_correct=validation.correct or 0,
            num_validation_correct=int(validation.correct is not None),
            num_tested=int(test is not None),
            test_loss=0 if test is None else _units(test.loss_sum),
            test_count=0 if test is None else test.count,
            test_correct=0 if test is None else test.correct or 0,
            num_test_correct=int(test is not None and test.correct is not None),
        )

    def to_ints(self) -> tuple[int, ...]:
        return tuple(getattr(self, field.name) for field in fields(self))

    @classmethod
    def from_ints(cls, numbers: Sequence[int]) -> Self:
        return cls(**dict(zip((field.name for field in fields(cls)), numbers, strict=True)))


NUM_SCALARS = len(fields(Scalars))


@dataclass(frozen=True, kw_only=True, slots=True)
class Contribution:
    """`weighed_P`: the clipped delta times weight / `max_weight`, of L2 norm at most the job's bound."""

    weighed_P: torch.Tensor
    scalars: Scalars


@dataclass(frozen=True, kw_only=True, slots=True)
class SummedFigures:
    """What a sum tells of all its nodes together. `weight`: in whole nodes of the greatest weight."""

    weight: float
    num_examples: int
    validation: Figures
    test: Figures | None


class SumOutOfRange(UpdateError):
    """A sum is none that these nodes can have made: somebody among them masked with other secrets than it dealt, or
    gave figures that no rows have. Masks hide who.
    """


def max_weight(secure: SecureSettings | None) -> int:
    """The greatest weight of a node; without weights by samples all have it."""
    return 1 if secure is None else secure.max_examples


def contribute(
    result: TrainingResult,
    validation: Evaluation,
    test: Evaluation | None,
    *,
    secure: SecureSettings | None,
    max_update_norm: float,
) -> Contribution:
    """Clips and weighs what a node trained; scales `result.delta_P` in place."""
    most = max_weight(secure)
    weight = min(result.num_examples, most)
    norm = l2_norm(result.delta_P)
    clipping = 1.0 if norm <= max_update_norm else max_update_norm / norm * CLIP_MARGIN
    result.delta_P.mul_(weight / most * clipping)
    scalars = Scalars.of(weight, result.num_examples, validation, test)
    return Contribution(weighed_P=result.delta_P, scalars=scalars)


def read_sums(numbers: Sequence[int], *, num_nodes: int, secure: SecureSettings | None) -> SummedFigures:
    """Takes the unmasked scalars of so many nodes apart.

    Raises:
        SumOutOfRange: no nodes that keep the rules can have these.
    """
    sums = Scalars.from_ints(numbers)
    most = max_weight(secure)
    limits = {
        "weight": (num_nodes, num_nodes * most),
        "num_examples": (num_nodes, ROWS_MAX),
        "validation_loss": (0, num_nodes * LOSS_MAX),
        "validation_count": (0, ROWS_MAX),
        "validation_correct": (0, sums.validation_count),
        "num_validation_correct": (0, num_nodes),
        "num_tested": (0, num_nodes),
        "test_loss": (0, num_nodes * LOSS_MAX),
        "test_count": (0, ROWS_MAX),
        "test_correct": (0, sums.test_count),
        "num_test_correct": (0, sums.num_tested),
    }
    for name, (least, greatest) in limits.items():
        if not least <= getattr(sums, name) <= greatest:
            raise SumOutOfRange(
                f"the sum's {name} is outside {least} to {greatest}: some node among its {num_nodes} masked with other "
                "secrets than it dealt; its owner must mend it, or leave the job"
            )
    return SummedFigures(
        weight=sums.weight / most,
        num_examples=sums.num_examples,
        validation=_figures(
            sums.validation_loss,
            sums.validation_count,
            sums.validation_correct if sums.num_validation_correct == num_nodes else None,
        ),
        test=None
        if sums.num_tested != num_nodes
        else _figures(
            sums.test_loss, sums.test_count, sums.test_correct if sums.num_test_correct == num_nodes else None
        ),
    )


def _units(loss_sum: float) -> int:
    return min(round(loss_sum / LOSS_UNIT), LOSS_MAX)


def _figures(loss: int, count: int, correct: int | None) -> Figures:
    return Figures(loss_sum=loss * LOSS_UNIT, correct=correct, count=count)
