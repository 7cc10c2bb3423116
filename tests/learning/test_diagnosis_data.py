import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("example", ["diagnosis", "private-diagnosis"])
def test_the_committed_data_is_what_the_script_makes(tmp_path, example: str):
    folder = EXAMPLES / example
    subprocess.run([sys.executable, str(folder / "make_data.py"), str(tmp_path)], check=True)
    made = sorted(tmp_path.glob("*.csv"))
    assert len(made) == 18
    assert all(file.read_bytes() == (folder / "data" / file.name).read_bytes() for file in made)
    rows = [line for file in made for line in file.read_text().splitlines()[1:]]
    assert len(rows) == len(set(rows)) == 569, "each patient lies in one file"
