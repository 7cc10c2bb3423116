"""``access.toml``: how the command line reaches a network."""

from __future__ import annotations

import os
from pathlib import Path

from domicile.chain.client import Chain
from domicile.chain.contracts import Jobs
from domicile.chain.deployment import Deployment
from domicile.errors import ConfigurationError
from domicile.party import ChainSettings, KeySettings, Party, PartySettings, StoreSettings, open_party
from domicile.settings import Settings, load_settings
from domicile.storage.store import Store, open_store
from domicile.types import JobId

ACCESS_VARIABLE = "DOMICILE_ACCESS"
DEFAULT_FILE = Path("access.toml")


class AccessSettings(Settings):
    """`stores` by place, ``border`` among them. `keys` are needed only to open models. `names` label accounts."""

    chain: ChainSettings
    stores: dict[str, str]
    keys: KeySettings | None = None
    names: dict[str, str] = {}  # noqa: RUF012 - pydantic copies defaults


class Access:
    """A network as the command line sees it; sends nothing."""

    def __init__(self, path: Path) -> None:
        """Reads the file and checks it against the chain.

        Raises:
            ConfigurationError: the file is wrong, or the chain is another one; ChainFault: it cannot be reached.
        """
        self.settings = load_settings(path, AccessSettings)
        self._path = path
        if "border" not in self.settings.stores:
            raise ConfigurationError(f"{path}: stores.border: missing; add this key")
        self.deployment = Deployment.load(self.settings.chain.deployment)
        self.chain = Chain(self.settings.chain.rpc_url, confirmations=self.settings.chain.confirmations)
        self.deployment.check(self.chain)
        self.jobs = Jobs(self.chain, self.deployment)

    def stores(self) -> dict[str, Store]:
        return {place: open_store(location) for place, location in self.settings.stores.items()}

    def party(self) -> Party:
        """The user as a party, who can open what is sealed to it.

        Raises:
            ConfigurationError: the file names no keys.
        """
        if self.settings.keys is None:
            raise ConfigurationError(f"{self._path}: keys: missing; models are sealed, name the keys of a recipient")
        settings = PartySettings(
            name="reader",
            journal=Path(os.devnull),
            chain=self.settings.chain,
            keys=self.settings.keys,
            stores=StoreSettings(border=self.settings.stores["border"]),
        )
        return open_party(settings)

    def known_job(self, number: int) -> JobId:
        """A job's number, checked.

        Raises:
            ConfigurationError: there is no such job.
        """
        num_jobs = self.jobs.num_jobs()
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
            "(`domicile sandbox --keep` writes one)"
        )
    return Access(chosen)
