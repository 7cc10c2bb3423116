"""The file that says how far a deployment came, for whoever repeats one that was cut off."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Self

from domicile.errors import ConfigurationError
from domicile.types import Address

VERSION = 1


@dataclass(kw_only=True)
class DeploymentProgress:
    """How far a deployment came. `nonces`: that of each contract's creation, noted before it is sent."""

    chain_id: int
    sender: Address
    loosening_delay_s: int
    first_block: int
    nonces: dict[str, int] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Writes the file, whole or not at all, and so that a power failure leaves it."""
        temporary = path.with_name(path.name + ".new")
        try:
            with temporary.open("w", encoding="utf-8") as file:
                json.dump({"version": VERSION, **asdict(self)}, file)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except OSError as exc:
            raise ConfigurationError(f"{path} cannot be written ({exc.strerror}); name another place") from exc

    @classmethod
    def load(cls, path: Path) -> Self | None:
        """What an earlier run noted; `None` where there was none.

        Raises:
            ConfigurationError: the file cannot be read, or is none of this version.
        """
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document.pop("version") != VERSION:
                raise ValueError("another version")
            return cls(**document)
        except FileNotFoundError:
            return None
        except (OSError, AttributeError, KeyError, TypeError, ValueError) as exc:
            raise ConfigurationError(
                f"{path}: no progress of a deployment that this version can read; finish with the version that began "
                "it, or delete the file to begin anew"
            ) from exc

    def check(self, path: Path, begun: Self) -> None:
        """Whether `begun` is the deployment that this one would be.

        Raises:
            ConfigurationError: it is another one.
        """
        anew = f"or delete {path} to begin anew"
        if begun.chain_id != self.chain_id:
            raise ConfigurationError(
                f"the deployment was begun on chain {begun.chain_id}, the endpoint is chain {self.chain_id}; name an "
                f"endpoint of that chain, {anew}"
            )
        if begun.sender != self.sender:
            raise ConfigurationError(
                f"the deployment was begun by {begun.sender}, this account is {self.sender}; name that account, {anew}"
            )
        if begun.loosening_delay_s != self.loosening_delay_s:
            raise ConfigurationError(
                f"the deployment was begun with a loosening delay of {begun.loosening_delay_s} s, not "
                f"{self.loosening_delay_s} s; repeat it with that one, {anew}"
            )
