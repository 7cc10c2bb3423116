"""Deals scikit-learn's breast-cancer rows to the nodes of this example: ``python examples/diagnosis/make_data.py``.

Weak shift of mean radius between regions; uneven sizes and shares of malignant cases; few training rows a node.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer

NODES = ("in-1", "in-2", "in-3", "us-ca", "us-ny", "us-tx", "de", "fr", "nl", "outside")
SEED = 7
TEST_FRACTION = 0.6
CLASS_MIN = 8


def shares(generator: np.random.Generator, rows: np.ndarray) -> list[np.ndarray]:
    """`rows` of one class in order of size, cut at uneven places, each node with at least `CLASS_MIN`."""
    weights = generator.dirichlet(np.full(len(NODES), 6.0))
    counts = CLASS_MIN + np.floor(weights * (len(rows) - CLASS_MIN * len(NODES))).astype(int)
    counts[-1] += len(rows) - counts.sum()
    return np.split(rows, np.cumsum(counts)[:-1])


def main(folder: Path) -> None:
    data = load_breast_cancer()
    malignant = 1 - data.target
    generator = np.random.default_rng(SEED)
    order = data.data[:, 0] + generator.normal(0, 20.0, len(malignant))
    dealt = []
    for label in (0, 1):
        rows = np.flatnonzero(malignant == label)
        dealt.append(shares(generator, rows[np.argsort(order[rows], kind="stable")]))
    names = [name.replace(" ", "_") for name in data.feature_names]
    folder.mkdir(parents=True, exist_ok=True)
    for node, parts in zip(NODES, zip(*dealt, strict=True), strict=True):
        test: list[int] = []
        train: list[int] = []
        for part in parts:
            mixed = generator.permutation(part)
            count = max(5, round(len(part) * TEST_FRACTION))
            test += mixed[: min(count, len(part) - 3)].tolist()
            train += mixed[min(count, len(part) - 3) :].tolist()
        for split, chosen in (("train", train), ("test", test)):
            with (folder / f"{node}-{split}.csv").open("w", newline="") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow([*names, "malignant"])
                writer.writerows([*map(float, data.data[row]), int(malignant[row])] for row in sorted(chosen))


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "data")
