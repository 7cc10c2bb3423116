from collections.abc import Iterator

import pytest

from domicile.chain.devnet import Devnet
from tests.contracts.ground import Chain, Ground, deploy, settle_places


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
    chain = settled_ground.chain
    then = chain.now
    snapshot = chain.rpc("evm_snapshot")
    yield settled_ground
    chain.rpc("evm_revert", snapshot)
    chain.now = then
