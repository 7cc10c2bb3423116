"""A global committee member's derivation where a whole region may be hostile, from sealed exports on.

Shapes: P flat parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from aggregator.dispatch import Dispatch
from aggregator.journal import AggregatorJournal
from aggregator.worldwide import GlobalMerge, GlobalWork
from domicile.chain.events import ModelExported, RegionalModelAccepted
from domicile.crypto.context import PayloadKind
from domicile.crypto.keys import KeyCard
from domicile.exchange import seal_model
from domicile.learning.model import ROWS_MAX, ModelFile, ModelMetadata
from domicile.learning.robust.settings import RobustRule, RobustSettings
from domicile.learning.settings import MergingSettings
from domicile.outbox import Outbox
from domicile.protocol.round import ExclusionReason
from domicile.types import JurisdictionCode, ShardIndex
from tests.aggregator.regional_ground import JOB, RegionalGround, origin

NUM_PARAMETERS = 50
UNIFORM = MergingSettings(weighting="uniform")


def merged(folder: Path, regional: Sequence[torch.Tensor], regions: RobustRule | None) -> GlobalMerge:
    """What a member makes of regional models that started from zeros; the second claims all rows there are."""
    robust = RobustSettings(rule="median", num_hostile=1, regions=regions)
    ground = RegionalGround(folder, NUM_PARAMETERS, UNIFORM, aggregation="robust", robust=robust)
    outbox = Outbox(folder / "journal.sqlite")
    for number, model_P in enumerate(regional):
        _export(ground, outbox, ShardIndex(number), model_P)
    journal = AggregatorJournal(folder / "journal.sqlite")
    dispatch = Dispatch(ground.party, journal, outbox, JOB, ground.models.history)
    return GlobalWork(ground.party, journal, dispatch, ground.models)._merge(0)


def _export(ground: RegionalGround, outbox: Outbox, shard: ShardIndex, model_P: torch.Tensor) -> None:
    exporter = ground.party.sender.address
    file = ModelFile(layout=ground.layout, metadata=ModelMetadata(num_examples=ROWS_MAX if shard == 1 else 10))
    card = KeyCard.of(ground.party.hpke, address=exporter, software="test")
    context = ground.models.context(PayloadKind.EXPORT, shard, 0, 1, exporter)
    sealed = seal_model(outbox, file, model_P, recipients=[card], context=context)
    outbox.deliver(sealed.digest, ground.party.border)
    said = {"global_round": 0, "contributors": 3, "model": file.digest(model_P), "payload": sealed.digest}
    accepted = RegionalModelAccepted(**origin(), shard=shard, regional_round=1, loss_micros=0, **said)
    exported = ModelExported(**origin(), shard=shard, exporter=exporter, jurisdiction=JurisdictionCode("EU"), **said)
    ground.models.history.apply(accepted)
    ground.models.history.apply(exported)


def models(count: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    regional = [torch.randn(NUM_PARAMETERS, generator=generator) for _ in range(count)]
    regional[1] = torch.full((NUM_PARAMETERS,), 1e9)
    return regional


def test_a_hostile_region_steers_a_plain_mean_and_no_median_of_regions(tmp_path: Path) -> None:
    regional = models(3)
    robust = merged(tmp_path / "robust", regional, RobustRule(rule="median", num_hostile=1)).model
    plain = merged(tmp_path / "plain", regional, None).model
    assert robust is not None
    assert plain is not None
    assert torch.equal(robust.values_P, torch.stack(regional).median(0).values)
    assert float(plain.values_P.min()) > 1e8


def test_krum_takes_one_of_five_regional_models_as_it_is(tmp_path: Path) -> None:
    regional = models(5)
    merge = merged(tmp_path, regional, RobustRule(rule="krum", num_hostile=1))
    assert merge.model is not None
    chosen = [number for number, model_P in enumerate(regional) if torch.equal(model_P, merge.model.values_P)]
    assert len(chosen) == 1
    assert chosen != [1]


def test_a_region_above_the_bound_is_left_out_by_name(tmp_path: Path) -> None:
    rule = RobustRule(rule="median", num_hostile=1, max_norm_ratio=10.0, above_norm="leave_out")
    regional = models(4)
    merge = merged(tmp_path, regional, rule)
    assert [(one.subject, one.reason) for one in merge.excluded] == [("1", ExclusionReason.NORM_EXCEEDED)]
    assert merge.exclusions[0].shard == 1
    assert merge.model is not None
    assert torch.equal(merge.model.values_P, torch.stack([*regional[:1], *regional[2:]]).median(0).values)
    assert merge.model.file.metadata.num_examples == 30


@pytest.mark.parametrize("count", [2, 3])
def test_too_few_regions_are_refused_by_name(tmp_path: Path, count: int) -> None:
    merge = merged(tmp_path, models(count), RobustRule(rule="krum", num_hostile=1))
    assert merge.model is None
    told = f"krum against 1 hostile needs 5 contributions (n >= 2f + 3), {count} are usable"
    assert merge.impossible == told
