"""`domicile deploy`: once and for all, however often it is cut off."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from domicile.chain.account import Signer
from domicile.chain.client import Chain
from domicile.chain.contracts import Jurisdictions
from domicile.chain.deployment import Deployment
from domicile.chain.deployment_progress import DeploymentProgress
from domicile.chain.deployment_steps import CONTRACTS, creation_address
from domicile.chain.devnet import Devnet
from domicile.chain.governance import Role
from domicile.chain.role_book import RoleBook
from domicile.chain.sender import Sender
from domicile.types import Address
from scripts.verbs.deploy import DEPLOYMENT_GAS
from tests.verbs.network_ground import GOVERNOR, PASSWORD, Told, domicile, write_account

DELAY_S = 60
NUM_TRANSACTIONS = len(CONTRACTS) + 4 + 5
"""Creations, the roles of functions and the canceller's, and what the account is granted."""


class Site:
    """Where somebody deploys: a chain, an account with ether, and the file that is to be written."""

    def __init__(self, folder: Path, rpc_url: str, signer: Signer) -> None:
        self.rpc_url, self.chain, self.address = rpc_url, Chain(rpc_url), signer.address
        self.account = write_account(folder / "account.json", signer)
        self.password = folder / "password"
        self.password.write_text(PASSWORD, encoding="utf-8")
        self.out = folder / "deployment.json"
        self.progress = folder / "deployment.json.progress"

    def arguments(self, *more: object) -> list[str]:
        options = {"rpc": self.rpc_url, "account": self.account, "password-file": self.password, "out": self.out}
        named = [part for name, value in options.items() for part in (f"--{name}", str(value))]
        return ["deploy", *named, "--loosening-delay", str(DELAY_S), *map(str, more)]

    def deploy(self, *more: object) -> Told:
        return domicile(*self.arguments(*more))

    def count(self, block: str) -> int:
        return int(self.chain.request("eth_getTransactionCount", self.address, block), 16)

    def noted(self) -> dict[str, int]:
        found = DeploymentProgress.load(self.progress)
        return {} if found is None else found.nonces

    def begun(self, **changes: object) -> None:
        """As an earlier run would have left it."""
        about = {"chain_id": 31337, "sender": self.address, "loosening_delay_s": DELAY_S, "first_block": 0}
        DeploymentProgress(**{**about, **changes}).save(self.progress)


def funded(devnet: Devnet, number: int) -> Signer:
    """An account that has sent nothing yet."""
    signer = Signer.from_key(number.to_bytes(32))
    giver = Sender(Chain(devnet.rpc_url), GOVERNOR)
    giver.wait(giver.transfer(signer.address, 10**18))
    return signer


@pytest.fixture(scope="module")
def devnet() -> Iterator[Devnet]:
    with Devnet() as devnet:
        yield devnet


@pytest.fixture
def site(devnet: Devnet, tmp_path: Path) -> Site:
    return Site(tmp_path, devnet.rpc_url, funded(devnet, time.time_ns()))


def test_a_deployment_is_written_told_and_found_by_its_repetition(site: Site) -> None:
    first = site.deploy("--json")
    assert (first.code, first.data["changed"], site.progress.exists()) == (0, True, False)
    assert [line.split()[0] for line in first.err.splitlines()] == [*CONTRACTS, "roles"]
    found = Deployment.load(site.out)
    found.check(site.chain)
    assert first.data["contracts"]["TrainingJobs"] == found.training_jobs
    book = RoleBook(site.chain, found.access_manager)
    delays = {role: held.delay_s for role in Role if (held := book.holding(role, site.address))}
    assert delays == {role: DELAY_S if role in (Role.LOOSENER, Role.ADMINISTRATOR) else 0 for role in Role}
    again = site.deploy("--json")
    assert (again.code, again.data) == (0, {**first.data, "changed": False})
    assert site.count("pending") == NUM_TRANSACTIONS


def test_whoever_deploys_is_told_that_nobody_can_tighten_a_tier_yet(site: Site) -> None:
    told = site.deploy()
    assert "nobody is a guardian yet, not even this account: `domicile jurisdiction guardian ACCOUNT`" in told.out
    found = Deployment.load(site.out)
    assert not Jurisdictions(site.chain, found).is_guardian(site.address)


def test_what_a_deployment_takes_is_near_what_is_asked_for(site: Site) -> None:
    first = site.chain.block_number() + 1
    assert site.deploy().code == 0
    blocks = (site.chain.request("eth_getBlockByNumber", hex(n), False) for n in range(first, first + NUM_TRANSACTIONS))
    used = sum(int(block["gasUsed"], 16) for block in blocks)
    assert used <= DEPLOYMENT_GAS <= 1.3 * used


def test_a_run_that_was_killed_after_it_wrote_the_file_leaves_nothing_behind_when_repeated(site: Site) -> None:
    assert site.deploy().code == 0
    site.begun()
    assert "deployed already" in site.deploy().out
    assert not site.progress.exists()


def test_a_noted_creation_that_was_never_sent_is_sent_and_what_else_used_its_nonce_is_not_taken_for_it(
    site: Site,
) -> None:
    site.begun(nonces={"AccessManager": 0})
    sender = Sender(site.chain, Signer.load(site.account, PASSWORD))
    sender.wait(sender.transfer(GOVERNOR.address, 1))
    assert site.deploy().code == 0
    assert Deployment.load(site.out).access_manager == creation_address(site.address, 1)


def test_other_code_at_a_noted_address_is_not_built_upon(site: Site) -> None:
    sender = Sender(site.chain, Signer.load(site.account, PASSWORD))
    sender.wait(sender.deploy("a contract that only stops", bytes.fromhex("6001600c60003960016000f300")))
    site.begun(nonces={"AccessManager": 0})
    told = site.deploy()
    assert (told.code, told.out) == (2, "")
    assert "AccessManager: there is other code at" in told.err
    assert site.count("latest") == 1


REFUSALS: dict[str, tuple[Callable[[Site], None], str]] = {
    "other chain": (
        lambda site: site.begun(chain_id=5),
        "begun on chain 5, the endpoint is chain 31337; name an endpoi",
    ),
    "other sender": (lambda site: site.begun(sender=GOVERNOR.address), "begun by 0xf39F"),
    "other delay": (lambda site: site.begun(loosening_delay_s=7), "begun with a loosening delay of 7 s, not 60 s"),
    "no progress file": (lambda site: site.progress.write_text("{"), "no progress of a deployment"),
    "file of another chain": (lambda site: site.out.write_text(ELSEWHERE), "is for chain 5; correct"),
    "file of nothing": (lambda site: site.out.write_text("[]"), "is no deployment file"),
    "out is a folder": (lambda site: site.out.mkdir(), "is a directory"),
    "wrong password": (lambda site: site.password.write_text("x"), "the password is wrong"),
    "no account": (lambda site: site.account.unlink(), "cannot be read"),
}
ADDRESSES = dict.fromkeys(
    ("access_manager", "node_registry", "training_jobs", "privacy_ledger", "unmasking_board"), GOVERNOR.address
)
ELSEWHERE = json.dumps(
    {
        "version": 4,
        "chain_id": 5,
        "first_block": 0,
        **ADDRESSES,
        "abis": dict.fromkeys((*CONTRACTS, "PrivacyLedger"), ""),
        "codes": dict.fromkeys((*CONTRACTS, "PrivacyLedger"), ""),
    }
)


@pytest.mark.parametrize(("spoil", "message"), REFUSALS.values(), ids=REFUSALS)
def test_what_does_not_fit_is_refused_in_one_line_and_nothing_is_sent(
    site: Site, spoil: Callable[[Site], None], message: str
) -> None:
    spoil(site)
    told = site.deploy()
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1)
    assert message in told.err
    assert site.count("pending") == 0


def test_an_account_without_ether_is_told_how_much_it_lacks(devnet: Devnet, tmp_path: Path) -> None:
    site = Site(tmp_path, devnet.rpc_url, Signer.from_key(b"\x55" * 32))
    told = site.deploy()
    assert (told.code, told.out) == (2, "")
    assert f"{site.address} has 0 ether, a deployment may take 0." in told.err
    assert f"domicile devnet fund {site.address}" in told.err
    assert not site.progress.exists()


def instants(site: Site) -> list[Callable[[], bool]]:
    """When the deployment is killed: after a creation was noted, sent, mined, and between the roles."""
    noted = [lambda number=number: len(site.noted()) >= number for number in (1, 2, 3, 4)]
    sent = [lambda number=number: site.count("pending") >= number for number in (1, 2, 3, 5, 8, NUM_TRANSACTIONS)]
    mined = [lambda number=number: site.count("latest") >= number for number in (1, 2)]
    return [noted[0], sent[0], mined[0], noted[1], sent[1], mined[1], *noted[2:], *sent[2:]]


@pytest.mark.chaos
def test_a_deployment_that_is_killed_again_and_again_is_one_deployment_in_the_end(tmp_path: Path) -> None:
    with Devnet(block_time_s=1) as devnet:
        site = Site(tmp_path, devnet.rpc_url, funded(devnet, 77))
        killed = sum(cut_off(site, comes) for comes in instants(site))
        assert killed >= 8
        finished = start(site)
        assert finished.wait(120) == 0
        found = Deployment.load(site.out)
        addresses = [found.access_manager, found.node_registry, found.training_jobs, found.unmasking_board]
        assert addresses == [creation_address(site.address, nonce) for nonce in range(len(addresses))]
        assert site.count("pending") == NUM_TRANSACTIONS
        assert creations(site) == len(addresses)
        found.check(site.chain)
        assert domicile(*site.arguments()).out.startswith("deployed already")


def start(site: Site) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "scripts.main", *site.arguments()], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def cut_off(site: Site, comes: Callable[[], bool]) -> bool:
    """Runs until the moment comes and kills; whether it was in time."""
    process = start(site)
    while process.poll() is None and not comes():
        time.sleep(0.002)
    process.kill()
    return process.wait() == -signal.SIGKILL


def creations(site: Site) -> int:
    """Contracts that anybody created on the chain."""
    blocks = (site.chain.request("eth_getBlockByNumber", hex(n), True) for n in range(site.chain.block_number() + 1))
    return sum(transaction["to"] is None for block in blocks for transaction in block["transactions"])


def test_the_address_of_a_contract_follows_from_its_creators_nonce() -> None:
    """Addresses that the Ethereum wiki and its tools give for these."""
    creator = Address("0x6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0")
    assert creation_address(creator, 0) == "0xcd234A471b72ba2F1Ccf0A70FCABA648a5eeCD8d"
    assert creation_address(creator, 1) == "0x343c43A37D37dfF08AE8C4A11544c718AbB4fCF8"
    first_of_anvil = Address("0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266")
    assert creation_address(first_of_anvil, 0) == "0x5FbDB2315678afecb367f032d93F642f64180aa3"
