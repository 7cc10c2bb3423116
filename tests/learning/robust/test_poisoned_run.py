"""A poisoned job, from training to the global model: what a defence is worth."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.poisoning.clinics import CLINICS, open_clinics
from benchmarks.poisoning.federation import Attack, Defence, Federation
from domicile.learning.robust.settings import RobustRule

PLAIN = Defence(name="none")
NODES = RobustRule(rule="trimmed_mean", num_hostile=3)
SCALED = Attack(name="labels flipped, × 10", num_hostile=3, flips_labels=True, factor=10.0)
REGION = Attack(name="a region", num_hostile=CLINICS, region=True, flips_labels=True, factor=10.0)


@pytest.mark.slow
def test_three_of_ten_that_shout_ruin_a_plain_job_and_no_robust_one(tmp_path: Path) -> None:
    federation = Federation(*open_clinics(tmp_path, 0), tmp_path, 0)
    assert federation.accuracy(SCALED, PLAIN) < 0.5
    assert federation.accuracy(SCALED, Defence(name="nodes", rule=NODES)) > 0.9


@pytest.mark.slow
def test_a_whole_region_that_shouts_is_a_matter_for_the_global_committee(tmp_path: Path) -> None:
    federation = Federation(*open_clinics(tmp_path, 0), tmp_path, 0)
    regions = RobustRule(rule="median", num_hostile=1)
    assert federation.accuracy(REGION, Defence(name="nodes", rule=NODES)) < 0.5
    assert federation.accuracy(REGION, Defence(name="both", rule=NODES, regions=regions)) > 0.9
