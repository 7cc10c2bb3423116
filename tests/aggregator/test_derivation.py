"""A committee member's derivation of a regional round: what spoils an update, and what merging costs.

Shapes: P flat parameters.
"""

from __future__ import annotations

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from domicile.learning.model import PIECE, ROWS_MAX, Figures, ModelMetadata
from domicile.learning.settings import MergingSettings
from domicile.protocol.round import NO_LOSS, ExclusionReason
from domicile.types import Address
from tests.aggregator.regional_ground import KEY, RegionalGround

ROOT = Path(__file__).resolve().parents[2]
LARGE = 3 * PIECE + 5
"""More parameters than are ever handled at a time, and a rest."""


def deltas(count: int, num_parameters: int = LARGE) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(num_parameters, generator=generator) for _ in range(count)]


@pytest.mark.parametrize("position", [0, PIECE, LARGE - 1], ids=["first", "second piece", "last"])
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_one_value_that_is_not_finite_is_found_wherever_it_lies_and_leaves_no_trace(
    tmp_path: Path, value: float, position: int
) -> None:
    good = deltas(3)
    bad_P = 1e6 * torch.ones(LARGE)
    bad_P[position] = value
    spoiled, clean = RegionalGround(tmp_path / "spoiled", LARGE), RegionalGround(tmp_path / "clean", LARGE)
    spoiler = spoiled.commit(1, bad_P)
    for number, delta_P in zip((0, 2, 3), good, strict=True):
        spoiled.commit(number, delta_P)
        clean.commit(number, delta_P)
    found, expected = spoiled.derive(), clean.derive()
    assert [(one.subject, one.reason) for one in found.excluded] == [(spoiler, ExclusionReason.NOT_FINITE)]
    assert found.model is not None
    assert expected.model is not None
    assert found.model.digest == expected.model.digest
    assert found.contributors == 3


def test_a_payload_that_is_longer_than_any_update_is_left_out_and_not_read(tmp_path: Path) -> None:
    ground = RegionalGround(tmp_path, 50)
    for number, delta_P in enumerate(deltas(3, num_parameters=50)):
        ground.commit(number, delta_P)
    assert ground.party.region is not None
    commits = ground.models.history.commits_of(KEY)
    endless = ground.party.region.put_bytes(bytes(5 << 20))
    commits.append(replace(commits[0], node=Address("0x" + "9" * 40), digest=endless))
    merge = ground.derive()
    assert [(one.subject, one.reason) for one in merge.excluded] == [("0x" + "9" * 40, ExclusionReason.MALFORMED)]
    assert merge.contributors == 3


def test_the_order_of_the_commits_does_not_change_a_bit(tmp_path: Path) -> None:
    updates = deltas(4, num_parameters=1000)
    digests = set()
    for name, order in (("up", (0, 1, 2, 3)), ("down", (3, 2, 1, 0))):
        ground = RegionalGround(tmp_path / name, 1000)
        for number in order:
            ground.commit(number, updates[number], num_examples=10 + number)
        model = ground.derive().model
        assert model is not None
        digests.add(model.digest)
    assert len(digests) == 1


@pytest.mark.parametrize("weighting", ["samples", "uniform"])
def test_updates_count_by_their_rows_or_all_the_same(tmp_path: Path, weighting: str) -> None:
    updates, rows = deltas(3, num_parameters=50), [5, 10, 85]
    ground = RegionalGround(tmp_path, 50, MergingSettings.model_validate({"weighting": weighting}))
    for number, delta_P in enumerate(updates):
        ground.commit(number, delta_P, num_examples=rows[number])
    model = ground.derive().model
    assert model is not None
    shares = [0.05, 0.1, 0.85] if weighting == "samples" else [1 / 3] * 3
    expected_P = sum(share * delta_P.double() for share, delta_P in zip(shares, updates, strict=True))
    assert torch.allclose(model.values_P.double(), expected_P, atol=1e-6)
    assert model.file.metadata.num_examples == 100


def test_a_node_that_claims_the_most_of_everything_ends_nobody(tmp_path: Path) -> None:
    ground = RegionalGround(tmp_path, 5)
    boast = Figures(loss_sum=sys.float_info.max, correct=ROWS_MAX, count=ROWS_MAX)
    for number, delta_P in enumerate(deltas(3, num_parameters=5)):
        ground.commit(number, delta_P, num_examples=ROWS_MAX, figures=boast)
    merge = ground.derive()
    assert merge.model is not None
    assert merge.model.file.metadata == ModelMetadata(num_examples=ROWS_MAX, test=boast)
    assert merge.loss_micros == NO_LOSS - 1


PEAKS = """
import resource, sys, torch
from pathlib import Path
from tests.aggregator.regional_ground import RegionalGround

def peak_bytes(num_nodes):
    ground = RegionalGround(Path(sys.argv[1]) / str(num_nodes), int(sys.argv[2]))
    for number in range(num_nodes):
        ground.commit(number, torch.ones(int(sys.argv[2])))
    merge = ground.derive()
    assert merge.contributors == num_nodes and float(merge.model.values_P.min()) == 1.0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

print(peak_bytes(3), peak_bytes(10))
"""
"""A process of its own, since a peak never falls again; few nodes first."""


@pytest.mark.slow
def test_the_peak_of_memory_is_the_same_for_three_nodes_and_for_ten(tmp_path: Path) -> None:
    num_parameters = 2_000_000
    done = subprocess.run(
        [sys.executable, "-c", PEAKS, str(tmp_path), str(num_parameters)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    few, many = map(int, done.stdout.split())
    # Seven more updates that stayed in memory would take seven times the model.
    assert many - few < 2 * 4 * num_parameters
