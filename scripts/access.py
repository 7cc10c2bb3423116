"""``access.toml``: how the command line reaches a network."""

from __future__ import annotations

import os
from pathlib import Path

from domicile.chain.account import Signer, address_in
from domicile.chain.client import Chain
from domicile.chain.contracts import Jobs
from domicile.chain.deployment import Deployment
from domicile.chain.sender import Sender
from domicile.errors import ConfigurationError
from domicile.party import (
    AccountSettings,
    ChainSettings,
    KeySettings,
    Party,
    PartySettings,
    StoreSettings,
    open_party,
    read_password,
)
from domicile.settings import PathHere, Settings, StoreHere, load_settings, named
from domicile.storage.store import Opening, Store, open_store
from domicile.types import Address, JobId

ACCESS_VARIABLE = "DOMICILE_ACCESS"
DEFAULT_FILE = Path("access.toml")


class AccessKeySettings(AccountSettings):
    """`hpke` is needed only to open models."""

    hpke: PathHere | None = None


class AccessSettings(Settings):
    """`stores` by place, ``border`` among them; who reads no documents needs none. `keys` are needed to act and to open
    models. `names` label accounts.
    """

    chain: ChainSettings
    stores: dict[str, StoreHere] = {}  # noqa: RUF012 - pydantic copies defaults
    keys: AccessKeySettings | None = None
    names: dict[str, str] = {}  # noqa: RUF012 - pydantic copies defaults


class Access:
    """A network as the command line sees it; nothing is sent but by its `sender`."""

    def __init__(self, path: Path) -> None:
        """Reads the file and checks it against the chain.

        Raises:
            ConfigurationError: the file is wrong, or the chain is another one; ChainFault: it cannot be reached.
        """
        self.settings = load_settings(path, AccessSettings)
        self._path = path
        self.deployment = Deployment.load(self.settings.chain.deployment)
        self.chain = Chain(self.settings.chain.rpc_url, confirmations=self.settings.chain.confirmations)
        self.deployment.check(self.chain)
        self.jobs = Jobs(self.chain, self.deployment)

    def stores(self) -> dict[str, Store]:
        return {place: open_store(location, Opening.IN_PLACE) for place, location in self.settings.stores.items()}

    @property
    def border(self) -> str:
        """Location of the border store.

        Raises:
            ConfigurationError: the file names none.
        """
        location = self.settings.stores.get("border")
        if location is None:
            raise ConfigurationError(f"{self._path}: stores.border: missing; add this key")
        return location

    @property
    def folder(self) -> Path:
        """Where the file lies."""
        return self._path.parent

    @property
    def _keys(self) -> AccessKeySettings:
        if self.settings.keys is None:
            raise ConfigurationError(f"{self._path}: keys: missing; name the account that is to act")
        return self.settings.keys

    @property
    def address(self) -> Address:
        """The user's account, for which no password is needed.

        Raises:
            ConfigurationError: the file names no keys, or the key file is wrong.
        """
        with named(self._path):
            return address_in(self._keys.account)

    def signer(self) -> Signer:
        """The user's account.

        Raises:
            ConfigurationError: the file names no keys, or password or key file are wrong.
        """
        keys = self._keys
        with named(self._path):
            return Signer.load(keys.account, read_password(keys))

    def sender(self) -> Sender:
        """Acts for the user's account."""
        return Sender(self.chain, self.signer(), max_fee_gwei=self.settings.chain.max_fee_gwei)

    def party(self) -> Party:
        """The user as a party, who can open what is sealed to it.

        Raises:
            ConfigurationError: the file names no keys.
        """
        keys = self.settings.keys
        if keys is None or keys.hpke is None:
            raise ConfigurationError(
                f"{self._path}: keys.hpke: missing; models are sealed, name the keys of a recipient"
            )
        settings = PartySettings(
            name="reader",
            journal=Path(os.devnull),
            chain=self.settings.chain,
            keys=KeySettings(account=keys.account, hpke=keys.hpke, password_file=keys.password_file),
            stores=StoreSettings(border=self.border),
        )
        return open_party(settings)

    def known_job(self, number: int) -> JobId:
        """A job's number, checked.

        Raises:
            ConfigurationError: there is no such job.
        """
        return known_job(self.jobs, number)


def known_job(jobs: Jobs, number: int) -> JobId:
    """A job's number, checked.

    Raises:
        ConfigurationError: there is no such job.
    """
    num_jobs = jobs.num_jobs()
    if not 1 <= number <= num_jobs:
        there_are = f"there are jobs 1 to {num_jobs}" if num_jobs else "there is none yet"
        raise ConfigurationError(f"job {number}: no such job, {there_are}; `domicile job list` lists them")
    return JobId(number)


def open_access(path: Path | None) -> Access:
    """Access by the option, the environment variable DOMICILE_ACCESS, or ``access.toml`` here.

    Raises:
        ConfigurationError: there is no such file.
    """
    chosen = path or Path(os.environ.get(ACCESS_VARIABLE, DEFAULT_FILE))
    if not chosen.exists():
        raise ConfigurationError(
            f"{chosen}: no such file; name the access file of a network with --access or {ACCESS_VARIABLE} "
            "(`domicile access init` makes one, and `domicile sandbox --keep`)"
        )
    return Access(chosen)
