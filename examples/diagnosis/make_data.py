"""Deals scikit-learn's breast-cancer rows to the nodes of this example: ``python examples/diagnosis/make_data.py``.

Not identically distributed, by design and before any model was trained on it: the share of malignant cases differs from
16 % to 69 % between nodes, and the tumours' size between regions.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer

NODES = {
    "in-1": (17, 37),
    "in-2": (35, 28),
    "in-3": (48, 9),
    "us-ca": (24, 35),
    "us-ny": (41, 22),
    "us-tx": (58, 20),
    "de": (58, 16),
    "fr": (32, 26),
    "nl": (44, 19),
}
"""Benign and malignant cases of each node; the regions stand in order of tumour size."""

SEED = 7
SIZE_NOISE = 3.0
"""Added to the mean radius before rows are put in order; the radius itself has a standard deviation of 3.5."""

TEST_FRACTION = 0.3


def main(folder: Path) -> None:
    data = load_breast_cancer()
    malignant = 1 - data.target
    generator = np.random.default_rng(SEED)
    order = data.data[:, 0] + generator.normal(0, SIZE_NOISE, len(malignant))
    names = [name.replace(" ", "_") for name in data.feature_names]
    folder.mkdir(parents=True, exist_ok=True)
    dealt = []
    for label in (0, 1):
        rows = np.flatnonzero(malignant == label)
        counts = [counts[label] for counts in NODES.values()]
        dealt.append(np.split(rows[np.argsort(order[rows], kind="stable")], np.cumsum(counts)[:-1]))
    for node, parts in zip(NODES, zip(*dealt, strict=True), strict=True):
        test: list[int] = []
        train: list[int] = []
        for part in parts:
            mixed = generator.permutation(part).tolist()
            count = round(len(part) * TEST_FRACTION)
            test += mixed[:count]
            train += mixed[count:]
        for split, chosen in (("train", train), ("test", test)):
            with (folder / f"{node}-{split}.csv").open("w", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow([*names, "malignant"])
                writer.writerows([*map(float, data.data[row]), int(malignant[row])] for row in sorted(chosen))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data")
