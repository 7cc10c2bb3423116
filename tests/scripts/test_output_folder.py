from __future__ import annotations

from pathlib import Path

import pytest

from domicile.errors import ConfigurationError
from scripts.sandbox.folder import MARKER, claimed


def test_a_folder_that_holds_other_things_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="not made by a sandbox"), claimed(tmp_path):
        pass
    assert (tmp_path / "thesis.txt").exists()


def test_a_second_sandbox_is_refused_and_takes_nothing_away(tmp_path: Path) -> None:
    with claimed(tmp_path / "out"):
        (tmp_path / "out" / "model").touch()
        with pytest.raises(ConfigurationError, match="another sandbox is running there"), claimed(tmp_path / "out"):
            pass
        assert (tmp_path / "out" / "model").exists()


def test_what_an_earlier_sandbox_left_is_removed(tmp_path: Path) -> None:
    with claimed(tmp_path / "out"):
        (tmp_path / "out" / "parties").mkdir()
        (tmp_path / "out" / "parties" / "log").touch()
    with claimed(tmp_path / "out"):
        assert [entry.name for entry in (tmp_path / "out").iterdir()] == [MARKER]
