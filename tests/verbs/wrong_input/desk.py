"""Where somebody types what is wrong, and all that must be as before."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from domicile.chain.client import Chain
from domicile.types import Address
from scripts.command import cli
from tests.verbs.network_ground import domicile

Row = tuple[str, str, int]
"""A command, what its only line says, and its exit code. Words in capitals stand for what `Desk.names` says."""

ACCOUNT = "0x70997970C51812dc3A010C7d01b50e0d17dc79C8"
"""Nobody's in any network of the tests."""

SWAPPED = "0x70997970C51812dc3A010C7d01b50e0d17dc79c8"
"""With a letter of another case than its checksum asks for."""

NOWHERE = "http://127.0.0.1:1"

NO_ACCOUNT = "no account; write 0x and 40 hexadecimal digits"
NO_CODE = "no code of a jurisdiction; write ISO 3166-1 (DE)"
NO_FILE = "does not exist"
NO_TOML = "not valid TOML"
NO_ROLE = "has no role for"
NO_ENDPOINT = "--rpc: no JSON-RPC endpoint; write http://HOST:PORT or https://HOST"
NO_PASSWORD = "no password; set --password-file or the variable DOMICILE_PASSWORD"
GONE = "cannot be reached"


def leaves(command: click.Command, name: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every verb of a command, by its full name."""
    if not isinstance(command, click.Group):
        yield name.strip(), command
        return
    for part, below in command.commands.items():
        yield from leaves(below, f"{name} {part}")


VERBS = dict(leaves(cli))


def verb_of(words: Sequence[str]) -> str:
    return next((name for name in (" ".join(words[:2]), words[0]) if name in VERBS), "")


@dataclass(frozen=True, kw_only=True)
class Desk:
    """Where somebody types."""

    folders: Sequence[Path]
    chain: Chain
    accounts: Sequence[Address]
    names: Mapping[str, object]

    def refuses(self, row: Row) -> None:
        """That the command is told what is wrong in one line, and that nothing is written or sent."""
        command, message, code = row
        words = [str(self.names.get(word, word)) for word in command.split(" ")]
        before = self._state()
        told = domicile(*words, *(["--json"] if _takes_json(words) else []))
        assert (told.code, told.out, told.err.count("\n")) == (code, "", 1), told.err
        assert told.err.startswith("domicile: ")
        assert message in told.err, told.err
        files, transactions = self._state()
        assert sorted(set(files.items()) ^ set(before[0].items())) == []
        assert transactions == before[1]

    def _state(self) -> tuple[dict[Path, bytes], list[str]]:
        """Every file, and each account's number of transactions."""
        paths = (path for folder in self.folders for path in folder.rglob("*") if _is_content(path))
        files = {path: path.read_bytes() for path in paths}
        return files, [self.chain.request("eth_getTransactionCount", one, "pending") for one in self.accounts]


def _is_content(path: Path) -> bool:
    """Locks of keys and stores are empty files, made by whoever opens one."""
    return path.is_file() and path.stat().st_size > 0


def _takes_json(words: Sequence[str]) -> bool:
    verb = VERBS.get(verb_of(words))
    options = [one for one in verb.params if isinstance(one, click.Option)] if verb is not None else []
    return any(one.opts == ["--json"] and one.is_flag for one in options)
