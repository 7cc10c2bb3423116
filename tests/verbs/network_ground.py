"""A network for the verbs of governance: contracts on a chain, and folders of those who govern it."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domicile.chain.account import Signer
from domicile.chain.client import Chain
from domicile.chain.contracts import Jurisdictions, Nodes
from domicile.chain.deployment import Deployment, deploy
from domicile.chain.devnet import DEVELOPMENT_MNEMONIC, Devnet
from domicile.chain.sender import Sender
from domicile.crypto.keys import HpkeKey
from domicile.exit_code import guarded
from domicile.protocol.eligibility import Safeguard
from domicile.types import Address, Digest
from scripts.access_file import write_access_file
from scripts.command import cli
from scripts.interruption import SIGNALS

PASSWORD = "a password of tests"
DIGEST = Digest(b"\1" * 32)
GOVERNOR = Signer.from_mnemonic(DEVELOPMENT_MNEMONIC)
OFFICE, NODE, OTHER = (Signer.from_key(bytes([number]) * 32) for number in (21, 22, 23))
"""A compliance office, a participant, and an account that is nothing."""


@contextmanager
def own_signals() -> Iterator[None]:
    """A command handles signals as it likes, and the test runner as before."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


@dataclass(frozen=True)
class Told:
    """What a command said."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, Any]:
        [line] = self.out.splitlines()
        found: dict[str, Any] = json.loads(line)
        return found


def domicile(*arguments: object) -> Told:
    """Runs the command line in this process, errors and exit codes included."""
    out, err = io.StringIO(), io.StringIO()

    def serve() -> int:
        cli([str(one) for one in arguments], prog_name="domicile")
        return 0

    with redirect_stdout(out), redirect_stderr(err), own_signals():
        try:
            code = guarded(serve)
        except SystemExit as left:
            code = left.code if isinstance(left.code, int) else int(left.code is not None)
    return Told(code, out.getvalue(), err.getvalue())


def interrupt(command: Sequence[object], after_s: float) -> None:
    """Ctrl-C in the middle of a command in a process of its own, which ends without a fault.

    On a busy machine the interpreter itself may not be up yet: the system ends it then.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "scripts.main", *map(str, command)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) in (0, 130, -signal.SIGINT)


def write_account(path: Path, signer: Signer) -> Path:
    """A keystore whose key derivation is weak, for speed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    signer.save(path, PASSWORD, iterations=1024)
    return path


def write_keys(folder: Path, signer: Signer, hpke: HpkeKey | None = None) -> None:
    """Both keys of a folder, as `init` finds them when it is repeated."""
    write_account(folder / "account.json", signer)
    (hpke or HpkeKey.generate()).save(folder / "hpke.json", PASSWORD, scrypt_n=1024)


def write_access(folder: Path, rpc_url: str, name: str, signer: Signer) -> None:
    """Somebody's folder, beside the deployment file and the password."""
    write_keys(folder / name, signer)
    write_access_file(
        folder / name / "access.toml",
        address=signer.address,
        rpc_url=rpc_url,
        deployment=folder / "deployment.json",
        border=None,
        password_file=folder / "password",
        name=name,
    )


@dataclass(frozen=True)
class Network:
    """A deployment without a delay, whose governor holds every role."""

    folder: Path
    chain: Chain
    rpc_url: str
    deployment: Deployment

    def access(self, name: str) -> Path:
        return self.folder / name / "access.toml"

    def does(self, *arguments: object, who: str = "governor") -> Told:
        """A verb, done by somebody, with its answer as data."""
        return domicile(*arguments, "--access", self.access(who), "--json")

    def tells(self, *arguments: object, who: str = "governor") -> Told:
        """A verb as a person sees it."""
        return domicile(*arguments, "--access", self.access(who))

    def to(self, time_s: int) -> None:
        self.chain.request("evm_setNextBlockTimestamp", time_s)
        self.chain.request("evm_mine")

    @property
    def nodes(self) -> Nodes:
        return Nodes(self.chain, self.deployment)

    @property
    def places(self) -> Jurisdictions:
        return Jurisdictions(self.chain, self.deployment)

    def document(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return path


def settle(folder: Path, devnet: Devnet) -> Network:
    """Deploys, and makes the folders of a governor, a compliance office without a role, and somebody else."""
    chain = Chain(devnet.rpc_url)
    governor = Sender(chain, GOVERNOR)
    deployment = deploy(chain, governor, loosening_delay_s=0)
    deployment.save(folder / "deployment.json")
    password_file = folder / "password"
    password_file.write_text(PASSWORD + "\n", encoding="utf-8")
    for name, signer in (("governor", GOVERNOR), ("office", OFFICE), ("other", OTHER)):
        write_access(folder, devnet.rpc_url, name, signer)
    for signer in (OFFICE, NODE, OTHER):
        governor.wait(governor.transfer(signer.address, 10**18))
    network = Network(folder=folder, chain=chain, rpc_url=devnet.rpc_url, deployment=deployment)
    Sender(chain, NODE).act(network.nodes.register(DIGEST, Safeguard.NONE))
    return network


@contextmanager
def as_new(network: Network) -> Iterator[Network]:
    """Whatever is done to the chain meanwhile is taken back."""
    with taken_back(network.chain):
        yield network


@contextmanager
def taken_back(chain: Chain) -> Iterator[None]:
    snapshot = chain.request("evm_snapshot")
    try:
        yield
    finally:
        chain.request("evm_revert", snapshot)


def balance_wei(chain: Chain, account: Address) -> int:
    return int(chain.request("eth_getBalance", account, "latest"), 16)
