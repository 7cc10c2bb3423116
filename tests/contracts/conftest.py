from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from domicile.chain.devnet import Devnet
from tests.contracts.cast import Cast
from tests.contracts.ground import Chain, Ground, deploy, settle_places


@contextmanager
def undone(chain: Chain) -> Iterator[None]:
    """Whatever happens meanwhile on the chain is taken back."""
    then, snapshot = chain.now, chain.rpc("evm_snapshot")
    yield
    chain.rpc("evm_revert", snapshot)
    chain.now = then


@pytest.fixture(scope="session")
def settled_ground() -> Iterator[Ground]:
    with Devnet(num_accounts=64) as devnet:
        chain = Chain(devnet.rpc_url)
        ground = deploy(chain)
        settle_places(ground)
        yield ground
        chain.close()


@pytest.fixture
def ground(settled_ground: Ground) -> Iterator[Ground]:
    """Contracts with places and attesters, as new for each test."""
    with undone(settled_ground.chain):
        yield settled_ground


@pytest.fixture(scope="module")
def admitted(settled_ground: Ground) -> Iterator[Cast]:
    people = settled_ground.people
    cast = Cast(settled_ground, people[0], people[1:4], people[4:7], people[7:9], people[9:10], people[11])
    with undone(settled_ground.chain):
        for place, accounts in (("DE", people[1:4] + people[7:9]), ("US-CA", people[4:7] + people[9:10])):
            for account in accounts:
                settled_ground.admit(account, place)
        settled_ground.admit(people[10], "BR")
        yield cast


@pytest.fixture
def cast(admitted: Cast) -> Iterator[Cast]:
    """Everyone admitted, as new for each test."""
    with undone(admitted.ground.chain):
        yield admitted
