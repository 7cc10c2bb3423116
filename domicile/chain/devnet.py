"""A development chain as a child process: anvil, or ganache, from the pinned npm packages.

The process is held by a pipe: when its owner closes it, or dies in whatever way, the chain stops too
(``hardhat-free-devnet/supervise.sh``). Nothing is written to the terminal.
"""

from __future__ import annotations

import contextlib
import os
import platform
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from domicile.chain.artifacts import REPOSITORY
from domicile.chain.kept_state import StateKeeper, ask, keep_one_genesis
from domicile.errors import ChainFault, ConfigurationError

DEVNET = REPOSITORY / "hardhat-free-devnet"
SUPERVISOR = DEVNET / "supervise.sh"

Client = Literal["anvil", "ganache"]

DEVELOPMENT_MNEMONIC = "test test test test test test test test test test test junk"
"""The mnemonic that every development tool knows: never for a chain where anything has a value."""

DEVELOPMENT_CHAIN_ID = 31337

LOOPBACK, EVERYWHERE = "127.0.0.1", "0.0.0.0"  # noqa: S104 - a name for it, not a choice of it

START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 15.0
ANSWER_TIMEOUT_S = 2.0
_POLL_S = 0.02
_ATTEMPTS = 3


class Devnet:
    """A chain on this machine, from ``with`` to the end of it.

    Args:
        host: the IPv4 address to listen on. Whoever reaches another one than loopback may act for every account.
        block_time_s: seconds between blocks, fractions allowed; ``None`` mines a block for each transaction.
        mnemonic: source of the funded accounts, at ``m/44'/60'/0'/0/i``.
        port: ``None`` takes a free one.
        state: where the chain is kept between runs (anvil: a file, ganache: a folder); ``None`` forgets it. A chain
            that is killed comes back from it: anvil's without the last second or two, as after a deep reorganisation.
        log: where the client's own messages go; ``None`` keeps them only for the message of a failed start.
    """

    def __init__(
        self,
        *,
        client: Client = "anvil",
        block_time_s: float | None = None,
        chain_id: int = DEVELOPMENT_CHAIN_ID,
        mnemonic: str = DEVELOPMENT_MNEMONIC,
        num_accounts: int = 10,
        host: str = LOOPBACK,
        port: int | None = None,
        state: Path | None = None,
        log: Path | None = None,
    ) -> None:
        if block_time_s is not None and block_time_s <= 0:
            raise ConfigurationError(f"block_time_s: {block_time_s} is not above 0; leave it out to mine on demand")
        if client == "ganache" and block_time_s is not None and block_time_s != int(block_time_s):
            raise ConfigurationError(f"block_time_s: ganache takes whole seconds, not {block_time_s}; use anvil")
        self.client: Client = client
        self.block_time_s = block_time_s
        self.chain_id = chain_id
        self.num_accounts = num_accounts
        self._mnemonic = mnemonic
        self._host = host
        self._wanted_port = port
        self._state = state
        self._log = log
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._keeper: StateKeeper | None = None

    def __repr__(self) -> str:
        return f"Devnet(client={self.client!r}, chain_id={self.chain_id}, port={self._port or None})"

    @property
    def rpc_url(self) -> str:
        if self._process is None:
            raise ConfigurationError("the development chain is not running; enter it with `with` first")
        return f"http://{self._own_host}:{self._port}"

    @property
    def _own_host(self) -> str:
        """Where this machine reaches it."""
        return LOOPBACK if self._host == EVERYWHERE else self._host

    @property
    def pid(self) -> int | None:
        """Leader of the chain's process group; ``None`` while it is not running."""
        return None if self._process is None else self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the chain was started and has not ended, by itself or otherwise."""
        return self._process is not None and self._process.poll() is None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts the chain and waits until it answers.

        Raises:
            ConfigurationError: the npm packages are missing, or the port is taken.
            ChainFault: the chain did not come up.
        """
        if self._process is not None:
            return
        if self._state is not None and self.client == "anvil" and self._state.is_file():
            keep_one_genesis(self._state)
        for attempt in range(1, _ATTEMPTS + 1):
            self._port = self._wanted_port or _free_port()
            if self._wanted_port and is_listening(self._own_host, self._wanted_port):
                raise ConfigurationError(f"port {self._wanted_port}: somebody listens there; choose another one")
            try:
                self._launch()
                break
            except ChainFault:
                # Between choosing a free port and listening on it, somebody else may have taken it.
                if self._wanted_port or attempt == _ATTEMPTS:
                    raise
        if self._state is not None and self.client == "anvil":
            self._keeper = StateKeeper((self._own_host, self._port), self._state)
            self._keeper.start()

    def kill(self) -> None:
        """SIGKILL, as a power failure would do it; `start` brings a kept chain back at the same address."""
        process, self._process = self._process, None
        if process is None:
            return
        self._wanted_port = self._port
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if process.stdin is not None:
            process.stdin.close()
        self._end_keeping(StateKeeper.abandon)
        # Of the group, only its leader is a child of ours to wait for.
        while is_listening(self._own_host, self._port):
            time.sleep(_POLL_S)

    def stop(self) -> None:
        """Stops the chain and its whole process group; a kept state is written first."""
        process, self._process = self._process, None
        if process is None:
            return
        self._end_keeping(StateKeeper.stop)
        if process.stdin is not None:
            process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_S)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def _end_keeping(self, end: Callable[[StateKeeper], None]) -> None:
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            end(keeper)

    def _launch(self) -> None:
        command = _anvil_command(self) if self.client == "anvil" else _ganache_command(self)
        with contextlib.ExitStack() as stack:
            if self._log is None:
                output = stack.enter_context(tempfile.TemporaryFile())
            else:
                self._log.parent.mkdir(parents=True, exist_ok=True)
                output = stack.enter_context(self._log.open("a+b"))
            self._process = subprocess.Popen(
                ["/bin/sh", str(SUPERVISOR), *command],
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                self._wait_until_up(self._process)
            except BaseException as error:
                self.stop()
                if isinstance(error, ChainFault):
                    raise ChainFault(f"{error}{_last_words(output)}") from None
                raise

    def _wait_until_up(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline:
            if process.poll() is not None:
                raise ChainFault(f"{self.client}: ended at once with status {process.returncode}")
            told = ask((self._own_host, self._port), "eth_chainId", timeout_s=ANSWER_TIMEOUT_S)
            answer = int(told, 16) if isinstance(told, str) else None
            if answer == self.chain_id:
                self._make_unique()
                return
            if answer is not None:
                raise ChainFault(f"port {self._port}: chain {answer} answers there, not {self.chain_id}")
            time.sleep(_POLL_S)
        raise ChainFault(f"{self.client}: no answer on port {self._port} within {START_TIMEOUT_S:.0f} s")

    def _make_unique(self) -> None:
        """Credits the blocks from now on to a random account: chains that are started in one second would mine the same
        blocks, and what happens on one could not be told from what happens on another.
        """
        method = "anvil_setCoinbase" if self.client == "anvil" else "miner_setEtherbase"
        coinbase = f"0x{secrets.token_hex(20)}"
        ask((self._own_host, self._port), method, coinbase, timeout_s=ANSWER_TIMEOUT_S)

    def arguments(self) -> dict[str, str]:
        """Settings that both clients know, by the name of anvil's option."""
        return {
            "host": self._host,
            "port": str(self._port),
            "chain-id": str(self.chain_id),
            "mnemonic": self._mnemonic,
            "accounts": str(self.num_accounts),
        }

    @property
    def state(self) -> Path | None:
        return self._state


def _anvil_command(devnet: Devnet) -> list[str]:
    # Quiet: anvil's greeting shows the private keys of the funded accounts.
    command = [str(_anvil_binary()), "--quiet", "--no-request-size-limit"]
    for name, value in devnet.arguments().items():
        command += [f"--{name}", value]
    if devnet.block_time_s is not None:
        command += ["--block-time", f"{devnet.block_time_s:g}"]
    if devnet.state is not None and devnet.state.exists():
        command += ["--load-state", str(devnet.state)]
    return command


def _anvil_binary() -> Path:
    """The native program of the npm package; its Node wrapper, when killed, leaves the program behind."""
    machine = {"x86_64": "amd64", "amd64": "amd64", "aarch64": "arm64", "arm64": "arm64"}.get(
        platform.machine().lower()
    )
    package = f"anvil-{platform.system().lower()}-{machine}"
    binary = DEVNET / "node_modules" / "@foundry-rs" / package / "bin" / "anvil"
    if binary.is_file():
        return binary
    installed = shutil.which("anvil")
    if installed is None:
        raise ConfigurationError(
            f"anvil: neither the npm package {package} nor a program on the PATH; run `make setup`"
        )
    return Path(installed)


def _ganache_command(devnet: Devnet) -> list[str]:
    node = shutil.which("node")
    if node is None:
        raise ConfigurationError("node: not found on the PATH; install Node.js 20 or newer")
    program = DEVNET / "node_modules" / "ganache" / "dist" / "node" / "cli.js"
    if not program.is_file():
        raise ConfigurationError("ganache: the npm package is missing; run `make setup`")
    names = {
        "host": "server.host",
        "port": "server.port",
        "chain-id": "chain.chainId",
        "mnemonic": "wallet.mnemonic",
        "accounts": "wallet.totalAccounts",
    }
    command = [node, str(program), "--logging.quiet", "--chain.hardfork", "shanghai"]
    for name, value in devnet.arguments().items():
        command += [f"--{names[name]}", value]
    if devnet.block_time_s is not None:
        command += ["--miner.blockTime", f"{devnet.block_time_s:g}"]
    if devnet.state is not None:
        command += ["--database.dbPath", str(devnet.state)]
    return command


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
        return port


def is_listening(host: str, port: int) -> bool:
    """Whether somebody accepts connections there."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((host, port)) == 0


def _last_words(output: Any) -> str:
    output.seek(0)
    text = output.read()[-2000:].decode(errors="replace").strip()
    return f"; it said: {text}" if text else ""
