"""An endpoint that fails for moments, loses answers or transactions, and forgets blocks."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from domicile.chain.account import Signer
from domicile.chain.client import RETRY_PAUSES_S, Chain
from domicile.chain.contracts import Jurisdictions
from domicile.chain.deployment import Deployment, deploy
from domicile.chain.devnet import DEVELOPMENT_MNEMONIC, Devnet
from domicile.chain.sender import GWEI, Sender
from domicile.clock import JobClock
from domicile.errors import ChainFault, Rejected
from domicile.history import Histories
from domicile.protocol.jurisdiction import Tier
from domicile.protocol.refusals import JurisdictionAlreadyListed, UnknownJurisdiction
from domicile.types import Digest
from tests.faults.endpoint import FaultyEndpoint

STRANGER = Signer.from_key(b"\7" * 32).address
CLOCK = JobClock(6)
DIGEST = Digest(b"\1" * 32)


@pytest.fixture
def devnet() -> Iterator[Devnet]:
    with Devnet() as devnet:
        yield devnet


@pytest.fixture
def endpoint(devnet: Devnet) -> Iterator[FaultyEndpoint]:
    with FaultyEndpoint(devnet.rpc_url, seed=3) as endpoint:
        yield endpoint


@pytest.fixture
def chain(endpoint: FaultyEndpoint) -> Chain:
    return Chain(endpoint.url)


@pytest.fixture
def sender(chain: Chain) -> Sender:
    return Sender(chain, Signer.from_mnemonic(DEVELOPMENT_MNEMONIC))


def balance(endpoint: FaultyEndpoint) -> int:
    return int(endpoint.ask("eth_getBalance", STRANGER, "latest"), 16)


def test_reads_batches_and_transactions_go_through_an_endpoint_that_fails_one_call_in_five(
    endpoint: FaultyEndpoint, chain: Chain, sender: Sender
) -> None:
    sender.wait(sender.transfer(STRANGER, 1))
    endpoint.failing_share = 0.2
    for _ in range(40):
        chain.head()
        chain.timestamps_of([0, 1])
    for _ in range(10):
        sender.wait(sender.transfer(STRANGER, 5, CLOCK), CLOCK)
    assert endpoint.num_failed > 10
    assert balance(endpoint) == 1 + 10 * 5


def test_a_refusal_is_never_asked_for_twice(endpoint: FaultyEndpoint, chain: Chain, sender: Sender) -> None:
    deployment = deploy(chain, sender, loosening_delay_s=0)
    places = Jurisdictions(chain, deployment)
    num_asked = endpoint.num_asked
    for _ in range(3):
        with pytest.raises(UnknownJurisdiction):
            places.tier_of("XX")
    with pytest.raises(Rejected, match="eth_noSuchMethod"):
        chain.request("eth_noSuchMethod")
    assert endpoint.num_asked == num_asked + 4


def test_whatever_fails_for_the_moment_is_asked_for_a_few_times_and_then_told(
    endpoint: FaultyEndpoint, chain: Chain
) -> None:
    endpoint.failing_share = 1.0
    for _ in range(12):
        num_asked = endpoint.num_asked
        with pytest.raises(ChainFault):
            chain.head()
        assert endpoint.num_asked == num_asked + 1 + len(RETRY_PAUSES_S)


def test_an_endpoint_that_never_answers_is_waited_for_no_longer_than_the_clock_says(
    endpoint: FaultyEndpoint, chain: Chain
) -> None:
    chain.follow(CLOCK)
    endpoint.delay_s = 30.0
    before = time.monotonic()
    with pytest.raises(ChainFault, match="cannot be reached"):
        chain.head()
    assert time.monotonic() - before < 2 * CLOCK.request_timeout_s
    endpoint.delay_s = 0.0


@pytest.mark.parametrize("fault", ["num_to_swallow", "num_to_hold"])
def test_a_transaction_that_the_endpoint_lost_or_holds_back_is_sent_again_and_paid_once(
    endpoint: FaultyEndpoint, sender: Sender, fault: str
) -> None:
    setattr(endpoint, fault, 1)
    receipt = sender.wait(sender.transfer(STRANGER, 5, CLOCK), CLOCK)
    endpoint.release()
    endpoint.ask("evm_mine")
    assert receipt.gas_used == 21_000
    assert balance(endpoint) == 5


def test_what_a_killed_process_left_on_its_way_is_waited_for_and_then_replaced_at_fees_that_it_accepts(
    endpoint: FaultyEndpoint, chain: Chain, sender: Sender
) -> None:
    endpoint.ask("evm_setAutomine", False)
    sender.transfer(STRANGER, 5)
    heir = Sender(chain, sender.signer, max_fee_gwei=50.0)
    before = time.monotonic()
    replacing = heir.transfer(STRANGER, 7, CLOCK)
    assert time.monotonic() - before >= CLOCK.replace_after_s
    assert replacing.fields["nonce"] == 0
    endpoint.ask("evm_mine")
    heir.wait(replacing, CLOCK)
    assert balance(endpoint) == 7


def test_what_a_killed_process_left_on_its_way_is_not_sent_once_more_when_it_is_mined_in_time(
    endpoint: FaultyEndpoint, chain: Chain, sender: Sender
) -> None:
    deployment = deploy(chain, sender, loosening_delay_s=0)
    listing = Jurisdictions(chain, deployment).list("EU", None, Tier.OPEN, DIGEST)
    endpoint.ask("evm_setAutomine", False)
    sender.send(listing)
    num_sent = len(endpoint.sent)
    heir = Sender(chain, sender.signer)
    with ThreadPoolExecutor(1) as pool:
        acting = pool.submit(heir.act, listing, JobClock(80))
        time.sleep(0.5)
        endpoint.ask("evm_mine")
        with pytest.raises(JurisdictionAlreadyListed):
            acting.result(timeout=60)
    assert len(endpoint.sent) == num_sent


def test_a_cap_that_allows_no_replacement_is_named(endpoint: FaultyEndpoint, chain: Chain, sender: Sender) -> None:
    endpoint.ask("evm_setAutomine", False)
    base = int(endpoint.ask("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16) / GWEI
    cap = 2 * base + 1
    first = Sender(chain, sender.signer, max_fee_gwei=cap)
    first.transfer(STRANGER, 5)
    heir = Sender(chain, sender.signer, max_fee_gwei=cap)
    with pytest.raises(ChainFault, match=r"another transaction of this account waits .* raise the cap"):
        heir.transfer(STRANGER, 7, CLOCK)


class Record:
    """Histories of a chain with events in chosen blocks."""

    def __init__(self, chain: Chain, governor: Sender) -> None:
        self.chain = chain
        self.deployment: Deployment = deploy(chain, governor, loosening_delay_s=0)
        self.histories = Histories(chain, self.deployment)
        self.histories.update()


def test_blocks_that_became_others_are_read_anew_at_the_same_height(
    endpoint: FaultyEndpoint, chain: Chain, sender: Sender
) -> None:
    record = Record(chain, sender)
    for _ in range(3):
        endpoint.ask("evm_mine")
    record.histories.update()
    folds, height = record.histories.folds, record.histories.block
    endpoint.ask("anvil_reorg", 2, [])
    assert record.histories.update()
    assert record.histories.folds == folds + 1
    assert record.histories.block == height
    assert not record.histories.update()


def test_a_chain_that_came_back_shorter_is_waited_for_and_known_by_its_first_other_block(
    endpoint: FaultyEndpoint, chain: Chain, sender: Sender
) -> None:
    record = Record(chain, sender)
    kept = endpoint.ask("evm_snapshot")
    for _ in range(4):
        endpoint.ask("evm_mine")
        record.histories.update()
    folds = record.histories.folds
    endpoint.ask("evm_revert", kept)
    with pytest.raises(ChainFault, match="was read already; waiting for it to catch up"):
        record.histories.update()
    assert record.histories.folds == folds, "it may as well be an endpoint that is behind"
    endpoint.ask("evm_increaseTime", 100)
    endpoint.ask("evm_mine")
    assert record.histories.update()
    assert record.histories.folds == folds + 1
    assert record.histories.block == int(endpoint.ask("eth_blockNumber"), 16)


def test_a_chain_that_came_back_shorter_and_makes_blocks_on_demand_is_read_when_it_stood_still(
    endpoint: FaultyEndpoint, chain: Chain, sender: Sender
) -> None:
    record = Record(chain, sender)
    kept = endpoint.ask("evm_snapshot")
    endpoint.ask("evm_mine")
    record.histories.update()
    folds = record.histories.folds
    endpoint.ask("evm_revert", kept)
    record.histories.patience_s = 0.3
    with pytest.raises(ChainFault, match="waiting for it to catch up"):
        record.histories.update()
    time.sleep(0.4)
    assert record.histories.update()
    assert record.histories.folds == folds + 1
    assert record.histories.block == int(endpoint.ask("eth_blockNumber"), 16)


def test_a_stale_endpoint_never_turns_back_time_and_is_caught_up_with_without_reading_anew(
    endpoint: FaultyEndpoint, chain: Chain, sender: Sender
) -> None:
    record = Record(chain, sender)
    endpoint.go_back(1)
    seen = (record.histories.block, record.histories.now_s, record.histories.folds)
    with pytest.raises(ChainFault, match="waiting for it to catch up"):
        record.histories.update()
    assert (record.histories.block, record.histories.now_s, record.histories.folds) == seen
    endpoint.frozen_at = None
    endpoint.ask("evm_mine")
    record.histories.update()
    assert (record.histories.block, record.histories.folds) == (seen[0] + 1, seen[2])


def test_blocks_that_an_endpoint_does_not_know_yet_are_never_taken_for_blocks_without_logs(
    endpoint: FaultyEndpoint, chain: Chain, sender: Sender
) -> None:
    deployment = deploy(chain, sender, loosening_delay_s=0)
    sender.act(Jurisdictions(chain, deployment).list("EU", None, Tier.OPEN, DIGEST))
    head = chain.block_number()
    assert len(list(chain.logs((deployment.node_registry,), head, head))) == 1
    endpoint.go_back(1)
    with pytest.raises(ChainFault, match="did not answer every request"):
        list(chain.logs((deployment.node_registry,), head, head))


def test_a_chain_that_went_back_below_what_is_asked_for_is_then_read_in_as_few_requests_as_before(
    endpoint: FaultyEndpoint, chain: Chain
) -> None:
    endpoint.ask("anvil_mine", hex(60))
    endpoint.ask("anvil_rollback", 30)
    with pytest.raises(Rejected):
        list(chain.logs((), 50, 60))
    num_asked = endpoint.num_asked
    assert list(chain.logs((), 0, 30)) == []
    assert endpoint.num_asked == num_asked + 1
