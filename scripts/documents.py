"""Documents that acts of governance quote: their digests, and the salt of those that could be guessed."""

from __future__ import annotations

import hashlib
import json
import secrets
from pathlib import Path

from domicile.errors import ConfigurationError
from domicile.types import DIGEST_BYTES, Address, Digest, digest
from scripts.outputs import write_private

NO_DOCUMENT = Digest(bytes(DIGEST_BYTES))
"""Quoted where no document is named."""

SALT_BYTES = 16
REASONS_FOLDER = "reasons"


def file_digest(path: Path) -> Digest:
    """sha-256 of a file: whoever has it can compare it with the chain.

    Raises:
        ConfigurationError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return Digest(hashlib.file_digest(file, "sha256").digest())
    except OSError as exc:
        raise ConfigurationError(f"{path} cannot be read ({exc.strerror}); name another document") from exc


def salted_digest(salt: bytes, text: str) -> Digest:
    """sha-256 of a salt and a text in UTF-8."""
    return Digest(hashlib.sha256(salt + text.encode()).digest())


def reason_digest(folder: Path, account: Address, act: str, text: str) -> tuple[Digest, Path]:
    """Digest of a reason about an account, and the file that holds its salt: without it, a short text could be guessed
    from its digest, and with it, its author can show it. Asked again for the same, the digest is the same.

    Raises:
        ConfigurationError: the file cannot be read or written.
    """
    wanted = {"account": account, "act": act, "reason": text}
    # Whatever is in the name is on chain.
    home = folder / REASONS_FOLDER
    try:
        for path in sorted(home.glob("*.json")):
            told = json.loads(path.read_text(encoding="utf-8"))
            if {key: told[key] for key in wanted} == wanted and not told["done"]:
                return digest(path.stem), path
        salt = secrets.token_bytes(SALT_BYTES)
        found = salted_digest(salt, text)
        path = home / f"{found.hex()}.json"
        home.mkdir(mode=0o700, exist_ok=True)
        write_private(path, json.dumps({**wanted, "salt": salt.hex(), "done": False}))
    except OSError as exc:
        raise ConfigurationError(f"{home} cannot be read or written ({exc.strerror}); mend that") from exc
    except (KeyError, TypeError, ValueError) as exc:
        raise ConfigurationError(f"{path} is no reason that was kept here ({exc}); move it elsewhere") from exc
    return found, path


def mark_done(path: Path) -> None:
    """Its act is on chain: the same text begins a new one."""
    write_private(path, json.dumps({**json.loads(path.read_text(encoding="utf-8")), "done": True}))
