"""The compiled contracts, as ``python -m domicile.chain.compile`` leaves them in ``build/contracts.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from domicile.errors import ConfigurationError

REPOSITORY = Path(__file__).resolve().parents[2]
ARTIFACTS_FILE = REPOSITORY / "build" / "contracts.json"

FORMAT = 1
"""Version of the file's layout; a file of another version counts as missing."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Artifact:
    """One compiled contract.

    ``bytecode`` creates the contract (constructor arguments are appended); ``runtime`` is what then lies on the chain,
    with zeros where the constructor fills in immutable values.
    """

    name: str
    abi: tuple[Mapping[str, Any], ...] = field(repr=False)
    bytecode: bytes = field(repr=False)
    runtime: bytes = field(repr=False)

    def is_code(self, code: bytes) -> bool:
        """Whether code on a chain is this contract's, whatever immutable values it was given."""
        return len(code) == len(self.runtime) and all(
            ours in (0, found) for ours, found in zip(self.runtime, code, strict=True)
        )


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigurationError(f"{path.name}: the contracts are not compiled yet; run `make setup`") from None
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path.name}: cannot be read ({error}); delete it and run `make setup`") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ConfigurationError(f"{path.name}: written by another version of Domicile; run `make setup`")
    return document


@lru_cache
def load_artifacts(path: Path = ARTIFACTS_FILE) -> Mapping[str, Artifact]:
    """Every contract by name, OpenZeppelin's ``AccessManager`` included.

    Raises:
        ConfigurationError: the contracts were never compiled, or the file is damaged.
    """
    contracts = _read(path)["contracts"]
    return MappingProxyType(
        {
            name: Artifact(
                name=name,
                abi=tuple(contract["abi"]),
                bytecode=bytes.fromhex(contract["bytecode"]),
                runtime=bytes.fromhex(contract["runtime"]),
            )
            for name, contract in contracts.items()
        }
    )


@lru_cache
def load_enums(path: Path = ARTIFACTS_FILE) -> Mapping[str, tuple[str, ...]]:
    """Members of every Solidity enum of the interfaces, in the order of their values.

    Raises:
        ConfigurationError: the contracts were never compiled, or the file is damaged.
    """
    return MappingProxyType({name: tuple(members) for name, members in _read(path)["enums"].items()})
