"""The folder list is the architecture: packages are imported from this tree and nowhere else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.mark.parametrize("package", ["domicile", "node", "aggregator", "scripts"])
def test_a_package_is_imported_from_this_tree_from_any_folder(package: str, tmp_path: Path) -> None:
    code = f"import {package}; print({package}.__file__)"
    found = subprocess.run([sys.executable, "-I", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert Path(found.stdout.strip()) == ROOT / package / "__init__.py"


@pytest.mark.parametrize("package", ["domicile", "node", "aggregator", "scripts"])
def test_importing_a_package_loads_neither_torch_nor_web3(package: str) -> None:
    code = f"import {package}, sys; print([m for m in ('torch', 'web3') if m in sys.modules])"
    found = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_no_daemon_can_be_ended_by_nested_json() -> None:
    code = "import json, node.daemon, aggregator.daemon, scripts.main; json.loads('[' * 10_000_000)"
    ended = subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr.splitlines()[-1].partition(":")[0]) == (1, "RecursionError")
