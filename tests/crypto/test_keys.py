"""Keys at rest, and key cards from strangers."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from domicile.crypto.keys import HpkeKey, KeyCard
from domicile.errors import ConfigurationError, PeerError
from domicile.types import Address

KEY = HpkeKey.from_seed(b"\1" * 32)
CARD = KeyCard(address=Address("0x" + "1" * 40), hpke_public=KEY.public_bytes, software="domicile/0")
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
        b"x" * 20_000,
    ]
    for one in hostile:
        with pytest.raises(PeerError):
            KeyCard.from_bytes(one)


def test_a_card_with_a_point_of_low_order_is_refused_before_it_can_block_sealing() -> None:
    weak = KeyCard(address=CARD.address, hpke_public=CARD.hpke_public[:-32] + bytes(32), software="x")
    with pytest.raises(PeerError):
        KeyCard.from_bytes(weak.to_bytes())
