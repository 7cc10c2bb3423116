"""Transactions that do not go through at once: fees that rise, chains that stand still, blocks to wait for."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Semaphore
from typing import Any

import pytest

from domicile.chain.account import Signer
from domicile.chain.client import Chain
from domicile.chain.devnet import DEVELOPMENT_MNEMONIC, Devnet
from domicile.chain.sender import GWEI, Receipt, Sender
from domicile.clock import JobClock
from domicile.errors import ChainFault

STRANGER = Signer.from_key(b"\7" * 32).address
CAP_GWEI = 50.0
HASTY = JobClock(6)
PATIENT = JobClock(20)
"""Looks after a transaction within seconds, and leaves the rest of its wait to a machine that is busy."""


class Watched(Chain):
    """Counts looks at the base fee; a sender takes one when it asks whether to replace what is not mined."""

    def __init__(self, rpc_url: str) -> None:
        super().__init__(rpc_url)
        self.looks = Semaphore(0)

    def request(self, method: str, *parameters: Any) -> Any:
        found = super().request(method, *parameters)
        if method == "eth_getBlockByNumber":
            self.looks.release()
        return found


@pytest.fixture
def devnet() -> Iterator[Devnet]:
    with Devnet() as devnet:
        yield devnet


@pytest.fixture
def chain(devnet: Devnet) -> Chain:
    """A chain that mines when it is told to."""
    chain = Chain(devnet.rpc_url)
    chain.request("evm_setAutomine", False)
    return chain


def sender(chain: Chain) -> Sender:
    return Sender(chain, Signer.from_mnemonic(DEVELOPMENT_MNEMONIC), max_fee_gwei=CAP_GWEI)


def mine(chain: Chain, base_fee_gwei: float = 1.0) -> None:
    chain.request("anvil_setNextBlockBaseFeePerGas", hex(int(base_fee_gwei * GWEI)))
    chain.request("evm_mine")


def balance(chain: Chain) -> int:
    return int(chain.request("eth_getBalance", STRANGER, "latest"), 16)


def transaction(chain: Chain, name: str) -> dict[str, Any]:
    found: dict[str, Any] = chain.request("eth_getTransactionByHash", name)
    return {key: int(found[key], 16) for key in ("nonce", "maxFeePerGas", "maxPriorityFeePerGas")}


def meanwhile(waiting: Callable[[], Receipt], act: Callable[[Future[Receipt]], None]) -> Receipt:
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(waiting)
        act(future)
        return future.result(timeout=60)


def test_a_fee_that_the_chain_outgrew_is_replaced_under_the_cap_and_paid_once(chain: Chain) -> None:
    mine(chain)
    patient = sender(chain)
    handle = patient.transfer(STRANGER, 5)
    first = transaction(chain, handle.transaction)

    def raise_fees(future: Future[Receipt]) -> None:
        while not future.done():
            mine(chain, base_fee_gwei=20)
            time.sleep(0.1)

    receipt = meanwhile(lambda: patient.wait(handle, PATIENT), raise_fees)
    assert receipt.transaction != handle.transaction
    second = transaction(chain, receipt.transaction)
    assert second["nonce"] == first["nonce"]
    assert 1.1 * first["maxFeePerGas"] <= second["maxFeePerGas"] <= CAP_GWEI * GWEI
    assert 1.1 * first["maxPriorityFeePerGas"] <= second["maxPriorityFeePerGas"]
    assert balance(chain) == 5


def test_a_fee_above_the_cap_is_waited_out_and_never_paid(devnet: Devnet, chain: Chain) -> None:
    mine(chain)
    watched = Watched(devnet.rpc_url)
    patient = sender(watched)
    handle = patient.transfer(STRANGER, 5)
    mine(chain, base_fee_gwei=2 * CAP_GWEI)

    def lower_fees_once_they_were_seen(future: Future[Receipt]) -> None:
        assert watched.looks.acquire(timeout=PATIENT.receipt_timeout_s)
        assert not future.done()
        with pytest.raises(ChainFault, match=r"cap of 50 is below the present base fee of 100 .* raise the cap"):
            sender(chain).transfer(STRANGER, 1)
        while not future.done():
            mine(chain)
            time.sleep(0.1)

    receipt = meanwhile(lambda: patient.wait(handle, PATIENT), lower_fees_once_they_were_seen)
    assert transaction(chain, receipt.transaction)["maxFeePerGas"] <= CAP_GWEI * GWEI
    assert balance(chain) == 5


def test_what_was_given_up_is_replaced_by_the_next_act_instead_of_blocking_it(chain: Chain) -> None:
    mine(chain)
    impatient = sender(chain)
    handle = impatient.transfer(STRANGER, 5)
    with pytest.raises(ChainFault, match="not mined within"):
        impatient.wait(handle, HASTY)
    next_one = impatient.transfer(STRANGER, 7, HASTY)
    assert transaction(chain, next_one.transaction)["nonce"] == 0
    mine(chain)
    assert impatient.wait(next_one, HASTY).transaction == next_one.transaction
    assert balance(chain) == 7


def test_what_waits_behind_a_transaction_that_the_chain_took_back_is_acted_anew_and_not_waited_for(
    chain: Chain,
) -> None:
    mine(chain)
    hasty = sender(chain)
    earlier = hasty.transfer(STRANGER, 5)
    mine(chain)
    hasty.wait(earlier, HASTY)
    later = hasty.transfer(STRANGER, 7)
    chain.request("anvil_rollback", 1)
    assert balance(chain) == 0
    mine(chain)
    with pytest.raises(ChainFault, match="lost an earlier transaction of this account"):
        hasty.wait(later, HASTY)
    anew = hasty.transfer(STRANGER, 5, HASTY)
    assert transaction(chain, anew.transaction)["nonce"] == 0
    mine(chain)
    assert hasty.wait(anew, HASTY).transaction == anew.transaction
    assert balance(chain) in {5, 12}, "what waited behind the gap may be mined with it, once"


@pytest.mark.parametrize("confirmations", [1, 3])
def test_a_transaction_is_waited_for_until_the_blocks_above_it_make_it_readable(
    devnet: Devnet, chain: Chain, confirmations: int
) -> None:
    with_depth = Chain(devnet.rpc_url, confirmations=confirmations)
    patient = sender(with_depth)
    handle = patient.transfer(STRANGER, 5)

    def mine_slowly(future: Future[Receipt]) -> None:
        for _ in range(confirmations):
            mine(chain)
            time.sleep(0.6)
            assert not future.done()
        mine(chain)

    receipt = meanwhile(lambda: patient.wait(handle), mine_slowly)
    head = int(chain.request("eth_blockNumber"), 16)
    assert head - receipt.block == confirmations
    assert with_depth.block_number() == receipt.block
