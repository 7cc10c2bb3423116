"""Splits the four hospitals of UCI's Heart Disease data as FLamby does: ``python examples/heart/make_data.py``.

FLamby (Ogier du Terrail et al. 2022) leaves out three columns that most hospitals hardly filled, drops rows that still
miss a value, and splits the rest. Here the test files hold exactly its test rows; everything else is in the training
files, incomplete rows too, which the job drops by itself. Source and licence of ``uci``: see README.md.
"""

from __future__ import annotations

import csv
import hashlib
import sys
from pathlib import Path

import numpy as np
from sklearn.model_selection import train_test_split

UCI_MD5 = {
    "cleveland": "2d91a8ff69cfd9616aa47b59d6f843db",
    "hungarian": "22e96bee155b5973568101c93b3705f6",
    "switzerland": "9a87f7577310b3917730d06ba9349e20",
    "va": "4249d03ca7711e84f4444768c9426170",
}
"""MD5 sums of the archive's files, as FLamby checks them after download."""

COLUMNS = ("age", "sex", "cp", "trestbps", "chol", "fbs", "restecg", "thalach", "exang", "oldpeak")
"""The first ten columns of the archive's files; the next three are left out, the last is the diagnosis (0 to 4)."""

TRAIN_FRACTION = 0.66
SEED = 43


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for hospital, digest in UCI_MD5.items():
        raw = (Path(__file__).parent / "uci" / f"processed.{hospital}.data").read_bytes()
        if hashlib.md5(raw, usedforsecurity=False).hexdigest() != digest:
            raise SystemExit(f"processed.{hospital}.data is not the archive's file; fetch it anew")
        rows = [_row(cells) for cells in csv.reader(raw.decode().splitlines())]
        test = _test_rows(rows)
        _write(folder / f"{hospital}-train.csv", [row for index, row in enumerate(rows) if index not in test])
        _write(folder / f"{hospital}-test.csv", [row for index, row in enumerate(rows) if index in test])


def _row(cells: list[str]) -> list[str]:
    """Features, empty where missing, and whether the disease was found."""
    features = ["" if cell == "?" else f"{float(cell):g}" for cell in cells[: len(COLUMNS)]]
    return [*features, str(int(float(cells[-1]) > 0))]


def _test_rows(rows: list[list[str]]) -> set[int]:
    complete = np.array([index for index, row in enumerate(rows) if all(row)])
    diseased = np.array([int(rows[index][-1]) for index in complete])
    enough = min(np.count_nonzero(diseased == 0), np.count_nonzero(diseased == 1)) > 2
    _, test = train_test_split(
        complete,
        train_size=TRAIN_FRACTION,
        test_size=1 - TRAIN_FRACTION,
        random_state=SEED,
        stratify=diseased if enough else None,
    )
    return set(test.tolist())


def _write(path: Path, rows: list[list[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*COLUMNS, "disease"])
        writer.writerows(rows)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data")
