"""Two daemons by mistake with one key: the second refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from domicile.errors import ConfigurationError
from domicile.key_lock import KeyLock

HOLD = """
import sys
from pathlib import Path
from domicile.key_lock import KeyLock
with KeyLock(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


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
