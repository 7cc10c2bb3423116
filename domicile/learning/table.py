"""Tables from files, and rows dealt into splits."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from domicile.errors import ConfigurationError

Array = np.ndarray[Any, Any]


def read_table(path: Path, *, text: Collection[str] = ()) -> pa.Table:
    """A CSV or Parquet file with at least one row.

    A CSV's columns of the names in `text` stay as they are written: guessed types would tell the level ``1`` of one
    node from the level ``1.0`` of another, and ``true`` from ``True``.

    Raises:
        ConfigurationError: missing, unreadable, of another kind, empty, or two columns have one name.
    """
    import pyarrow.parquet

    if path.suffix not in (".csv", ".parquet"):
        raise ConfigurationError(f"{path}: neither .csv nor .parquet; convert it")
    try:
        table = _read_csv(path, text) if path.suffix == ".csv" else pyarrow.parquet.read_table(path)
    except FileNotFoundError as exc:
        raise ConfigurationError(f"{path}: no such file; correct the path") from exc
    except (OSError, pa.ArrowException) as exc:
        raise ConfigurationError(f"{path}: {_cause(path, str(exc))}") from exc
    if any(pa.types.is_binary(field.type) for field in table.schema):
        raise ConfigurationError(f"{path}: not UTF-8 text; save it as UTF-8")
    if not table.num_rows:
        raise ConfigurationError(f"{path}: no rows; add some")
    for name in table.column_names:
        if table.column_names.count(name) > 1:
            raise ConfigurationError(f"{path}: column {name!r} comes twice; rename one of them")
    return table


def cells(table: pa.Table, name: str, path: Path) -> list[str]:
    """A column as text; a missing value is the empty text.

    Raises:
        ConfigurationError: there is no such column.
    """
    if name not in table.column_names:
        raise ConfigurationError(f"{path}: no column {name!r}; add it or correct task.options")
    values = table.column(name).to_pylist()
    return ["" if value is None or value != value else str(value) for value in values]  # noqa: PLR0124 - NaN


def numbers(table: pa.Table, name: str, path: Path, *, rows: Array, mend: str) -> Array:
    """A column as float64; a missing value is NaN. `rows` are the rows' numbers in the file, `mend` says what to do
    about a column of text.

    Raises:
        ConfigurationError: there is no such column, or it holds something else or a value that float32 cannot.
    """
    texts = cells(table, name, path)
    if pa.types.is_boolean(table.schema.field(name).type):
        texts = [{"True": "1", "False": "0"}.get(text, text) for text in texts]
    try:
        column = np.array([float(text) if text else np.nan for text in texts])
    except ValueError as exc:
        raise ConfigurationError(f"{path}: column {name!r} holds text; {mend}") from exc
    if not np.isfinite(column[np.array([bool(text) for text in texts])]).all():
        raise ConfigurationError(f"{path}: column {name!r}: a value is not finite; correct it or leave the cell empty")
    beyond = np.flatnonzero(np.abs(column) > np.finfo(np.float32).max)
    if len(beyond):
        raise ConfigurationError(
            f"{path}: row {rows[beyond[0]]}, column {name!r}: the value is beyond float32 (3.4e38); correct it or "
            "leave the cell empty"
        )
    return column


def _read_csv(path: Path, text: Collection[str]) -> pa.Table:
    from pyarrow import csv

    # Without strings_can_be_null, "NA" would be missing in a column of numbers and a level in one of text.
    options = csv.ConvertOptions(column_types={name: pa.string() for name in text}, strings_can_be_null=True)
    # Only a single thread knows the number of a row that is wrong.
    return csv.read_csv(path, read_options=csv.ReadOptions(use_threads=False), convert_options=options)


def _cause(path: Path, told: str) -> str:
    """Why a table cannot be read, and the mend; pyarrow's own words hold the row, which no log may see."""
    ragged = re.search(r"Row #(\d+): Expected (\d+) columns, got (\d+)", told)
    if ragged:
        row, expected, found = ragged.groups()
        return f"row {row} (the heading is row 1) has {found} cells, the heading {expected}; mend that row"
    if "Empty CSV" in told or (path.is_file() and not path.stat().st_size):
        return "the file is empty; write a heading and rows into it"
    if "invalid UTF8" in told:
        return "not UTF-8 text; save it as UTF-8"
    if path.suffix == ".parquet":
        return "not a whole Parquet file; write it anew"
    return "cannot be read as a table; mend the file"


def split_rows(rows: Array, labels: Array | None, fraction: float, seed: int) -> tuple[Array, Array]:
    """Kept rows and held-out rows, each ascending; by class where `labels` (of all rows) are given.

    Of each class with two rows or more, at least one row is kept, and one is held out if `fraction` > 0.
    """
    generator = np.random.default_rng(seed)
    held: list[int] = []
    groups = [rows] if labels is None else [rows[labels[rows] == label] for label in np.unique(labels[rows])]
    for group in groups:
        count = round(len(group) * fraction)
        if fraction > 0 and len(group) > 1:
            count = min(max(count, 1), len(group) - 1)
        held.extend(generator.permutation(group)[:count].tolist())
    out = np.array(sorted(held), dtype=np.int64)
    return np.setdiff1d(rows, out), out
