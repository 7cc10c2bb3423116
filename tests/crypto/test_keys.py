"""Keys at rest, and key cards from strangers."""

from __future__ import annotations

import hmac
import json
import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from domicile.crypto.keys import HpkeKey, KeyCard, MaskingKey
from domicile.errors import ConfigurationError, PeerError
from domicile.types import Address

KEY = HpkeKey.from_seed(b"\1" * 32)
CARD = KeyCard.of(KEY, address=Address("0x" + "1" * 40), software="domicile/0")
FAST = 1 << 10


def test_a_key_comes_back_under_its_password_and_under_no_other(tmp_path: Path) -> None:
    KEY.save(tmp_path / "key", "right", scrypt_n=FAST)
    assert HpkeKey.load(tmp_path / "key", "right").public_bytes == KEY.public_bytes
    with pytest.raises(ConfigurationError, match="password is wrong"):
        HpkeKey.load(tmp_path / "key", "wrong")


def test_a_key_file_is_never_overwritten_and_never_readable_by_others(tmp_path: Path) -> None:
    path = tmp_path / "key"
    KEY.save(path, "p", scrypt_n=FAST)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigurationError, match="exists already"):
        KEY.save(path, "p", scrypt_n=FAST)
    path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        HpkeKey.load(path, "p")


@pytest.mark.parametrize(
    "change", [{"n": 1 << 40}, {"n": "x"}, {"salt": "zz"}, {"nonce": "00"}, {"key": ""}, {"version": 2}]
)
def test_a_damaged_key_file_is_named(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "key"
    KEY.save(path, "p", scrypt_n=FAST)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ConfigurationError):
        HpkeKey.load(path, "p")
    path.write_text("[")
    with pytest.raises(ConfigurationError):
        HpkeKey.load(path, "p")


def test_a_key_shows_nothing_of_its_secret() -> None:
    assert repr(KEY) == f"HpkeKey(recipient_id={KEY.recipient_id.hex()})"
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(KEY)


def test_a_card_comes_back_and_nothing_else_is_taken() -> None:
    raw = CARD.to_bytes()
    assert KeyCard.from_bytes(raw) == CARD
    table = json.loads(raw)
    hostile = [
        b"",
        b"[" * 9000,
        raw + b" ",
        json.dumps({**table, "more": 1}, sort_keys=True, separators=(",", ":")).encode(),
        json.dumps({**table, "address": 7}, sort_keys=True, separators=(",", ":")).encode(),
        json.dumps({**table, "hpke": table["hpke"][:-4]}, sort_keys=True, separators=(",", ":")).encode(),
        json.dumps({**table, "masking": table["masking"][:-4]}, sort_keys=True, separators=(",", ":")).encode(),
        json.dumps({**table, "masking": None}, sort_keys=True, separators=(",", ":")).encode(),
        b"x" * 20_000,
    ]
    for one in hostile:
        with pytest.raises(PeerError):
            KeyCard.from_bytes(one)


def test_a_card_with_a_point_of_low_order_is_refused_before_it_can_block_sealing_or_masking() -> None:
    for weak in (
        replace(CARD, hpke_public=CARD.hpke_public[:-32] + bytes(32)),
        replace(CARD, masking_public=bytes(32)),
        replace(CARD, masking_public=(1).to_bytes(32, "little")),
    ):
        with pytest.raises(PeerError):
            KeyCard.from_bytes(weak.to_bytes())


def test_a_card_of_version_1_is_told_to_be_old() -> None:
    table = json.loads(CARD.to_bytes())
    del table["masking"]
    old = json.dumps(table | {"version": 1}, sort_keys=True, separators=(",", ":")).encode()
    with pytest.raises(PeerError, match=r"^not a key card of version 2 \(it is of version 1\); its owner"):
        KeyCard.from_bytes(old)


def test_the_masking_key_follows_from_the_key_file_and_is_no_part_of_the_hpke_key(tmp_path: Path) -> None:
    KEY.save(tmp_path / "key", "p", scrypt_n=FAST)
    again = HpkeKey.load(tmp_path / "key", "p").masking_key()
    assert again.public_bytes == KEY.masking_key().public_bytes == CARD.masking_public
    assert CARD.masking_public not in CARD.hpke_public
    # By HKDF as RFC 5869 has it: one block, from the 96 bytes of the two seeds.
    seeds = bytes(range(96))
    prk = hmac.digest(bytes(32), seeds, "sha256")
    expected = MaskingKey(hmac.digest(prk, b"domicile masking key v1\x01", "sha256"))
    assert HpkeKey(seeds).masking_key().public_bytes == expected.public_bytes


def test_two_masking_keys_agree_and_show_nothing() -> None:
    # RFC 7748, section 6.1: Bob's key, Alice's public key, what they share.
    bob = MaskingKey(bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb"))
    alice_public = bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
    assert bob.agree(alice_public).hex() == "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742"
    other = KEY.masking_key()
    assert bob.agree(other.public_bytes) == other.agree(bob.public_bytes)
    assert repr(bob) == f"MaskingKey(public={bob.public_bytes.hex()[:16]})"
    with pytest.raises(TypeError, match="pickled"):
        pickle.dumps(bob)
    for bad in (bytes(32), b"", bytes(31)):
        with pytest.raises(PeerError, match="register a proper key card"):
            bob.agree(bad)
