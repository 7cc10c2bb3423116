"""Shadow models of a job's global rounds: what one node's rows do to its update, and to the model that all get.

Shapes: P flat parameters, S shadow models, N rows.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch

from domicile.leakage.local import LocalTraining
from domicile.leakage.roc import Array
from domicile.leakage.rows import confidences
from domicile.learning.merging import apply_delta, new_state
from domicile.learning.settings import MergingSettings
from domicile.learning.task import Split


@dataclass(frozen=True, kw_only=True)
class ReleasedRound:
    """A global round as a member sees it. `base_P` is the model that it started from, `model_P` the one that it made.

    `own_weight`: this node's share in the merge of all; `num_others`: how many others there were. `num_regional`:
    regional rounds of this node's shard. `state`: the global optimiser's, from the base model's file.
    """

    global_round: int
    base_P: torch.Tensor
    model_P: torch.Tensor
    own_weight: float
    num_others: int
    num_regional: int
    state: Mapping[str, torch.Tensor] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class RoundConfidences:
    """Of each row: by the released model, by models with one shadow update, and by models merged from several."""

    released_N: Array
    updated_SN: Array
    merged_SN: Array


@dataclass(frozen=True, kw_only=True)
class ShadowFederation:
    """The job replayed with shadow nodes. Each is trained on its half of this node's rows; in a shadow merge it has
    this node's weight, and other shadow nodes stand for the others, whose rows no member knows.
    """

    training: LocalTraining
    rows: Split
    member_SN: Array
    regional_merging: MergingSettings
    global_merging: MergingSettings
    seed: int

    def replay(self, released: ReleasedRound, step: Callable[[], None]) -> RoundConfidences:
        """Trains all shadow nodes from the released base; `step` is called after each.

        Raises:
            Divergence: a shadow model is not finite.
        """
        deltas_SP = torch.stack([self._delta(shadow, released, step) for shadow in range(len(self.member_SN))])
        merged = (self._merged(mean_P, released) for mean_P in self._means(deltas_SP, released))
        return RoundConfidences(
            released_N=self._confidences(released.model_P),
            updated_SN=np.stack([self._confidences(released.base_P + delta_P) for delta_P in deltas_SP]),
            merged_SN=np.stack([self._confidences(model_P) for model_P in merged]),
        )

    def _delta(self, shadow: int, released: ReleasedRound, step: Callable[[], None]) -> torch.Tensor:
        """Regional rounds are trained on end, as if the region's merges in between were this node's own models."""
        own = torch.from_numpy(self.member_SN[shadow])
        half = self.rows[0][own], self.rows[1][own]
        model_P = released.base_P.clone()
        for regional_round in range(released.num_regional):
            seed = (self.seed, released.global_round, regional_round, shadow)
            model_P += self.training.update(model_P, half, seed=_mixed(*seed))
        step()
        return model_P.sub_(released.base_P)

    def _means(self, deltas_SP: torch.Tensor, released: ReleasedRound) -> torch.Tensor:
        """Each shadow node's update merged with those of others, shape ``(S, P)``."""
        if not released.num_others:
            return deltas_SP
        generator = np.random.default_rng([self.seed, released.global_round])
        num_shadows = len(deltas_SP)
        shares_SS = np.zeros((num_shadows, num_shadows), dtype=np.float32)
        for shadow in range(num_shadows):
            strangers = np.delete(np.arange(num_shadows), shadow)
            others = generator.choice(strangers, released.num_others, replace=released.num_others > len(strangers))
            np.add.at(shares_SS[shadow], others, (1 - released.own_weight) / released.num_others)
            shares_SS[shadow, shadow] = released.own_weight
        return torch.from_numpy(shares_SS) @ deltas_SP

    def _merged(self, mean_P: torch.Tensor, released: ReleasedRound) -> torch.Tensor:
        """The regional optimiser's step, from its start, then the global one's."""
        region_P = released.base_P.clone()
        apply_delta(self.regional_merging, region_P, mean_P, new_state(self.regional_merging, len(mean_P)))
        model_P = released.base_P.clone()
        state = {slot: values_P.clone() for slot, values_P in released.state.items()}
        state = state or new_state(self.global_merging, len(mean_P))
        apply_delta(self.global_merging, model_P, region_P.sub_(released.base_P), state)
        return model_P

    def _confidences(self, model_P: torch.Tensor) -> Array:
        return confidences(self.training.task, self.training.module, model_P, self.rows).numpy()


def _mixed(*parts: int) -> int:
    """A seed of 63 bits for one shadow node in one round."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))
