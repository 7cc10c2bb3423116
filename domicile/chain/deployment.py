"""Deploying the contracts, and the file that says where they are.

The file is checked against the chain before anything is sent: chain id, the code at each address, and that the
interface is the one this software was built with.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from eth_utils.address import is_checksum_address

from domicile.chain.artifacts import Artifact, load_artifacts
from domicile.chain.client import Chain
from domicile.chain.deployment_progress import DeploymentProgress
from domicile.chain.deployment_steps import Steps
from domicile.chain.sender import Sender
from domicile.errors import ConfigurationError
from domicile.types import Address

FORMAT_VERSION = 4
_FIELDS = {
    "AccessManager": "access_manager",
    "NodeRegistry": "node_registry",
    "TrainingJobs": "training_jobs",
    "PrivacyLedger": "privacy_ledger",
    "UnmaskingBoard": "unmasking_board",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployment:
    """Where the contracts are. `abis` and `codes` hold sha-256 in hexadecimal, by contract."""

    chain_id: int
    first_block: int
    access_manager: Address
    node_registry: Address
    training_jobs: Address
    privacy_ledger: Address
    unmasking_board: Address
    abis: Mapping[str, str]
    codes: Mapping[str, str]

    def event_sources(self) -> dict[str, Address]:
        """Contracts whose events tell the record."""
        return {name: getattr(self, field) for name, field in _FIELDS.items() if name != "AccessManager"}

    def identity(self, chain: Chain) -> str:
        """In words, and another one for each deployment ever made: a chain that is started anew may have the same id
        and give the same addresses, but not the same blocks.

        Raises:
            ChainFault: the endpoint cannot be reached, or does not know the first block.
        """
        return (
            f"TrainingJobs {self.training_jobs} on chain {self.chain_id} since block {self.first_block} "
            f"({chain.hash_of(self.first_block)})"
        )

    def save(self, path: Path) -> None:
        """Writes the file, whole or not at all."""
        text = json.dumps({"version": FORMAT_VERSION, **asdict(self)}, indent=2, sort_keys=True) + "\n"
        temporary = path.with_name(path.name + ".new")
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Reads a deployment file.

        Raises:
            ConfigurationError: it is missing, or not such a file; names what is wrong.
        """
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
        except OSError as exc:
            raise ConfigurationError(f"{path}: cannot be read ({exc.strerror}); name the deployment file") from exc
        except ValueError as exc:
            raise ConfigurationError(f"{path}: is no JSON ({exc}); get the deployment file anew") from exc
        if not isinstance(document, dict) or document.pop("version", None) != FORMAT_VERSION:
            raise ConfigurationError(f"{path}: is no deployment file of version {FORMAT_VERSION}; get it anew")
        return cls(**_checked(path, document))

    def check(self, chain: Chain) -> None:
        """Compares the file with the chain and with this software; sends nothing.

        Raises:
            ConfigurationError: other chain, other code, or another version of the contracts.
            ChainFault: the endpoint cannot be reached.
        """
        found = chain.chain_id()
        if found != self.chain_id:
            raise ConfigurationError(
                f"the endpoint is chain {found}, the deployment file is for chain {self.chain_id}; correct "
                "chain.rpc_url or chain.deployment"
            )
        for name, field in _FIELDS.items():
            if self.abis[name] != _abi_digest(load_artifacts()[name]):
                raise ConfigurationError(
                    f"{name} was deployed with another interface than this software has; use the version of Domicile "
                    "that deployed it, or deploy anew"
                )
            code = chain.code(getattr(self, field))
            if hashlib.sha256(code).hexdigest() != self.codes[name]:
                state = "no code" if not code else "other code"
                raise ConfigurationError(
                    f"{name}: there is {state} at {getattr(self, field)} on this chain; was the chain started anew? "
                    "Deploy again, or name the right deployment file"
                )


def deploy(
    chain: Chain,
    sender: Sender,
    *,
    loosening_delay_s: int,
    progress_file: Path | None = None,
    say: Callable[[str], None] = lambda _line: None,
) -> Deployment:
    """Deploys everything; the sender gets every role, and waits `loosening_delay_s` before whatever loosens.

    With a delay, even the first attesters wait for it. To settle in at once, deploy without one and grant the delayed
    roles anew with one afterwards. With a `progress_file`, a deployment that was cut off is gone on with; the file is
    left for whoever saves the deployment to delete. `say` is told of each step.

    Raises:
        ConfigurationError: what was begun is another deployment.
        ChainFault: the endpoint failed; without a progress file, what was deployed before stays unused.
    """
    progress = DeploymentProgress(
        chain_id=chain.chain_id(),
        sender=sender.address,
        loosening_delay_s=loosening_delay_s,
        first_block=chain.block_number(),
    )
    begun = None if progress_file is None else DeploymentProgress.load(progress_file)
    if progress_file is not None and begun is not None:
        progress.check(progress_file, begun)
        progress = begun
    steps = Steps(chain=chain, sender=sender, progress=progress, progress_file=progress_file, say=say)
    addresses = steps.create_contracts()
    steps.settle_roles(addresses["AccessManager"], addresses["NodeRegistry"])
    artifacts = load_artifacts()
    return Deployment(
        chain_id=progress.chain_id,
        first_block=progress.first_block,
        **{field: addresses[name] for name, field in _FIELDS.items()},
        abis={name: _abi_digest(artifacts[name]) for name in _FIELDS},
        codes={name: hashlib.sha256(chain.code(address)).hexdigest() for name, address in addresses.items()},
    )


def _abi_digest(artifact: Artifact) -> str:
    text = json.dumps([dict(entry) for entry in artifact.abi], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _checked(path: Path, document: dict[str, Any]) -> dict[str, Any]:
    expected = set(Deployment.__dataclass_fields__)
    if set(document) != expected:
        wrong = sorted(set(document) ^ expected)[0]
        raise ConfigurationError(f"{path}: {wrong}: missing or unknown key; get the deployment file anew")
    for field in _FIELDS.values():
        if not (isinstance(document[field], str) and is_checksum_address(document[field])):
            raise ConfigurationError(f"{path}: {field}: not a checksummed address; get the deployment file anew")
    for key in ("abis", "codes"):
        if not (isinstance(document[key], dict) and set(document[key]) == set(_FIELDS)):
            raise ConfigurationError(f"{path}: {key}: not one digest a contract; get the deployment file anew")
    for key in ("chain_id", "first_block"):
        if not isinstance(document[key], int):
            raise ConfigurationError(f"{path}: {key}: not a whole number; get the deployment file anew")
    return document
