"""What a committee member derives by itself before it votes: shared by regional and global committees.

Memory: one accumulator and one buffer of the model's size, whatever the number of updates, besides the state that a
server optimiser keeps. Shapes: P flat parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from domicile.learning.merging import Accumulator, apply_delta, new_state
from domicile.learning.model import ModelFile, ModelMetadata
from domicile.learning.settings import MergingSettings
from domicile.protocol.round import ExclusionReason
from domicile.types import Digest


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """Who is left out of a merge, and why; `detail` is for people and stays in the journal."""

    subject: str
    reason: ExclusionReason
    detail: str


@dataclass(frozen=True, kw_only=True, slots=True)
class MergedModel:
    """A model derived from a round's contributions."""

    file: ModelFile
    values_P: torch.Tensor
    digest: Digest


def merge_into(
    settings: MergingSettings,
    base: ModelFile,
    base_P: torch.Tensor,
    mean: Accumulator,
    metadata: ModelMetadata,
    *,
    keep_state: bool,
) -> MergedModel:
    """One server step from a base model, in place in `base_P`.

    `keep_state` goes on with the state that the base carries; otherwise the optimiser starts anew.
    """
    state: Mapping[str, torch.Tensor] = base.state if keep_state and tuple(base.state) == settings.slots else {}
    carried = dict(state) or new_state(settings, base_P.numel())
    apply_delta(settings, base_P, mean.mean(), carried)
    file = ModelFile(layout=base.layout, state=carried, metadata=metadata)
    return MergedModel(file=file, values_P=base_P, digest=file.digest(base_P))
