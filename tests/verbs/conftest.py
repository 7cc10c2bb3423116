"""Three networks, each settled once for all tests of a process; what a test does to one is taken back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from domicile.chain.devnet import Devnet
from tests.verbs import job_ground, network_ground, party_ground
from tests.verbs.job_ground import Region
from tests.verbs.network_ground import PASSWORD, Network


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(PASSWORD + "\n", encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def settled_network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with Devnet() as devnet:
        yield network_ground.settle(tmp_path_factory.mktemp("network"), devnet)


@pytest.fixture
def network(settled_network: Network) -> Iterator[Network]:
    """Contracts and those who govern, no places yet."""
    with network_ground.as_new(settled_network):
        yield settled_network


@pytest.fixture(scope="session")
def settled_parties(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Network]:
    with Devnet() as devnet:
        settled = party_ground.settle_with_attesters(tmp_path_factory.mktemp("parties"), devnet)
        told = party_ground.register(settled)
        assert told.code == 0, told.err
        yield settled


@pytest.fixture
def parties(settled_parties: Network) -> Iterator[Network]:
    """Places, their attesters, a ``clinic`` that is registered, and a ``member`` that is not."""
    with network_ground.as_new(settled_parties):
        yield settled_parties


@pytest.fixture(scope="session")
def settled_region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    with Devnet() as devnet:
        yield job_ground.settle(tmp_path_factory.mktemp("region"), devnet)


@pytest.fixture
def region(settled_region: Region) -> Iterator[Region]:
    """Hospitals and committees in two regions, all admitted; no job yet."""
    with job_ground.as_new(settled_region):
        yield settled_region
