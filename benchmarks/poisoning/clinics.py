"""Clinics with rows of the example's hospitals, and what hostile ones make of them.

The example has three hospitals a region, and no rule holds against 30 % of three. Each region's rows are shuffled and
dealt to ten clinics, so that 30 % are three.
"""

from __future__ import annotations

import csv
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from domicile.learning.settings import DataSettings
from domicile.learning.tabular import Tabular, resolve_options
from domicile.learning.task import NodeData

DATA = Path(__file__).resolve().parents[2] / "examples" / "diagnosis" / "data"
REGIONS = {"EU": ("de", "fr", "nl"), "US": ("us-ca", "us-ny", "us-tx"), "IN": ("in-1", "in-2", "in-3")}
CLINICS = 10
TARGET = "malignant"

Row = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Clinic:
    """`flipped` is its data with every label of a training row turned round."""

    honest: NodeData
    flipped: NodeData


def open_clinics(folder: Path, seed: int) -> tuple[Tabular, dict[str, list[Clinic]]]:
    """Deals the rows anew for each seed; `folder` takes the files."""
    task, regions = None, {}
    for region, hospitals in REGIONS.items():
        train, test = (_shuffled(hospitals, part, seed) for part in ("train", "test"))
        task = task or Tabular(resolve_options({"target": TARGET}, {"a clinic": list(train[0])}))
        regions[region] = [
            _clinic(task, folder, train[number::CLINICS], test[number::CLINICS], seed) for number in range(CLINICS)
        ]
    assert task is not None
    return task, regions


def _clinic(task: Tabular, folder: Path, train: list[Row], test: list[Row], seed: int) -> Clinic:
    turned = [row | {TARGET: str(1 - int(row[TARGET]))} for row in train]
    settings = DataSettings(validation_fraction=0)
    honest, flipped = (
        task.load(_written(folder / "train.csv", rows), _written(folder / "test.csv", test), settings, seed)
        for rows in (train, turned)
    )
    return Clinic(honest=honest, flipped=flipped)


def _shuffled(hospitals: tuple[str, ...], part: str, seed: int) -> list[Row]:
    rows = [row for hospital in hospitals for row in _read(DATA / f"{hospital}-{part}.csv")]
    random.Random(seed).shuffle(rows)  # noqa: S311 - deals rows, makes no key
    # Both classes in every clinic: neighbours in the order go to different ones.
    return sorted(rows, key=lambda row: row[TARGET])


def _read(path: Path) -> Iterator[Row]:
    with path.open(newline="", encoding="utf-8") as file:
        yield from csv.DictReader(file)


def _written(path: Path, rows: list[Row]) -> Path:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path
