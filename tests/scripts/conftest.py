"""One clinic, built once for all tests of the doctor."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from domicile.chain.devnet import Devnet
from tests.scripts.doctor_ground import Clinic, copied, settle


@pytest.fixture(scope="session")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Devnet]]:
    folder = tmp_path_factory.mktemp("settled")
    with Devnet() as devnet:
        settle(folder, devnet)
        yield folder, devnet


@pytest.fixture
def clinic(settled: tuple[Path, Devnet], tmp_path: Path) -> Iterator[Clinic]:
    """A node that is well, as new for each test."""
    with copied(*settled, tmp_path / "clinic") as clinic:
        yield clinic
