"""A network as a party's configuration names it, for verbs that need neither its stores nor its HPKE key."""

from __future__ import annotations

from pathlib import Path

from domicile.chain.account import Signer, address_in
from domicile.chain.client import Chain
from domicile.chain.contracts import Nodes
from domicile.chain.deployment import Deployment
from domicile.chain.sender import Sender
from domicile.party import PartySettings, read_password
from domicile.settings import named


class PartyAccess:
    """Nothing is sent but by its `sender`, and a password is asked for by that alone."""

    def __init__(self, path: Path, settings: PartySettings) -> None:
        """Checks the configuration, which lies at `path`, against the chain.

        Raises:
            ConfigurationError: it is wrong, or the chain is another one; ChainFault: it cannot be reached.
        """
        self._path = path
        self._settings = settings
        with named(path):
            self.address = address_in(settings.keys.account)
            self.deployment = Deployment.load(settings.chain.deployment)
            self.chain = Chain(settings.chain.rpc_url, confirmations=settings.chain.confirmations)
            self.deployment.check(self.chain)
        self.nodes = Nodes(self.chain, self.deployment)

    def sender(self) -> Sender:
        """Acts for the party's account.

        Raises:
            ConfigurationError: password or key file are wrong.
        """
        keys = self._settings.keys
        with named(self._path):
            signer = Signer.load(keys.account, read_password(keys))
        return Sender(self.chain, signer, max_fee_gwei=self._settings.chain.max_fee_gwei)
