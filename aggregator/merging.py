"""What a committee member derives by itself before it votes: shared by regional and global committees.

Memory: one merger's result and one buffer of the model's size, whatever the number of updates, besides the state that a
server optimiser keeps, and the tiles of a robust merge. Shapes: P flat parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from domicile.clock import JobClock
from domicile.learning.merging import Accumulator, Merger, apply_delta, new_state
from domicile.learning.model import ModelFile, ModelMetadata
from domicile.learning.robust.merger import RobustMerger
from domicile.learning.settings import MergingSettings
from domicile.models import JobModels
from domicile.protocol.round import ExclusionReason
from domicile.types import Digest


@dataclass(frozen=True, kw_only=True, slots=True)
class LeftOut:
    """Who is left out of a merge, and why; `detail` is for people and stays in the journal."""

    subject: str
    reason: ExclusionReason
    detail: str


class Looks:
    """This member's looks at the store for what its merges of one round at a time miss."""

    def __init__(self) -> None:
        self._round: object = None
        self._excluded: frozenset[tuple[str, ExclusionReason]] = frozenset()
        self.again_s: float | None = None
        """When to look again, on the chain's clock; `None` where the last merge missed nothing."""
        self.looked_again = False
        """Whether what the last merge misses was missing at the look before it too."""

    def note(self, of: object, excluded: Sequence[LeftOut], now_s: int, clock: JobClock) -> list[LeftOut]:
        """Notes a merge that is done; returns what the look before it did not leave out for the same reason."""
        before = self._excluded if self._round == of else frozenset()
        self._round = of
        self._excluded = frozenset((one.subject, one.reason) for one in excluded)
        missing = {one for one in self._excluded if one[1] is ExclusionReason.UNAVAILABLE}
        self.again_s = now_s + clock.look_again_s if missing else None
        self.looked_again = missing <= before
        return [one for one in excluded if (one.subject, one.reason) not in before]


@dataclass(frozen=True, kw_only=True, slots=True)
class MergedModel:
    """A model derived from a round's contributions."""

    file: ModelFile
    values_P: torch.Tensor
    digest: Digest


def regional_merger(models: JobModels, folder: Path) -> Merger:
    """What merges a shard's updates by the job's rule; a robust one keeps them in a nameless file of `folder`."""
    spec, num_parameters = models.spec, models.layout.num_parameters
    if spec.robust is None:
        return Accumulator(num_parameters)
    return RobustMerger(
        spec.robust, num_parameters, folder, max_norm=spec.max_update_norm, num_averaged=models.min_contributors
    )


def global_merger(models: JobModels, folder: Path) -> Merger:
    """What merges the regional models. Their changes have no `max_update_norm`, which is of one round's updates."""
    spec, num_parameters = models.spec, models.layout.num_parameters
    if spec.robust is None or spec.robust.regions is None:
        return Accumulator(num_parameters)
    return RobustMerger(spec.robust.regions, num_parameters, folder)


def merge_into(
    settings: MergingSettings,
    base: ModelFile,
    base_P: torch.Tensor,
    mean_P: torch.Tensor,
    metadata: ModelMetadata,
    *,
    keep_state: bool,
) -> MergedModel:
    """One server step from a base model, in place in `base_P`.

    `keep_state` goes on with the state that the base carries; otherwise the optimiser starts anew.
    """
    state: Mapping[str, torch.Tensor] = base.state if keep_state and tuple(base.state) == settings.slots else {}
    carried = dict(state) or new_state(settings, base_P.numel())
    apply_delta(settings, base_P, mean_P, carried)
    file = ModelFile(layout=base.layout, state=carried, metadata=metadata)
    return MergedModel(file=file, values_P=base_P, digest=file.digest(base_P))
