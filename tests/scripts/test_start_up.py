"""A command imports what it needs and no more: whole packages cost seconds on a machine that is at work."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = {"aiohttp", "cryptography", "eth_account", "prometheus_client", "py_ecc", "pydantic", "torch", "web3"}


def imported(code: str) -> set[str]:
    """Packages that are there once some code ran, in a process of its own."""
    told = f"{code}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"
    done = subprocess.run([sys.executable, "-c", told], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize("arguments", [["--help"], ["node", "status", "--help"], ["job", "create", "--help"]])
def test_help_comes_without_a_chain_a_key_or_a_model(arguments: list[str]) -> None:
    run = f"from scripts.command import cli\ncli({arguments!r}, prog_name='domicile', standalone_mode=False)"
    assert imported(run) & HEAVY == set()


def test_whoever_only_looks_at_a_party_waits_for_no_torch() -> None:
    looks = "import scripts.party_verbs, scripts.party_status, scripts.doctor.case"
    assert imported(looks) & {"torch", "cedarpy", "pyarrow"} == set()
