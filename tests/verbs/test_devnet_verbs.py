"""`domicile devnet`: a chain that outlives the command, and is gone for certain after `down`."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from domicile.chain.client import Chain
from domicile.chain.devnet import EVERYWHERE, Devnet
from domicile.types import Address
from tests.verbs.network_ground import OTHER, Told, domicile
from tests.verbs.network_ground import balance_wei as balance_of

PATIENCE_S = 60.0
MARK = "DOMICILE_TEST_MARK"
"""In the environment of a command and of all that it starts, whatever its session or parent."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(holds: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        if holds():
            return True
        time.sleep(0.02)
    return False


class Home:
    """A devnet folder of one test, with a port of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port, self.state = folder / "devnet", free_port(), folder / "state.json"

    def does(self, verb: str, *arguments: object) -> Told:
        return domicile("devnet", verb, *arguments, "--folder", self.folder, "--json")

    def up(self, *arguments: object) -> Told:
        return self.does("up", "--port", self.port, *arguments)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        found: int = self.does("status").data["pid"]
        return found

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def processes(self) -> list[str]:
        """Command lines of all that this test started and that still runs, but for itself."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if f"{MARK}={self.folder}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                    found.append((entry / "cmdline").read_text().replace("\0", " "))
            except OSError:
                continue
        return [line for line in found if line]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    home = Home(tmp_path)
    monkeypatch.setenv(MARK, str(home.folder))
    yield home
    home.does("down")


def test_a_chain_outlives_its_command_and_repetitions_change_nothing(home: Home) -> None:
    first = home.up("--block-time", 0.2)
    assert (first.code, first.err) == (0, "")
    assert (first.data["changed"], first.data["rpc_url"]) == (True, home.url)
    assert Chain(home.url).chain_id() == 31337
    again = home.up()
    assert (again.code, again.data) == (0, {**first.data, "changed": False})
    assert domicile("devnet", "up", "--folder", home.folder).out == f"{home.url} (it runs already)\n"
    status = home.does("status")
    assert (status.code, status.data["running"], status.data["client"]) == (0, True, "anvil")
    down = home.does("down")
    assert (down.code, down.data["changed"]) == (0, True)
    assert not home.listens()
    assert home.processes() == []
    assert (home.does("down").code, home.does("down").data["changed"]) == (0, False)
    assert (home.does("status").code, home.does("status").data) == (1, {"running": False})


def test_another_option_than_the_running_ones_is_refused_with_the_mend(home: Home) -> None:
    assert home.up().code == 0
    for option, value, told in (
        ("--port", free_port(), f"--port: the chain in {home.folder} runs with {home.port}, not"),
        ("--client", "ganache", "--client: "),
        ("--block-time", 1, "--block-time: "),
        ("--host", EVERYWHERE, "--host: "),
        ("--state", home.state, "--state: "),
    ):
        refused = home.does("up", option, value)
        assert (refused.code, refused.out, refused.err.count("\n")) == (2, "", 1)
        assert told in refused.err
        assert f"end it first with `domicile devnet down --folder {home.folder}`" in refused.err
    assert home.does("status").data["port"] == home.port


def test_a_port_that_somebody_else_has_is_named(home: Home) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", home.port))
        taken.listen()
        refused = home.up()
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == f"domicile: port {home.port}: somebody listens there; choose another one\n"
    assert home.processes() == []


def test_a_kept_chain_survives_down_and_up(home: Home) -> None:
    assert home.up("--state", home.state).code == 0
    assert home.does("fund", OTHER.address, "--ether", 3).data["changed"] is True
    block = Chain(home.url).block_number()
    assert home.does("down").code == 0
    assert home.state.exists()
    assert home.up("--state", home.state).code == 0
    assert Chain(home.url).block_number() == block
    assert balance_of(Chain(home.url), OTHER.address) == 3 * 10**18


def test_a_kept_chain_survives_the_sigkill_of_its_holder_whose_record_is_not_believed(home: Home) -> None:
    assert home.up("--state", home.state).code == 0
    assert home.does("fund", OTHER.address, "--ether", 3).code == 0
    block = Chain(home.url).block_number()
    assert wait_for(lambda: home.state.exists() and kept_block(home.state) == block)
    os.kill(home.pid, signal.SIGKILL)
    assert wait_for(lambda: not home.listens())
    # The record is still there and names a process: let it be one that lives.
    record = home.folder / "devnet.json"
    document = json.loads(record.read_text(encoding="utf-8"))
    record.write_text(json.dumps({**document, "pid": os.getpid()}), encoding="utf-8")
    assert home.does("status").code == 1
    assert home.does("down").data["changed"] is False
    assert home.up("--state", home.state).data["changed"] is True
    assert balance_of(Chain(home.url), OTHER.address) == 3 * 10**18


def kept_block(state: Path) -> int:
    return int(json.loads(state.read_bytes())["block"]["number"], 16)


def test_a_chain_that_dies_takes_its_holder_with_it(home: Home) -> None:
    assert home.up().code == 0
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if b"anvil" in Path(os.fsdecode(arguments[0])).name.encode() and str(home.port).encode() in arguments:
            os.kill(int(entry.name), signal.SIGKILL)
    assert wait_for(lambda: home.does("status").code == 1)
    assert wait_for(lambda: home.processes() == [])


def test_a_holder_that_ends_before_it_answers_is_told_in_one_line(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONHOME", str(home.folder))
    told = home.up()
    assert (told.code, told.out, told.err.count("\n")) == (5, "", 1)
    assert "the process that was to hold the chain ended with exit code 1; see its log" in told.err
    assert home.processes() == []


def test_two_at_once_start_one_chain(home: Home) -> None:
    command = [sys.executable, "-m", "scripts.main", "devnet", "up", "--folder", str(home.folder), "--json"]
    both = [
        subprocess.Popen(
            [*command, "--port", str(home.port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    ends = [(process.communicate(timeout=PATIENCE_S), process.returncode) for process in both]
    assert sum('changed": true' in out for (out, _), _ in ends) == 1
    for (out, err), code in ends:
        assert (code, bool(out)) == (0, True) or (code == 2 and "is at work there; repeat this" in err)
    assert home.does("status").code == 0


def test_a_chain_that_is_coming_up_is_waited_for_and_not_taken_for_none(home: Home) -> None:
    command = [sys.executable, "-m", "scripts.main", "devnet", "up", "--folder", str(home.folder)]
    with subprocess.Popen([*command, "--port", str(home.port)], stdout=subprocess.DEVNULL) as first:
        assert wait_for((home.folder / "devnet.lock").exists)
        assert home.does("down").data == {"changed": True, "rpc_url": home.url}
        assert first.wait(PATIENCE_S) == 0
    assert not home.listens()
    assert home.processes() == []


@pytest.mark.parametrize("moment_s", [0.5, 1.0, 1.6])
def test_an_interrupt_leaves_a_chain_that_runs_or_nothing(home: Home, moment_s: float) -> None:
    command = [sys.executable, "-m", "scripts.main", "devnet", "up", "--folder", str(home.folder)]
    process = subprocess.Popen(
        [*command, "--port", str(home.port)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    time.sleep(moment_s)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=PATIENCE_S)
    if home.url in out:
        assert home.does("status").code == 0
        return
    # Before Python runs a line of ours, and after the last one, a signal does what it does to any process.
    assert (process.returncode, err.count("\n")) in ((130, 1), (-signal.SIGINT, 0))
    assert not home.listens()
    assert home.processes() == []


def test_an_interrupt_while_the_holder_is_started_ends_it(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    popen = subprocess.Popen

    def interrupted(*arguments: Any, **options: Any) -> subprocess.Popen[bytes]:
        started = popen(*arguments, **options)
        signal.raise_signal(signal.SIGINT)
        return started

    monkeypatch.setattr(subprocess, "Popen", interrupted)
    told = home.up()
    assert (told.code, told.out) == (130, "")
    assert told.err == "domicile: interrupted; every process that was started has ended\n"
    assert home.processes() == []


def test_a_host_that_others_reach_is_taken_only_as_written_and_with_what_it_means(home: Home) -> None:
    told = domicile("devnet", "up", "--port", home.port, "--host", EVERYWHERE, "--folder", home.folder)
    assert (told.code, told.out) == (0, f"{home.url}\n")
    assert "may act for every account of this chain: its keys are known to everybody" in told.err
    assert Chain(home.url).chain_id() == 31337
    assert home.does("down").code == 0
    alone = home.up()
    assert (alone.data["host"], alone.err) == ("127.0.0.1", "")


def test_accounts_are_filled_up_and_never_beyond(home: Home) -> None:
    accounts = [Address("0x" + number * 40) for number in "ab"]
    assert home.up().code == 0
    first = home.does("fund", *accounts, "--ether", 1.5)
    assert (first.code, first.data["changed"]) == (0, True)
    assert home.does("fund", *accounts, "--ether", 1.5).data == {"changed": False, "ether": {}}
    assert home.does("fund", accounts[0], "--ether", 2, "--rpc", home.url).data["changed"] is True
    held = [balance_of(Chain(home.url), one) for one in accounts]
    assert held == [2 * 10**18, 15 * 10**17]


def test_another_chain_than_the_devnets_gives_nothing(home: Home) -> None:
    with Devnet(chain_id=4242) as other:
        refused = home.does("fund", OTHER.address, "--rpc", other.rpc_url)
    assert (refused.code, refused.out) == (2, "")
    assert "the endpoint is chain 4242, a development chain is 31337" in refused.err
    with Devnet(mnemonic="legal winner thank year wave sausage worth useful legal winner thank yellow") as other:
        refused = home.does("fund", OTHER.address, "--rpc", other.rpc_url)
    assert refused.code == 2
    assert "has not enough" in refused.err


@pytest.mark.slow
def test_ganache_keeps_its_chain_too(home: Home) -> None:
    kept = home.folder.parent / "ganache"
    assert home.up("--client", "ganache", "--state", kept).code == 0
    assert home.does("fund", OTHER.address, "--ether", 3).code == 0
    assert home.does("down").code == 0
    assert home.processes() == []
    wrong = home.up("--state", kept)
    assert (wrong.code, "was not kept by anvil" in wrong.err) == (2, True)
    assert home.up("--client", "ganache", "--state", kept).code == 0
    assert balance_of(Chain(home.url), OTHER.address) == 3 * 10**18
