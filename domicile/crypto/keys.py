"""HPKE and masking keys, and the public key cards that carry them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, MLKEM768X25519PublicKey, Suite
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from eth_utils.address import is_checksum_address

from domicile.errors import ConfigurationError, PeerError
from domicile.types import Address

SUITE = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
"""Hybrid post-quantum: broken only if both ML-KEM-768 (FIPS 203) and X25519 (RFC 7748) are."""

MLKEM_PUBLIC_BYTES = 1184
HPKE_PUBLIC_BYTES = MLKEM_PUBLIC_BYTES + 32
MASKING_PUBLIC_BYTES = 32
RECIPIENT_ID_BYTES = 8
SCRYPT_N = 1 << 17
"""About half a second and 128 MiB a guess (RFC 7914)."""

SCRYPT_ALLOWED = frozenset(1 << power for power in range(10, 21))
"""Costs that a key file may ask for: a hostile file must not ask for all memory."""

_MLKEM_SEED_BYTES = 64
KEY_CARD_VERSION = 2
KEY_CARD_BYTES_MAX = 16 << 10

MASKING_KEY_LABEL = b"domicile masking key v1"
_TRIAL_SCALAR = X25519PrivateKey.from_private_bytes(bytes(32))
"""Multiplies a stranger's point to see whether it is of low order; clamping makes 2^254 of the zeros."""


class MaskingKey:
    """A participant's X25519 key of the secure sum (``docs/secure-aggregation.md``). Never shows its secret."""

    def __init__(self, seed: bytes) -> None:
        """`seed`: 32 bytes, an X25519 private key (RFC 7748, section 5)."""
        self._private = X25519PrivateKey.from_private_bytes(seed)

    @property
    def public_bytes(self) -> bytes:
        return self._private.public_key().public_bytes_raw()

    def agree(self, masking_public: bytes) -> bytes:
        """The 32 bytes shared with another key's owner. Raw: only HKDF may take them in.

        Raises:
            PeerError: these are no 32 bytes, or a point of low order, which would give everybody the same secret.
        """
        try:
            return self._private.exchange(X25519PublicKey.from_public_bytes(masking_public))
        except ValueError as exc:
            raise PeerError(f"no masking key ({exc}); its owner must register a proper key card") from exc

    def __repr__(self) -> str:
        return f"MaskingKey(public={self.public_bytes.hex()[:16]})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a masking key cannot be pickled")


class HpkeKey:
    """A participant's HPKE private key. Never shows its secret in `repr`, and cannot be pickled."""

    def __init__(self, seeds: bytes) -> None:
        """`seeds`: 64 bytes for ML-KEM-768, then 32 for X25519."""
        self._seeds = seeds
        self._mlkem = MLKEM768PrivateKey.from_seed_bytes(seeds[:_MLKEM_SEED_BYTES])
        self._x25519 = X25519PrivateKey.from_private_bytes(seeds[_MLKEM_SEED_BYTES:])
        self._private = MLKEM768X25519PrivateKey(self._mlkem, self._x25519)

    @classmethod
    def generate(cls) -> Self:
        return cls(os.urandom(_MLKEM_SEED_BYTES + 32))

    @classmethod
    def from_seed(cls, seed: bytes) -> Self:
        """Derives a key from 32 bytes (HKDF, RFC 5869). For the sandbox alone, whose runs must be repeatable."""
        hkdf = HKDF(algorithm=hashes.SHA256(), length=_MLKEM_SEED_BYTES + 32, salt=None, info=b"domicile hpke key v1")
        return cls(hkdf.derive(seed))

    @property
    def public_bytes(self) -> bytes:
        """ML-KEM-768 encapsulation key, then X25519 public key; 1,216 bytes."""
        return self._mlkem.public_key().public_bytes_raw() + self._x25519.public_key().public_bytes_raw()

    @property
    def recipient_id(self) -> bytes:
        return recipient_id(self.public_bytes)

    def masking_key(self) -> MaskingKey:
        """The masking key of the same owner, derived from the seeds (HKDF, RFC 5869), so that one key file is enough.

        Its label keeps it apart: who learns one of the two keys learns nothing of the other.
        """
        hkdf = HKDF(algorithm=hashes.SHA256(), length=MASKING_PUBLIC_BYTES, salt=None, info=MASKING_KEY_LABEL)
        return MaskingKey(hkdf.derive(self._seeds))

    def unwrap(self, wrapped: bytes, info: bytes) -> bytes:
        """Opens a single-shot HPKE ciphertext (RFC 9180, section 6.1).

        Raises:
            InvalidTag: it was not sealed to this key and info.
        """
        return SUITE.decrypt(wrapped, self._private, info=info)

    def save(self, path: Path, password: str, *, scrypt_n: int = SCRYPT_N) -> None:
        """Writes the key encrypted under a password; only the owner may read the file.

        Raises:
            ConfigurationError: the file exists already, or cannot be written.
        """
        salt, nonce = os.urandom(16), os.urandom(12)
        sealed = AESGCM(_stretch(password, salt, scrypt_n)).encrypt(nonce, self._seeds, None)
        document = {
            "version": 1,
            "kdf": "scrypt",
            "n": scrypt_n,
            "salt": salt.hex(),
            "nonce": nonce.hex(),
            "key": sealed.hex(),
        }
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError as exc:
            raise ConfigurationError(f"{path} exists already; a key is never overwritten, name another file") from exc
        except OSError as exc:
            raise ConfigurationError(f"{path} cannot be written ({exc.strerror}); name another file") from exc
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump(document, file)

    @classmethod
    def load(cls, path: Path, password: str) -> Self:
        """Reads a key that `save` wrote.

        Raises:
            ConfigurationError: no such file, others may read it, it is no HPKE key, or the password is wrong.
        """
        document = _read_key_file(path)
        try:
            if document["n"] not in SCRYPT_ALLOWED:
                raise ValueError("an unusual cost")
            key = _stretch(password, bytes.fromhex(document["salt"]), document["n"])
            return cls(AESGCM(key).decrypt(bytes.fromhex(document["nonce"]), bytes.fromhex(document["key"]), None))
        except (KeyError, TypeError, ValueError) as exc:
            raise ConfigurationError(f"{path} is not an HPKE key file; restore it from a copy") from exc
        except InvalidTag as exc:
            raise ConfigurationError(f"{path}: the password is wrong, or the file is damaged; try another one") from exc

    def __repr__(self) -> str:
        return f"HpkeKey(recipient_id={self.recipient_id.hex()})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("an HPKE private key cannot be pickled")


@dataclass(frozen=True, kw_only=True, slots=True)
class KeyCard:
    """Public document of a participant; its digest is on chain."""

    address: Address
    hpke_public: bytes
    masking_public: bytes
    software: str

    @classmethod
    def of(cls, key: HpkeKey, *, address: Address, software: str) -> Self:
        """The card of an account and the keys of its key file."""
        masking_public = key.masking_key().public_bytes
        return cls(address=address, hpke_public=key.public_bytes, masking_public=masking_public, software=software)

    @property
    def recipient_id(self) -> bytes:
        return recipient_id(self.hpke_public)

    def wrap(self, secret: bytes, info: bytes) -> bytes:
        """Seals a short secret to this card's owner (single-shot HPKE, RFC 9180, section 6.1)."""
        mlkem = MLKEM768PublicKey.from_public_bytes(self.hpke_public[:MLKEM_PUBLIC_BYTES])
        x25519 = X25519PublicKey.from_public_bytes(self.hpke_public[MLKEM_PUBLIC_BYTES:])
        return SUITE.encrypt(secret, MLKEM768X25519PublicKey(mlkem, x25519), info=info)

    def to_bytes(self) -> bytes:
        """Canonical JSON: sorted keys, no spaces."""
        document = {
            "address": self.address,
            "hpke": base64.b64encode(self.hpke_public).decode(),
            "kem": "MLKEM768-X25519",
            "masking": base64.b64encode(self.masking_public).decode(),
            "software": self.software,
            "version": KEY_CARD_VERSION,
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Parses a card, taking nothing that `to_bytes` would not have written.

        Raises:
            PeerError: these bytes are not a key card of this version.
        """
        try:
            if len(raw) > KEY_CARD_BYTES_MAX:
                raise ValueError(f"{len(raw)} bytes are too many")
            document = json.loads(raw)
            if document["version"] != KEY_CARD_VERSION:
                raise ValueError(f"it is of version {document['version']!r}")
            public = base64.b64decode(document["hpke"], validate=True)
            MLKEM768PublicKey.from_public_bytes(public[:MLKEM_PUBLIC_BYTES])
            if len(public) != HPKE_PUBLIC_BYTES:
                raise ValueError(f"a public key of {len(public)} bytes")
            if not is_checksum_address(document["address"]) or not isinstance(document["software"], str):
                raise ValueError("address or software is not what it should be")
            masking = base64.b64decode(document["masking"], validate=True)
            card = cls(
                address=Address(document["address"]),
                hpke_public=public,
                masking_public=masking,
                software=document["software"],
            )
            # A point of low order passes as a key and only fails when somebody uses it, for all recipients and peers.
            card.wrap(b"", b"trial")
            _TRIAL_SCALAR.exchange(X25519PublicKey.from_public_bytes(masking))
            if card.to_bytes() != raw:
                raise ValueError("an unknown key, or not canonical JSON")
        except (KeyError, RecursionError, TypeError, ValueError) as exc:
            raise PeerError(
                f"not a key card of version {KEY_CARD_VERSION} ({exc}); its owner must register a proper one"
            ) from exc
        return card


def recipient_id(hpke_public: bytes) -> bytes:
    """Eight bytes that let a recipient find its own wrapped key."""
    return hashlib.sha256(b"domicile recipient v1" + hpke_public).digest()[:RECIPIENT_ID_BYTES]


def _stretch(password: str, salt: bytes, n: int) -> bytes:
    return Scrypt(salt=salt, length=32, n=n, r=8, p=1).derive(password.encode())


def _read_key_file(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigurationError(f"{path} can be read by others than its owner; run chmod 600 on it")
        document = json.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise ConfigurationError(f"{path} cannot be read ({exc.strerror}); name the HPKE key file") from exc
    except (RecursionError, ValueError) as exc:
        raise ConfigurationError(f"{path} is not an HPKE key file; name the right one") from exc
    if not isinstance(document, dict) or document.get("version") != 1:
        raise ConfigurationError(f"{path} is not an HPKE key file of version 1; name the right one")
    return document
