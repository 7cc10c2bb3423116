"""Two daemons by mistake with one key: the second refuses."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from domicile.errors import ConfigurationError
from domicile.key_lock import AccountLock, KeyLock
from domicile.types import Address

HOLD = """
import sys
from pathlib import Path
from domicile.key_lock import KeyLock
with KeyLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""

HOLD_ACCOUNT = """
import sys
from pathlib import Path
from domicile.key_lock import AccountLock
with AccountLock(Path("first.json"), *sys.argv[1:]):
    print("held", flush=True)
    sys.stdin.read()
"""

COPY = Path("copy.json")


@pytest.fixture
def account() -> Address:
    """Nobody's, since accounts are held on the whole machine."""
    return Address(f"0x{secrets.token_hex(20)}")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "account.json"
    file.write_text("{}")
    file.chmod(0o600)
    return file


def test_the_second_holder_is_told_who_holds_the_key_until_the_first_is_killed(key: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(key)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        with pytest.raises(ConfigurationError, match=rf"account\.json: .*process id {first.pid} .* end it first"):
            KeyLock(key)
        first.kill()
    with KeyLock(key):
        pass


def test_another_name_of_the_file_is_the_same_key(key: Path, tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to(key)
    with KeyLock(key):
        with pytest.raises(ConfigurationError, match=f"process id {os.getpid()}"):
            KeyLock(tmp_path / "link.json")
        assert key.read_text() == "{}"
    with KeyLock(tmp_path / "link.json"):
        pass


def test_a_key_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"none\.json cannot be read .*name the account's keystore"):
        KeyLock(tmp_path / "none.json")


def test_a_copy_of_the_key_is_told_who_acts_with_it_until_that_one_is_killed(account: Address) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_ACCOUNT, account, "0xb1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        for _ in range(2):
            with pytest.raises(ConfigurationError, match=rf"^copy\.json: .*process id {first.pid} .* end it first"):
                AccountLock(COPY, account, "0xb1")
        first.kill()
    with AccountLock(COPY, account, "0xb1"):
        pass


def test_an_account_acts_on_each_chain_and_beside_other_accounts(account: Address) -> None:
    other = Address(f"0x{secrets.token_hex(20)}")
    with AccountLock(COPY, account, "0xb1"), AccountLock(COPY, account, "0xb2"), AccountLock(COPY, other, "0xb1"):
        for held in ((account, "0xb1"), (account, "0xb2"), (other, "0xb1")):
            with pytest.raises(ConfigurationError, match=f"process id {os.getpid()}"):
                AccountLock(COPY, *held)
