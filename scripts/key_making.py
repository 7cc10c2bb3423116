"""A participant's keys, made once: never overwritten, never half-written."""

from __future__ import annotations

import getpass
import os
from collections.abc import Callable
from pathlib import Path

from domicile.chain.account import Signer, address_in
from domicile.crypto.keys import HpkeKey
from domicile.errors import ConfigurationError
from domicile.party import PASSWORD_VARIABLE, AccountSettings, read_password
from domicile.types import Address
from scripts.options import PASSWORD_OPTION

ACCOUNT_FILE = "account.json"
HPKE_FILE = "hpke.json"


def ensure_keys(folder: Path, password_file: Path | None) -> tuple[Address, bool]:
    """The account of a folder, and whether a key had to be made. What an interrupted run left is gone on with.

    Raises:
        ConfigurationError: the folder cannot be written, or the password is not that of the key that is there.
    """
    account, hpke = folder / ACCOUNT_FILE, folder / HPKE_FILE
    if account.exists() and hpke.exists():
        return address_in(account), False
    password = _new_password(account, password_file)
    if account.exists():
        # The keys of a folder open with one password.
        Signer.load(account, password)
    _ensure(account, lambda path: Signer.from_key(os.urandom(32)).save(path, password))
    _ensure(hpke, lambda path: HpkeKey.generate().save(path, password))
    return address_in(account), True


def _new_password(account: Path, password_file: Path | None) -> str:
    """The password for keys that are made now: as `read_password`, but whoever is asked is asked twice.

    Raises:
        ConfigurationError: there is none, it is empty, or the two answers differ.
    """
    password = read_password(AccountSettings(account=account, password_file=password_file), told_by=PASSWORD_OPTION)
    if not password:
        raise ConfigurationError("the password is empty; give one")
    is_asked = password_file is None and PASSWORD_VARIABLE not in os.environ
    if is_asked and getpass.getpass("Once more: ") != password:
        raise ConfigurationError("the two passwords differ; nothing was made, repeat the command")
    return password


def _ensure(path: Path, make: Callable[[Path], None]) -> None:
    """Makes a key file beside its place and moves it there whole, unless one is there."""
    if path.exists():
        return
    beside = path.with_name(f".{path.name}.new")
    beside.unlink(missing_ok=True)
    make(beside)
    try:
        # Unlike a renaming, this fails where somebody was faster.
        os.link(beside, path)
    except OSError as exc:
        raise ConfigurationError(f"{path} cannot be written ({exc.strerror}); name another folder") from exc
    finally:
        beside.unlink()
