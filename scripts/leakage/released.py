"""The global models of a job in which a node had a part, with its share in each."""

from __future__ import annotations

import torch

from domicile.errors import BlockMissing, ConfigurationError
from domicile.history import JobHistory
from domicile.leakage.shadows import ReleasedRound
from domicile.learning.model import ModelFile
from domicile.models import JobModels
from domicile.types import Address, ShardIndex


def shard_of(history: JobHistory, own: Address) -> ShardIndex:
    """The shard of a member.

    Raises:
        ConfigurationError: the node is none.
    """
    shard = history.members.get(own)
    if shard is None:
        raise ConfigurationError(
            f"{own} is no member of job {history.created.job}, so that its rows are in none of its models; name the "
            "configuration of a member"
        )
    return shard


def released_rounds(models: JobModels, own: Address, *, num_rows: int) -> list[ReleasedRound]:
    """In order; left out is what this node had no part in, and what is no longer stored.

    Raises:
        ConfigurationError: nothing is left; PeerError: a model does not hold.
    """
    history, found = models.history, []
    shard = shard_of(history, own)
    for number in sorted(history.global_models):
        if shard not in history.exports.get(number, {}) or not _took_part(history, own, shard, number):
            continue
        base_P, model_P = (torch.empty(models.layout.num_parameters) for _ in range(2))
        try:
            base = models.global_model(number - 1, base_P)
            made = models.global_model(number, model_P)
        except BlockMissing:
            continue
        weight, num_others = _share(models, shard, number, made, num_rows)
        found.append(
            ReleasedRound(
                global_round=number,
                base_P=base_P,
                model_P=model_P,
                own_weight=weight,
                num_others=num_others,
                num_regional=sum(key[:2] == (shard, number) for key in history.regional_models),
                state=base.state,
            )
        )
    if not found:
        raise ConfigurationError(
            f"job {history.created.job}: no global model that this node had a part in is stored; wait for the first, "
            f"`domicile job status {history.created.job}` tells when"
        )
    return found


def _took_part(history: JobHistory, own: Address, shard: ShardIndex, number: int) -> bool:
    return any(
        one.node == own for key, commits in history.commits.items() if key[:2] == (shard, number) for one in commits
    )


def _share(models: JobModels, shard: ShardIndex, number: int, made: ModelFile, num_rows: int) -> tuple[float, int]:
    """This node's weight among all that were merged, and how many others there were.

    The number of a region's rows is told to nobody outside it: where regions count alike and nodes do not, or the other
    way round, all nodes are taken to have as many rows as their mean.
    """
    exports = models.history.exports[number]
    in_region, in_all = exports[shard].contributors, sum(one.contributors for one in exports.values())
    all_rows = max(made.metadata.num_examples, num_rows)
    region_rows = max(all_rows * in_region / in_all, float(num_rows))
    by_rows = models.spec.regional_merging.weighting == "samples"
    in_region_weight = num_rows / region_rows if by_rows else 1 / in_region
    by_rows = models.spec.global_merging.weighting == "samples"
    region_weight = region_rows / all_rows if by_rows else 1 / len(exports)
    return in_region_weight * region_weight, in_all - 1
