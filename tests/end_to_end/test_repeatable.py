"""A whole job twice: pictures at three nodes, from two TOML files, and the same bits both times."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(150)]

ROOT = Path(__file__).resolve().parents[2]
NODES = ("a", "b", "c")
STEPS, GLOBAL_ROUNDS = 20, 3

NETWORK = """
block_time_s = 0.2
[[jurisdictions]]
code = "EU"
[[aggregators]]
name = "agg"
jurisdiction = "EU"
[committees.EU]
members = ["agg"]
[global_committee]
members = ["agg"]
"""

JOB = f"""
name = "digits"
seed = 5
sensitivity = "personal"
shards = ["EU"]
[task]
use = "images"
[task.options]
classes = {json.dumps([str(label) for label in range(10)])}
height = 8
width = 8
widths = [8, 16]
[training]
steps = {STEPS}
optimizer = "adam"
learning_rate = 0.01
[merging.global]
strategy = "fedavgm"
momentum = 0.5
[rounds]
global = {GLOBAL_ROUNDS}
"""


def write_network(folder: Path) -> Path:
    """Each node has pictures of all digits, but hardly any of those that the others have."""
    digits = load_digits()
    own = {"a": (0, 1, 2, 3), "b": (4, 5, 6), "c": (7, 8, 9)}
    folder.mkdir()
    network = NETWORK
    for number, name in enumerate(NODES):
        rows = [
            index
            for index, label in enumerate(digits.target[:1200])
            if index % 3 == number and (label in own[name] or index % 5 == 0)
        ]
        np.savez(folder / f"{name}.npz", x=(digits.images[rows] * 15.9).astype(np.uint8), y=digits.target[rows])
        network += f'[[nodes]]\nname = "{name}"\njurisdiction = "EU"\ntrain = "{name}.npz"\n'
    (folder / "network.toml").write_text(network, encoding="utf-8")
    (folder / "job.toml").write_text(JOB, encoding="utf-8")
    return folder


def run(folder: Path, out: Path) -> dict[str, Any]:
    """The report of one run."""
    command = [sys.executable, "-m", "scripts.main", "sandbox", str(folder), "--out", str(out)]
    done = subprocess.run(
        [*command, "--json", str(out) + ".json"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(Path(str(out) + ".json").read_text(encoding="utf-8"))


def test_pictures_are_learned_together_and_a_second_run_gives_the_same_bits(tmp_path: Path) -> None:
    folder = write_network(tmp_path / "network")
    first, second = run(folder, tmp_path / "first"), run(folder, tmp_path / "second")
    losses = {column: [node["metrics"][column]["loss"] for node in first["nodes"]] for column in ("global", "local")}
    assert all(node["metrics"]["global"]["accuracy"] > 0.7 for node in first["nodes"])
    assert sum(losses["global"]) < 0.9 * sum(losses["local"])
    # The local-only and the pooled model take this many too.
    assert {node["num_steps"] for node in first["nodes"]} == {STEPS * GLOBAL_ROUNDS}
    assert (tmp_path / "first" / "model.safetensors").read_bytes() == (
        tmp_path / "second" / "model.safetensors"
    ).read_bytes()
    assert first["nodes"] == second["nodes"]
    assert _models(first) == _models(second)
    assert len(_models(first)) == 2 * GLOBAL_ROUNDS
    assert None not in _models(first)


def _models(report: dict[str, Any]) -> list[str]:
    """Digests of all accepted models, plain: sealing draws fresh keys, so that payloads differ."""
    return [one["model"] for one in (*report["regional_rounds"], *report["rounds"])]
