import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from domicile.chain.artifacts import REPOSITORY, load_artifacts
from domicile.chain.devnet import Client, Devnet
from domicile.errors import ChainFault, ConfigurationError
from tests.contracts.ground import Chain, create_job, deploy, settle_places, shard_of


def wait_for(holds: Callable[[], bool], timeout_s: float = 15.0) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.02)
    return False


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def port_of(rpc_url: str) -> int:
    return int(rpc_url.rsplit(":", 1)[1])


def test_a_block_time_must_make_sense() -> None:
    with pytest.raises(ConfigurationError, match="block_time_s"):
        Devnet(block_time_s=0)
    with pytest.raises(ConfigurationError, match="whole seconds"):
        Devnet(client="ganache", block_time_s=0.5)


def test_an_address_before_the_start_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="not running"):
        _ = Devnet().rpc_url


def test_a_taken_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=str(port)):
            Devnet(port=port).start()


def test_a_chain_that_cannot_start_says_why_and_keeps_its_secret(capfd: pytest.CaptureFixture[str]) -> None:
    devnet = Devnet(mnemonic="no such words")
    with pytest.raises(ChainFault, match="invalid"):
        devnet.start()
    assert devnet.pid is None
    assert "no such words" not in repr(devnet)
    assert capfd.readouterr() == ("", "")


def test_a_chain_answers_and_is_gone_afterwards(capfd: pytest.CaptureFixture[str]) -> None:
    with Devnet(chain_id=4242, num_accounts=3) as devnet:
        chain = Chain(devnet.rpc_url)
        assert (chain.chain_id, len(chain.accounts)) == (4242, 3)
        chain.close()
        port = port_of(devnet.rpc_url)
    assert not listens(port)
    assert capfd.readouterr() == ("", "")


def test_a_fractional_block_time_mines_without_transactions() -> None:
    with Devnet(block_time_s=0.1) as devnet:
        chain = Chain(devnet.rpc_url)
        assert wait_for(lambda: int(chain.rpc("eth_blockNumber"), 16) >= 3)
        chain.close()


def test_a_kept_chain_goes_on_where_it_stopped(tmp_path: Path) -> None:
    for height in (1, 2):
        with Devnet(state=tmp_path / "state.json", log=tmp_path / "logs" / "anvil.log") as devnet:
            chain = Chain(devnet.rpc_url)
            chain.rpc("evm_mine")
            assert int(chain.rpc("eth_blockNumber"), 16) == height
            chain.close()
    assert (tmp_path / "logs" / "anvil.log").exists()


def test_a_chain_dies_with_its_owner() -> None:
    program = (
        "import time\nfrom domicile.chain.devnet import Client, Devnet\n"
        "devnet = Devnet()\ndevnet.start()\nprint(devnet.rpc_url, flush=True)\ntime.sleep(60)\n"
    )
    owner = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    assert owner.stdout is not None
    port = port_of(owner.stdout.readline().strip())
    assert listens(port)
    os.kill(owner.pid, signal.SIGKILL)
    owner.communicate()
    assert wait_for(lambda: not listens(port))


@pytest.mark.slow
def test_the_same_bytecode_runs_on_ganache() -> None:
    with Devnet(client="ganache", num_accounts=20) as devnet:
        chain = Chain(devnet.rpc_url, client="ganache")
        ground = deploy(chain)
        settle_places(ground)
        node, committee = ground.people[:3], ground.people[3]
        for account in [*node, committee]:
            ground.admit(account, "DE")
        job = create_job(ground, ground.governor, [shard_of("EU", [committee])], {"members": [committee], "quorum": 1})
        for account in node:
            job.join(account, 0)
        job.send(ground.governor, "start")
        for account in node:
            job.commit(account)
        job.vote(committee)
        job.export(committee)
        assert job.vote_global(committee).names()[:2] == ["GlobalVote", "GlobalModelAccepted"]
        code = chain.rpc("eth_getCode", ground.manager.address, "latest")
        assert bytes.fromhex(code[2:]) == load_artifacts()["AccessManager"].runtime
        chain.close()


@pytest.mark.parametrize("client", ["anvil", pytest.param("ganache", marks=pytest.mark.slow)])
def test_chains_that_are_started_in_one_second_mine_blocks_of_their_own(client: Client) -> None:
    beneficiaries = set()
    with Devnet(client=client) as one, Devnet(client=client) as two:
        for devnet in (one, two):
            chain = Chain(devnet.rpc_url, client=client)
            chain.rpc("evm_mine")
            beneficiaries.add(chain.rpc("eth_getBlockByNumber", "0x1", False)["miner"])
            chain.close()
    assert len(beneficiaries) == 2


@pytest.mark.parametrize("client", ["anvil", pytest.param("ganache", marks=pytest.mark.slow)])
def test_a_kept_chain_that_is_killed_comes_back_with_its_blocks_logs_receipts_and_clock(
    client: Client, tmp_path: Path
) -> None:
    with Devnet(client=client, num_accounts=20, state=tmp_path / "state") as devnet:
        url = devnet.rpc_url
        chain = Chain(url, client=client)
        ground = deploy(chain)
        settle_places(ground)
        before = record_of(chain)
        assert client == "ganache" or wait_for(lambda: is_kept(tmp_path / "state", before[0]["number"]))
        chain.close()
        devnet.kill()
        assert not listens(port_of(url))
        devnet.start()
        chain = Chain(url, client=client)
        assert record_of(chain) == before
        chain.rpc("evm_mine")
        newest = chain.rpc("eth_getBlockByNumber", "latest", False)
        assert newest["parentHash"] == before[0]["hash"]
        assert abs(int(newest["timestamp"], 16) - time.time()) < 5
        chain.close()


def record_of(chain: Chain) -> tuple[dict[str, object], list[object], list[object]]:
    """Newest block, all logs, and the receipts of the transactions that made them."""
    logs = chain.rpc("eth_getLogs", {"fromBlock": "0x0", "toBlock": "latest"})
    receipts = [chain.rpc("eth_getTransactionReceipt", log["transactionHash"]) for log in logs]
    return chain.rpc("eth_getBlockByNumber", "latest", False), logs, receipts


def is_kept(state: Path, number: str) -> bool:
    return state.exists() and json.loads(state.read_bytes())["block"]["number"] == number
