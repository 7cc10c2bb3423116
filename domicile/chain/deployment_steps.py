"""The steps of a deployment, each done once however often the deployment is begun anew.

A contract's address follows from its creator's account and nonce. The nonce is noted before the creation is sent, so
that whoever repeats a deployment that was cut off knows where to look for its contracts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from domicile.chain.artifacts import Artifact, load_artifacts
from domicile.chain.client import Chain
from domicile.chain.deployment_progress import DeploymentProgress
from domicile.chain.governance import DELAYED_ROLES, FUNCTIONS, AccessRoles, Role, selectors_of
from domicile.chain.role_book import RoleBook
from domicile.chain.sender import Call, Sender
from domicile.errors import ChainFault, ConfigurationError
from domicile.types import Address

CONTRACTS = ("AccessManager", "NodeRegistry", "TrainingJobs", "UnmaskingBoard")
"""In the order of their creation: each is told the address of the one before, the first that of its administrator."""

LEDGER_NONCE = 1
"""TrainingJobs creates the PrivacyLedger, its one creation, with itself; nonces of contracts count from 1."""

IDLE_TIMEOUT_S = 120.0
_POLL_S = 0.2


@dataclass(frozen=True, kw_only=True)
class Steps:
    """One deployment, done by one account. Without a `progress_file`, it is lost with its process."""

    chain: Chain
    sender: Sender
    progress: DeploymentProgress
    progress_file: Path | None
    say: Callable[[str], None]

    def create_contracts(self) -> dict[str, Address]:
        """Creates what is not there yet.

        Raises:
            ConfigurationError: other code lies where a contract was noted.
            ChainFault: the endpoint failed; a repetition goes on from here.
        """
        await_idle(self.chain, self.sender.address)
        found: dict[str, Address] = {}
        argument = self.sender.address
        for name in CONTRACTS:
            argument = found[name] = self._existing(name) or self._create(name, argument)
        found["PrivacyLedger"] = creation_address(found["TrainingJobs"], LEDGER_NONCE)
        return found

    def settle_roles(self, manager: Address, nodes: Address) -> None:
        """Sends what is missing until the sender holds every role."""
        for call in self._missing_roles(RoleBook(self.chain, manager), AccessRoles(manager), nodes):
            self.sender.act(call)
        self.say(f"roles are with {self.sender.address}")

    def _existing(self, name: str) -> Address | None:
        nonce = self.progress.nonces.get(name)
        if nonce is None:
            return None
        address = creation_address(self.sender.address, nonce)
        code = self.chain.code(address)
        if not code:
            return None
        if not load_artifacts()[name].is_code(code):
            raise ConfigurationError(
                f"{name}: there is other code at {address} than this version of Domicile has; finish with the version "
                "that began, or delete the progress file to begin anew"
            )
        self.say(f"{name} is at {address}")
        return address

    def _create(self, name: str, argument: Address) -> Address:
        nonce = int(self.chain.request("eth_getTransactionCount", self.sender.address, "latest"), 16)
        self._note(name, nonce)
        creation = _creation(load_artifacts()[name], argument)
        handle = self.sender.deploy(name, creation)
        if handle.fields["nonce"] != nonce:
            # Somebody else sent from this account in this moment.
            self._note(name, int(str(handle.fields["nonce"])))
        receipt = self.sender.wait(handle)
        if receipt.contract is None:
            raise ChainFault(f"{name}: the endpoint names no address of the new contract; is it an EVM chain?")
        address = Address(to_checksum_address(receipt.contract))
        self.say(f"{name} created at {address}")
        return address

    def _note(self, name: str, nonce: int) -> None:
        nonces = self.progress.nonces
        # What comes after it was told another address, if it is there at all.
        for later in CONTRACTS[CONTRACTS.index(name) :]:
            nonces.pop(later, None)
        nonces[name] = nonce
        if self.progress_file is not None:
            self.progress.save(self.progress_file)

    def _missing_roles(self, book: RoleBook, roles: AccessRoles, nodes: Address) -> Iterator[Call]:
        """The administrator's own delay comes last: with it, nothing else could be done at once."""
        for role in FUNCTIONS:
            if any(book.role_for(nodes, one) != role for one in selectors_of(role)):
                yield roles.assign(nodes, role)
        if book.guardian_of(Role.LOOSENER) != Role.CANCELLER:
            yield roles.set_guardian(Role.LOOSENER, Role.CANCELLER)
        account = self.sender.address
        for role in sorted(Role, key=lambda one: one is Role.ADMINISTRATOR):
            delay_s = self.progress.loosening_delay_s if role in DELAYED_ROLES else 0
            held = book.holding(role, account)
            if held is None or held.lasting_delay_s != delay_s:
                yield roles.grant(role, account, delay_s=delay_s)


def creation_address(sender: Address, nonce: int) -> Address:
    """Address of the contract that an account creates with a nonce: the hash of both in RLP."""
    count = nonce.to_bytes((nonce.bit_length() + 7) // 8)
    # A byte below 0x80 stands for itself, and 0 is the empty string.
    told = count if nonce and nonce < 0x80 else bytes([0x80 + len(count)]) + count
    payload = bytes([0x80 + 20]) + bytes.fromhex(sender[2:]) + told
    return Address(to_checksum_address(keccak(bytes([0xC0 + len(payload)]) + payload)[-20:]))


def await_idle(chain: Chain, account: Address) -> None:
    """Waits until nothing of an account is on its way: an earlier run may have been ended after it sent something.

    Raises:
        ChainFault: it takes too long.
    """
    deadline = time.monotonic() + IDLE_TIMEOUT_S
    while _count(chain, account, "pending") > _count(chain, account, "latest"):
        if time.monotonic() > deadline:
            raise ChainFault(
                f"a transaction of {account} has been on its way for {IDLE_TIMEOUT_S:g} s; repeat this when it is mined"
            )
        time.sleep(_POLL_S)


def _count(chain: Chain, account: Address, block: str) -> int:
    return int(chain.request("eth_getTransactionCount", account, block), 16)


def _creation(artifact: Artifact, argument: Address) -> bytes:
    """Every constructor takes one address."""
    return artifact.bytecode + bytes(12) + bytes.fromhex(argument[2:])
