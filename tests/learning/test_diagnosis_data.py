import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "examples/diagnosis"


def test_the_committed_data_is_what_the_script_makes(tmp_path):
    subprocess.run([sys.executable, str(FOLDER / "make_data.py"), str(tmp_path)], check=True)
    made = sorted(tmp_path.glob("*.csv"))
    assert len(made) == 18
    assert sum(len(file.read_text().splitlines()) - 1 for file in made) == 569
    assert all(file.read_bytes() == (FOLDER / "data" / file.name).read_bytes() for file in made)
