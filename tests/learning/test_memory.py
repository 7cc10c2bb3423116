"""Models are counted before anything is allocated."""

from __future__ import annotations

import io
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from domicile.errors import ConfigurationError
from domicile.learning.images import Images
from domicile.learning.memory import DoesNotFit, planned_layout, require_fits, within_memory
from domicile.learning.model import ModelError, ModelLayout, layout_of, read_layout
from domicile.learning.tabular import Tabular

ROOT = Path(__file__).resolve().parents[2]
WIDE = {"target": "y", "features": ["x"], "model": "mlp", "hidden": [1 << 16, 1 << 16]}


@pytest.mark.parametrize(
    "task",
    [
        Tabular({"target": "y", "features": ["x", "z"], "model": "mlp", "hidden": [5, 4]}),
        Images({"classes": ["a", "b"], "height": 8, "width": 8}),
    ],
    ids=["tabular", "images"],
)
def test_the_planned_layout_is_that_of_the_model(task: Tabular | Images) -> None:
    assert planned_layout(task) == layout_of(task.build_model())


def test_a_model_of_four_thousand_million_parameters_is_counted_and_refused_without_its_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    layout = planned_layout(Tabular(WIDE))
    assert layout.num_parameters > 1 << 32
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10
    with pytest.raises(DoesNotFit, match=r"limits\.max_parameters"):
        require_fits(layout, layout.num_parameters - 1)
    require_fits(layout, layout.num_parameters)


class Peeking:
    """A task whose model depends on values of tensors."""

    def build_model(self) -> torch.nn.Module:
        return torch.nn.Linear(int(torch.ones(1)), 1)


def test_a_model_that_cannot_be_counted_is_named() -> None:
    with pytest.raises(ConfigurationError, match="meta device"):
        planned_layout(Peeking())  # type: ignore[arg-type]


EXHAUSTED = """
import resource, torch
from domicile.learning.memory import DoesNotFit, within_memory
resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
try:
    with within_memory():
        torch.empty(1 << 34)
except DoesNotFit as exc:
    print(exc)
"""


def test_an_allocation_that_fails_is_the_jobs_matter_and_a_bug_is_not() -> None:
    done = subprocess.run([sys.executable, "-c", EXHAUSTED], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "more memory than this machine has" in done.stdout
    with pytest.raises(RuntimeError, match="shapes"), within_memory():
        raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")


@pytest.mark.parametrize("size", [-1, 1e400], ids=["negative", "infinite"])
def test_a_header_with_an_impossible_size_is_refused(size: float) -> None:
    header = ModelLayout(entries=(("w", (7,)),)).header
    told = b"-1" if size == -1 else b"1e400"
    text = header[8:].replace(b"[7]", b"[" + told + b"]").replace(b"[0,28]", b"[0,-4]")
    raw = len(text).to_bytes(8, "little") + text
    with pytest.raises(ModelError, match="ask the job's owner"):
        read_layout(io.BytesIO(raw))  # type: ignore[arg-type]
