"""The published figures of FLamby's Fed-Heart-Disease are reached with what ``examples/heart/job.toml`` says.

Shapes: P flat parameters.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from domicile.learning.merging import Accumulator, apply_delta, weight_of
from domicile.learning.model import flatten, load_flat
from domicile.learning.training import evaluate, train
from scripts.sandbox.plan import initial_values, load_plan

FOLDER = Path(__file__).resolve().parents[2] / "examples/heart"
ROWS = {"cleveland": (199, 104), "hungarian": (172, 89), "switzerland": (30, 16), "va": (85, 45)}
"""Training and test rows that FLamby's documentation gives."""

PUBLISHED = {"cleveland": 79, "hungarian": 62, "switzerland": 11, "va": 28}
"""Test patients that FLamby's FedAvg100 of seed 42 gets right."""


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As in a node's daemon; more of them only get in each other's way on a model this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_the_committed_data_is_what_the_script_makes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(FOLDER / "make_data.py"), str(tmp_path)], check=True)
    made = sorted(tmp_path.glob("*.csv"))
    assert len(made) == 8
    assert all(file.read_bytes() == (FOLDER / "data" / file.name).read_bytes() for file in made)


def test_the_job_trains_and_tests_on_flambys_rows_and_columns() -> None:
    plan = load_plan(FOLDER)
    assert {name: (len(data.train[0]), len(data.test[0])) for name, data in plan.data.items()} == ROWS
    assert {data.train[0].shape[1] for data in plan.data.values()} == {13}


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_the_published_figures_are_reached_to_within_two_patients_a_hospital() -> None:
    """The job's rounds in one process: what chain, stores and sealing add does not touch a number."""
    plan = load_plan(FOLDER)
    module, merging = initial_values(plan), plan.job.merging.regional
    model_P = flatten(module)
    for number in range(plan.job.rounds.global_rounds):
        mean = Accumulator(model_P.numel())
        for index, data in enumerate(plan.data.values()):
            load_flat(module, model_P)
            result = train(plan.task, module, data.train, plan.job.training, seed=1000 * number + index)
            mean.add(result.delta_P, weight_of(merging, result.num_examples))
        apply_delta(merging, model_P, mean.mean(), {})
    load_flat(module, model_P)
    right = {name: evaluate(plan.task, module, data.test).correct for name, data in plan.data.items()}
    assert right == {name: pytest.approx(patients, abs=2) for name, patients in PUBLISHED.items()}
