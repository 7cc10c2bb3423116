"""Tables from files, and rows dealt into splits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from domicile.errors import ConfigurationError

Array = np.ndarray[Any, Any]


def read_table(path: Path) -> pa.Table:
    """A CSV or Parquet file with at least one row.

    Raises:
        ConfigurationError: missing, unreadable, of another kind, or empty.
    """
    import pyarrow.csv
    import pyarrow.parquet

    if path.suffix not in (".csv", ".parquet"):
        raise ConfigurationError(f"{path}: neither .csv nor .parquet; convert it")
    try:
        table = pyarrow.csv.read_csv(path) if path.suffix == ".csv" else pyarrow.parquet.read_table(path)
    except FileNotFoundError as exc:
        raise ConfigurationError(f"{path}: no such file; correct the path") from exc
    except (OSError, pa.ArrowException) as exc:
        raise ConfigurationError(f"{path}: cannot be read as a table; mend the file") from exc
    if not table.num_rows:
        raise ConfigurationError(f"{path}: no rows; add some")
    return table


def cells(table: pa.Table, name: str, path: Path) -> list[str]:
    """A column as text; a missing value is the empty text.

    Raises:
        ConfigurationError: there is no such column.
    """
    if name not in table.column_names:
        raise ConfigurationError(f"{path}: no column {name!r}; add it or correct task.options")
    return ["" if value is None else str(value) for value in table.column(name).to_pylist()]


def numbers(table: pa.Table, name: str, path: Path) -> Array:
    """A column as float64; a missing value is NaN.

    Raises:
        ConfigurationError: there is no such column, or it holds something else or infinite values.
    """
    texts = cells(table, name, path)
    kind = table.schema.field(name).type
    if pa.types.is_boolean(kind):
        texts = [{"True": "1", "False": "0"}.get(text, text) for text in texts]
    try:
        column = np.array([float(text) if text else np.nan for text in texts])
    except ValueError as exc:
        raise ConfigurationError(
            f"{path}: column {name!r} holds text; list its levels in task.options.categorical or drop it"
        ) from exc
    if np.isinf(column).any():
        raise ConfigurationError(f"{path}: column {name!r}: a value is infinite; correct it")
    return column


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
