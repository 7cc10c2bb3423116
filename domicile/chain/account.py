"""An account's key: read from a keystore v3 file, never shown."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any, NoReturn, Self

from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_account.signers.local import LocalAccount
from eth_utils.address import to_checksum_address

from domicile.errors import ConfigurationError
from domicile.types import Address


class Signer:
    """Signs for one account."""

    def __init__(self, account: LocalAccount) -> None:
        self._account = account
        self.address = Address(account.address)

    @classmethod
    def from_key(cls, key: bytes) -> Self:
        """From 32 secret bytes."""
        return cls(Account.from_key(key))

    @classmethod
    def from_mnemonic(cls, mnemonic: str) -> Self:
        """The first account of a mnemonic, as development chains fund it."""
        Account.enable_unaudited_hdwallet_features()
        return cls(Account.from_mnemonic(mnemonic))

    @classmethod
    def load(cls, path: Path, password: str) -> Self:
        """Reads a keystore v3 file.

        Raises:
            ConfigurationError: no such file, others may read it, it is no keystore, or the password is wrong.
        """
        try:
            if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ConfigurationError(f"{path} can be read by others than its owner; run chmod 600 on it")
            document = json.loads(path.read_text(encoding="utf-8"))
            return cls(Account.from_key(Account.decrypt(document, password)))
        except OSError as exc:
            raise ConfigurationError(f"{path} cannot be read ({exc.strerror}); name the account's keystore") from exc
        except (AttributeError, KeyError, NotImplementedError, TypeError, ValueError) as exc:
            wrong = "the password is wrong" if "MAC mismatch" in str(exc) else "it is no keystore of version 3"
            raise ConfigurationError(f"{path}: {wrong}; correct it") from exc

    def save(self, path: Path, password: str, *, iterations: int | None = None) -> None:
        """Writes a keystore v3 file that only its owner may read. `iterations` weakens the key derivation (scrypt's
        n); for sandbox keys alone.

        Raises:
            ConfigurationError: the file exists already, or cannot be written.
        """
        document = Account.encrypt(self._account.key, password, iterations=iterations)
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as exc:
            raise ConfigurationError(f"{path} cannot be written ({exc.strerror}); name another file") from exc
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file)

    def sign_transaction(self, transaction: dict[str, Any]) -> bytes:
        """The raw signed transaction."""
        return bytes(self._account.sign_transaction(transaction).raw_transaction)

    def sign_typed_data(self, document: dict[str, Any]) -> bytes:
        """65-byte signature of EIP-712 typed data."""
        return bytes(self._account.sign_message(encode_typed_data(full_message=document)).signature)

    def __repr__(self) -> str:
        return f"Signer({self.address})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an account's key cannot be pickled")


def address_in(path: Path) -> Address:
    """The account of a keystore v3 file, for which no password is needed.

    Raises:
        ConfigurationError: the file cannot be read, or names no account.
    """
    try:
        address = json.loads(path.read_text(encoding="utf-8"))["address"]
        return Address(to_checksum_address("0x" + address.removeprefix("0x")))
    except OSError as exc:
        raise ConfigurationError(f"{path} cannot be read ({exc.strerror}); name the account's keystore") from exc
    except (AttributeError, KeyError, TypeError, ValueError) as exc:
        raise ConfigurationError(f"{path}: it is no keystore of version 3 with an address; correct it") from exc
