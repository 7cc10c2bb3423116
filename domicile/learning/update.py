"""A node's update as bytes: a metadata block of fixed size, then a safetensors file of the delta.

The length depends on the job's model alone, so that it tells nothing about a node. P: flat parameters.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from pydantic import Field, ValidationError

from domicile.errors import UpdateError
from domicile.learning.model import (
    ROWS_MAX,
    Figures,
    ModelError,
    ModelLayout,
    Source,
    l2_norm,
    model_chunks,
    read_exactly,
)
from domicile.learning.training import Evaluation, TrainingResult
from domicile.protocol.round import ExclusionReason
from domicile.settings import Settings, describe

METADATA_BYTES = 4096


class InvalidUpdate(UpdateError):
    """`reason` is what a committee member records when it leaves the update out."""

    def __init__(self, message: str, reason: ExclusionReason) -> None:
        super().__init__(message)
        self.reason = reason


class UpdateMetadata(Settings):
    """`validation` and `test` are of the model that the node started from; `test` only if that is a global model.
    `training_loss` is `None` in a job with privacy, whose noise does not cover it.
    """

    num_examples: int = Field(ge=1, le=ROWS_MAX)
    num_steps: int = Field(ge=1, le=ROWS_MAX)
    training_loss: float | None = Field(allow_inf_nan=False)
    validation: Figures
    test: Figures | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Update:
    """`delta_P`: trained minus base model."""

    delta_P: torch.Tensor
    metadata: UpdateMetadata

    @property
    def num_steps(self) -> int:
        return self.metadata.num_steps

    @classmethod
    def of(cls, result: TrainingResult, *, validation: Evaluation, test: Evaluation | None = None) -> Update:
        metadata = UpdateMetadata(
            num_examples=result.num_examples,
            num_steps=result.num_steps,
            training_loss=result.training_loss,
            validation=_figures(validation),
            test=None if test is None else _figures(test),
        )
        return cls(delta_P=result.delta_P, metadata=metadata)


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedUpdate:
    """An update ready to be sealed."""

    layout: ModelLayout
    block: bytes
    delta_P: torch.Tensor

    @property
    def head(self) -> bytes:
        """Nothing of it stands in the open."""
        return b""

    @property
    def num_bytes(self) -> int:
        return update_bytes(self.layout)

    def chunks(self) -> Iterator[memoryview]:
        yield memoryview(self.block)
        yield from model_chunks(self.layout, self.delta_P)


def update_bytes(layout: ModelLayout) -> int:
    """Plain size of any update of this layout."""
    return METADATA_BYTES + layout.file_bytes


def encode_update(layout: ModelLayout, update: Update) -> EncodedUpdate:
    """Metadata block and delta."""
    table = update.metadata.model_dump(mode="json")
    text = json.dumps(table, sort_keys=True, separators=(",", ":")).encode()
    return EncodedUpdate(layout=layout, block=text.ljust(METADATA_BYTES), delta_P=update.delta_P)


def read_update(
    source: Source, layout: ModelLayout, out_P: torch.Tensor, *, max_norm: float | None = None
) -> UpdateMetadata:
    """Reads an update that somebody else made; its delta goes into `out_P`.

    Raises:
        InvalidUpdate: malformed, of another layout, not finite, or its L2 norm exceeds `max_norm`.
    """
    block = bytearray(METADATA_BYTES)
    try:
        read_exactly(source, memoryview(block))
        metadata = _parse(bytes(block))
        file = layout.read(source, out_P)
    except ModelError as exc:
        raise InvalidUpdate(f"malformed update: {exc}", ExclusionReason.MALFORMED) from exc
    if file.state:
        raise InvalidUpdate("an update carries no server state; drop it", ExclusionReason.MALFORMED)
    norm = l2_norm(out_P)
    if not math.isfinite(norm):
        raise InvalidUpdate("the update holds NaN or infinite values; train anew", ExclusionReason.NOT_FINITE)
    if max_norm is not None and norm > max_norm:
        message = f"the update's norm {norm:.6g} exceeds {max_norm:.6g}; lower the learning rate or raise the bound"
        raise InvalidUpdate(message, ExclusionReason.NORM_EXCEEDED)
    return metadata


def _parse(block: bytes) -> UpdateMetadata:
    try:
        metadata = UpdateMetadata.model_validate_json(block)
    except ValidationError as exc:
        raise InvalidUpdate(f"update metadata: {describe(exc, UpdateMetadata)}", ExclusionReason.MALFORMED) from exc
    for figures in (metadata.validation, metadata.test):
        if figures is not None and (figures.correct or 0) > figures.count:
            raise InvalidUpdate("update metadata: more rows correct than counted", ExclusionReason.MALFORMED)
    return metadata


def _figures(evaluation: Evaluation) -> Figures:
    return Figures(loss_sum=evaluation.loss_sum, correct=evaluation.correct, count=evaluation.count)
