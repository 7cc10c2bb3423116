"""The figures that go into a secure sum beside an update: of a node's rows, loss and hits only sums are learned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from domicile.errors import SecureSumError
from domicile.learning.model import ROWS_MAX, Figures
from domicile.learning.training import Evaluation
from domicile.secure_sum.grid import Quantity

LOSS_STEP = 2.0**-20
LOSS_MAX = 2.0**33
"""Of one node's rows together; what is larger is said as this. The sum of 256 nodes has room in 64 bits."""

NUM_EXAMPLES = "training rows"
SPLITS = ("validation", "test")

QUANTITIES: tuple[Quantity, ...] = (
    Quantity(name=NUM_EXAMPLES, maximum=ROWS_MAX),
    *(
        quantity
        for split in SPLITS
        for quantity in (
            # How many nodes told something says whether all did: a split was measured, its loss is a classification's.
            Quantity(name=f"{split}s told", maximum=1),
            Quantity(name=f"{split} rows", maximum=ROWS_MAX),
            Quantity(name=f"{split} loss", step=LOSS_STEP, maximum=LOSS_MAX),
            Quantity(name=f"{split} hits told", maximum=1),
            Quantity(name=f"{split} hits", maximum=ROWS_MAX),
        )
    ),
)


def told_by(num_examples: int, validation: Evaluation, test: Evaluation | None) -> dict[str, float]:
    """What one node puts into the sum."""
    return {NUM_EXAMPLES: num_examples, **_told("validation", validation), **_told("test", test)}


@dataclass(frozen=True, kw_only=True, slots=True)
class SummedFigures:
    """What a sum tells of all its nodes together; a figure that not all of them told is `None`."""

    num_examples: int
    validation: Figures
    test: Figures | None

    @classmethod
    def withheld(cls, num_nodes: int) -> Self:
        """Where nodes tell nothing of their rows: each counts as one."""
        return cls(num_examples=num_nodes, validation=Figures(loss_sum=0.0, count=0), test=None)

    @classmethod
    def of(cls, sums: Mapping[str, float], num_nodes: int) -> Self:
        """Takes the unmasked sums of so many nodes apart.

        Raises:
            SecureSumError: no nodes have these figures together.
        """
        validation, test = (_summed(split, sums, num_nodes) for split in SPLITS)
        num_examples = int(sums[NUM_EXAMPLES])
        if validation is None or not num_nodes <= num_examples <= ROWS_MAX:
            raise _garbage("its rows")
        return cls(num_examples=num_examples, validation=validation, test=test)


def _told(split: str, evaluation: Evaluation | None) -> dict[str, float]:
    correct = None if evaluation is None else evaluation.correct
    return {
        f"{split}s told": int(evaluation is not None),
        f"{split} rows": 0 if evaluation is None else evaluation.count,
        f"{split} loss": 0.0 if evaluation is None else min(evaluation.loss_sum, LOSS_MAX),
        f"{split} hits told": int(correct is not None),
        f"{split} hits": correct or 0,
    }


def _summed(split: str, sums: Mapping[str, float], num_nodes: int) -> Figures | None:
    told, hits_told = int(sums[f"{split}s told"]), int(sums[f"{split} hits told"])
    count, hits, loss = int(sums[f"{split} rows"]), int(sums[f"{split} hits"]), sums[f"{split} loss"]
    if not (0 <= hits_told <= told and 0 <= hits <= count <= ROWS_MAX and loss >= 0):
        raise _garbage(f"its figures of {split} rows")
    if told != num_nodes:
        return None
    return Figures(loss_sum=loss, correct=hits if hits_told == num_nodes else None, count=count)


def _garbage(what: str) -> SecureSumError:
    return SecureSumError(f"the unmasked sum does not hold ({what}); some survivor's figures are garbage")
