"""Deals scikit-learn's breast-cancer rows to nine hospitals, each of which knows other tumours than those that it will
meet: ``python examples/private-diagnosis/make_data.py``.

Three in ten rows, drawn from all, are those to be tested on: patients of every size of tumour come to each hospital.
The others are what it has on record, and lie where tumours of their size are treated.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer

NODES = ("in-1", "in-2", "in-3", "us-ca", "us-ny", "us-tx", "de", "fr", "nl")
"""In order of tumour size."""

SEED = 7
SIZE_NOISE = 3.0
"""As in ``examples/diagnosis``: added to the mean radius before rows are put in order; the radius itself has a standard
deviation of 3.5.
"""

TEST_FRACTION = 0.3


def main(folder: Path) -> None:
    data = load_breast_cancer()
    generator = np.random.default_rng(SEED)
    size = data.data[:, 0] + generator.normal(0, SIZE_NOISE, len(data.data))
    mixed = generator.permutation(len(size))
    num_test = round(len(size) * TEST_FRACTION)
    on_record = mixed[num_test:]
    parts = {
        "test": np.array_split(mixed[:num_test], len(NODES)),
        "train": np.array_split(on_record[np.argsort(size[on_record], kind="stable")], len(NODES)),
    }
    names = [name.replace(" ", "_") for name in data.feature_names]
    folder.mkdir(parents=True, exist_ok=True)
    for split, dealt in parts.items():
        for node, rows in zip(NODES, dealt, strict=True):
            with (folder / f"{node}-{split}.csv").open("w", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow([*names, "malignant"])
                writer.writerows([*map(float, data.data[row]), 1 - int(data.target[row])] for row in sorted(rows))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data")
