"""A party to the network: its keys, and the doors through which it reaches chain and stores."""

from __future__ import annotations

import getpass
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field

from domicile import metrics
from domicile.chain.account import Signer
from domicile.chain.client import Chain
from domicile.chain.contracts import Board, Jobs, Jurisdictions, Nodes
from domicile.chain.deployment import Deployment
from domicile.chain.sender import Sender
from domicile.clock import JobClock
from domicile.crypto.keys import HpkeKey
from domicile.errors import ConfigurationError, StoreFault
from domicile.key_lock import AccountLock, KeyLock
from domicile.protocol.eligibility import Safeguard
from domicile.settings import PathHere, Settings, StoreHere, named
from domicile.storage.measured import MeasuredBlocks
from domicile.storage.store import BlockStore, Opening, Store, open_blocks

PASSWORD_VARIABLE = "DOMICILE_PASSWORD"  # noqa: S105 - the name of the variable, not a password

NAME_PATTERN = "[A-Za-z0-9._-]{1,64}"
"""Of a party's name: it goes into logs, labels and file names."""

BYTES_A_PARAMETER = 32
"""Eight float32: the model as vector and module, its start, the gradient, two moments of an optimiser, the update and
one to spare."""


class ChainSettings(Settings):
    """`confirmations`: blocks behind the head at which the chain is read. `poll_s`: seconds between two looks."""

    rpc_url: str
    deployment: PathHere
    confirmations: int = Field(default=0, ge=0)
    max_fee_gwei: float = Field(default=100.0, gt=0)
    poll_s: float = Field(default=0.5, gt=0)


class AccountSettings(Settings):
    """File of an account (keystore v3). Its password is read from `password_file`, else from the environment variable
    DOMICILE_PASSWORD, else asked for where there is a terminal.
    """

    account: PathHere
    password_file: PathHere | None = None


class KeySettings(AccountSettings):
    """Also the file of the HPKE key, under the same password."""

    hpke: PathHere


class StoreSettings(Settings):
    """`region`: the store of this party's jurisdiction; `border`: the store that all shards can read.

    Each is ``dir:PATH`` for a folder of blocks, or ``http://HOST:PORT`` for the RPC of a Kubo daemon.
    """

    border: StoreHere
    region: StoreHere | None = None


class LimitSettings(Settings):
    """`max_parameters`: parameters of the largest model that this party takes on, since anybody may create a job. Left
    out, it follows from the machine's memory.
    """

    max_parameters: int | None = Field(default=None, ge=1)


class MetricsSettings(Settings):
    """Where a daemon's figures are served for Prometheus, to everybody who reaches the port. Without `port`, nowhere.

    `host`: the address to listen on; figures leave this machine only where ``0.0.0.0`` or another one is written out.
    """

    port: int | None = Field(default=None, ge=1, le=65535)
    host: str = Field(default="127.0.0.1", min_length=1)


SafeguardName = Literal["differential_privacy", "secure_aggregation"]


class PartySettings(Settings):
    """What every daemon is told. `safeguards`: which of those that this software has the party offers on chain; the
    contract keeps it out of jobs that demand another one.
    """

    BLANKS = (("chain", "rpc_url"), ("stores", "border"), ("data", "train"))

    name: str = Field(pattern=f"^{NAME_PATTERN}$")
    journal: PathHere
    chain: ChainSettings
    keys: KeySettings
    stores: StoreSettings
    limits: LimitSettings = LimitSettings()
    metrics: MetricsSettings = MetricsSettings()
    safeguards: tuple[SafeguardName, ...] = get_args(SafeguardName)


@dataclass(frozen=True, kw_only=True)
class Party:
    """Keys and doors, opened. `region` is `None` for those who serve no region."""

    name: str
    chain: Chain
    deployment: Deployment
    jurisdictions: Jurisdictions
    nodes: Nodes
    jobs: Jobs
    board: Board
    sender: Sender
    hpke: HpkeKey
    border: Store
    region: Store | None
    poll_s: float
    max_parameters: int
    safeguards: Safeguard

    def follow(self, clock: JobClock) -> None:
        """Waits for the answers of chain and stores by this clock from now on."""
        self.chain.follow(clock)
        self.border.follow(clock)
        if self.region is not None:
            self.region.follow(clock)


def open_party(settings: PartySettings) -> Party:
    """Opens every door of a party; nothing is sent.

    Raises:
        ConfigurationError: a file, password or location is wrong, or region and border store are the same.
        ChainFault: the endpoint cannot be reached or is not the chain of the deployment file.
        StoreFault: the folder of a store is not there; or a Kubo daemon cannot be reached, so that nobody can tell
            whether it is the other store too.
    """
    border, region = _open_stores(settings.stores)
    password = read_password(settings.keys)
    signer = Signer.load(settings.keys.account, password)
    hpke = HpkeKey.load(settings.keys.hpke, password)
    deployment = Deployment.load(settings.chain.deployment)
    chain = Chain(settings.chain.rpc_url, confirmations=settings.chain.confirmations)
    deployment.check(chain)
    return Party(
        name=settings.name,
        chain=chain,
        deployment=deployment,
        jurisdictions=Jurisdictions(chain, deployment),
        nodes=Nodes(chain, deployment),
        jobs=Jobs(chain, deployment),
        board=Board(chain, deployment),
        sender=Sender(chain, signer, max_fee_gwei=settings.chain.max_fee_gwei),
        hpke=hpke,
        border=border,
        region=region,
        poll_s=settings.chain.poll_s,
        max_parameters=settings.limits.max_parameters or default_max_parameters(),
        safeguards=Safeguard.of(settings.safeguards),
    )


@contextmanager
def open_daemon(path: Path, settings: PartySettings, *, role: str) -> Iterator[Party]:
    """Opens a party for the daemon that alone acts with its key, and serves its metrics; `path` names its configuration
    in errors.

    Raises:
        ConfigurationError: another daemon holds the key, or the port of metrics is taken, besides all that
            `open_party` raises.
    """
    with ExitStack() as held:
        with named(path):
            # Before all else, since only this needs neither password nor chain.
            held.enter_context(KeyLock(settings.keys.account))
            party = open_party(settings)
            held.enter_context(AccountLock(settings.keys.account, party.sender.address, _mark_of(party)))
            # Last: a second daemon of one key would find the port taken, and be told to choose another.
            metrics.serve(settings.metrics.port, settings.metrics.host, role=role, party=settings.name)
        yield party


def _mark_of(party: Party) -> str:
    """Hash of the earliest block that may hold a contract: chains that are begun in one second, with the same clock and
    keys, have the block before it in common.
    """
    return party.chain.hash_of(party.deployment.first_block + 1)


def _open_store(key: str, location: str) -> Store:
    try:
        return BlockStore(MeasuredBlocks(open_blocks(location, Opening.IN_PLACE), key))
    except (ConfigurationError, StoreFault) as exc:
        raise type(exc)(f"stores.{key}: {exc}") from exc


def _open_stores(settings: StoreSettings) -> tuple[Store, Store | None]:
    border = _open_store("border", settings.border)
    if settings.region is None:
        return border, None
    region = _open_store("region", settings.region)
    if region.identity() == border.identity():
        raise ConfigurationError(
            "stores: region and border are the same store, so that everything in the region could be read outside; "
            "name two different stores"
        )
    return border, region


def read_password(keys: AccountSettings, *, told_by: str = "keys.password_file") -> str:
    """The password of a party's key files. `told_by`: what names the password's file to whoever asks.

    Raises:
        ConfigurationError: there is none, or its file cannot be read.
    """
    if keys.password_file is not None:
        try:
            return keys.password_file.read_text(encoding="utf-8").rstrip("\n")
        except (OSError, UnicodeDecodeError) as exc:
            cause = exc.strerror if isinstance(exc, OSError) else "not UTF-8"
            raise ConfigurationError(
                f"{told_by}: {keys.password_file} cannot be read ({cause}); name a file of yours"
            ) from exc
    password = os.environ.get(PASSWORD_VARIABLE)
    if password is not None:
        return password
    if sys.stdin is not None and sys.stdin.isatty():
        return getpass.getpass(f"Password of {keys.account}: ")
    raise ConfigurationError(f"no password; set {told_by} or the variable {PASSWORD_VARIABLE}")


def default_max_parameters() -> int:
    """Parameters of the largest model that the machine's memory holds as often as training needs it."""
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // BYTES_A_PARAMETER
