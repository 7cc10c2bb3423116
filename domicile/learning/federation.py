"""A job's rounds in one process, where all data lies on one machine: what nodes and committees compute, without chain
and stores.

Shapes: P flat parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

import torch

from domicile.learning.merging import Accumulator, apply_delta, new_state, weight_of
from domicile.learning.settings import MergingSettings
from domicile.learning.training import TrainingResult

ShardRounds = Mapping[int, Sequence[str]]
"""Numbers of the regional rounds of one shard within a global round, and whose updates were merged in each."""

GlobalRounds = Sequence[Sequence[ShardRounds]]
"""For each global round the shards that reported."""


class LocalUpdate(Protocol):
    """What a node makes of a round's model, which stays as it is."""

    def __call__(self, node: str, base_P: torch.Tensor, global_round: int, regional_round: int) -> TrainingResult: ...


def train_federated(
    initial_P: torch.Tensor,
    rounds: GlobalRounds,
    update: LocalUpdate,
    *,
    regional: MergingSettings,
    worldwide: MergingSettings,
) -> torch.Tensor:
    """The last global model, shape ``(P,)``: that of the committees to the bit, where shards come in the job's order
    and nodes in ascending order of address.
    """
    model_P = initial_P.clone()
    state = new_state(worldwide, model_P.numel())
    for global_round, shards in enumerate(rounds):
        mean = Accumulator(model_P.numel())
        for shard in shards:
            regional_P, num_examples = _regional_model(model_P, shard, update, global_round, regional)
            mean.add(regional_P.sub_(model_P), weight_of(worldwide, num_examples))
        apply_delta(worldwide, model_P, mean.mean(), state)
    return model_P


def _regional_model(
    base_P: torch.Tensor, rounds: ShardRounds, update: LocalUpdate, global_round: int, settings: MergingSettings
) -> tuple[torch.Tensor, int]:
    """A shard's model, and the number of rows behind its last round, by which it weighs."""
    model_P = base_P.clone()
    state = new_state(settings, model_P.numel())
    num_examples = 0
    for regional_round, nodes in rounds.items():
        mean = Accumulator(model_P.numel())
        results = [update(node, model_P, global_round, regional_round) for node in nodes]
        for result in results:
            mean.add(result.delta_P, weight_of(settings, result.num_examples))
        apply_delta(settings, model_P, mean.mean(), state)
        num_examples = sum(result.num_examples for result in results)
    return model_P, num_examples
