from __future__ import annotations

from pathlib import Path

import pytest

from domicile.errors import ConfigurationError, StoreFault
from scripts.outputs import check_output_file, write_each


class TestBeforeAnythingStarts:
    def test_a_file_in_a_folder_that_is_not_there_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match=r"^--json: there is no folder .*/none; make it"):
            check_output_file(tmp_path / "none" / "r.json", "--json")

    def test_a_file_in_the_output_folder_that_is_about_to_be_made_is_taken(self, tmp_path: Path) -> None:
        check_output_file(tmp_path / "out" / "r.json", "--json", made=tmp_path / "out")

    def test_nothing_is_written_by_looking(self, tmp_path: Path) -> None:
        check_output_file(tmp_path / "r.json", "--json")
        assert list(tmp_path.iterdir()) == []


class TestWriting:
    def test_one_that_fails_takes_no_other_with_it_and_is_one_line(
        self, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def lost() -> None:
            raise StoreFault("the model cannot be fetched; try again")

        gone, model, page = tmp_path / "gone" / "r.json", tmp_path / "m", tmp_path / "page"
        outputs = [
            (gone, lambda: gone.write_text("{}")),
            (model, lost),
            (page, lambda: page.write_text("<html>")),
        ]
        assert write_each(outputs) == {page}
        assert page.read_text(encoding="utf-8") == "<html>"
        assert capsys.readouterr().err.splitlines() == [
            f"domicile: {gone}: cannot be written (No such file or directory); name another place",
            f"domicile: {model}: the model cannot be fetched; try again",
        ]
