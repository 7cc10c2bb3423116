"""A robust job of three regions, one of which learned the opposite, as real processes.

Shapes: P flat parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from domicile.models import JobModels, open_job_models
from domicile.protocol.round import JobPhase
from domicile.types import ShardIndex
from scripts.sandbox.run import Outcome
from scripts.status import snapshot_lines
from tests.end_to_end.conftest import Arena, SmallNetwork

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(240)]

HOSTILE = ("i", "j", "k")
MEMBERS = {"EU": "agg-1", "US": "agg-us", "IN": "agg-in"}
ROBUST = """min_shards = 3
[robust]
rule = "median"
num_hostile = 1
regions = { rule = "median", num_hostile = 1 }
"""


@dataclass(kw_only=True)
class ThreeRegions(SmallNetwork):
    """Beside ``EU`` and ``US`` there is ``IN``, whose rows have the other label, each of them."""

    us_nodes: tuple[str, ...] = ("u", "v", "w")
    aggregation: str = "robust"
    extra_job: str = ROBUST

    def write(self, folder: Path) -> Path:
        super().write(folder)
        lines = ["[[jurisdictions]]", 'code = "IN"', "[[aggregators]]", 'name = "agg-in"', 'jurisdiction = "IN"']
        for name, model in zip(HOSTILE, self.us_nodes, strict=True):
            head, *rows = (folder / f"{model}.csv").read_text(encoding="utf-8").split()
            flipped = [f"{row[:-1]}{1 - int(row[-1])}" for row in rows]
            (folder / f"{name}.csv").write_text("\n".join([head, *flipped]) + "\n", encoding="utf-8")
            lines += ["[[nodes]]", f'name = "{name}"', 'jurisdiction = "IN"', f'train = "{name}.csv"']
        lines += ["[committees.IN]", 'members = ["agg-in"]']
        network, job = folder / "network.toml", folder / "job.toml"
        network.write_text(network.read_text(encoding="utf-8") + "\n".join(lines) + "\n", encoding="utf-8")
        text = job.read_text(encoding="utf-8")
        assert '["EU", "US"]' in text
        job.write_text(text.replace('["EU", "US"]', '["EU", "US", "IN"]'), encoding="utf-8")
        return folder


def regional_model(field: Arena, outcome: Outcome, shard: int, name: str) -> torch.Tensor:
    """As a member of its committee opens it."""
    party, history = field.liar(name), outcome.observer.history
    models: JobModels = open_job_models(party, outcome.job, history, outcome.models.spec)
    values_P = torch.empty(models.layout.num_parameters)
    assert party.region is not None
    models.regional_model(party.region, (ShardIndex(shard), 0, 0), values_P)
    return values_P


def test_a_hostile_region_steers_no_merge_of_regions_by_their_median(arena) -> None:
    field = arena(ThreeRegions(global_rounds=1, window_s=60))
    told: list[str] = []

    def note(view) -> None:
        told[:] = snapshot_lines(view)

    outcome = field.run(note)
    assert outcome.observer.history.job_phases[-1].phase is JobPhase.COMPLETE
    assert outcome.lineage.verified, outcome.lineage.problems
    rule = "median against 1 hostile"
    assert f"  aggregation: robust, updates are merged by {rule} node, regions by {rule} region" in told
    regions_RP = torch.stack(
        [regional_model(field, outcome, shard, name) for shard, name in enumerate(MEMBERS.values())]
    )
    final_P = torch.empty(outcome.models.layout.num_parameters)
    outcome.models.global_model(0, final_P)
    # The sum of two features decides the target; the hostile region learned that it decides against it.
    assert (regions_RP[:2, :2] > 0).all()
    assert (regions_RP[2, :2] < 0).all()
    torch.testing.assert_close(final_P, regions_RP.median(dim=0).values, rtol=1e-5, atol=1e-6)
    assert (final_P[:2] > 0).all()
