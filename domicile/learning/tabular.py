"""The built-in task for tables: CSV or Parquet, one row an example."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import pyarrow as pa
import torch
from pydantic import Field, ValidationInfo, field_validator, model_validator
from torch import nn

from domicile.errors import ConfigurationError
from domicile.learning.settings import DataSettings
from domicile.learning.table import Array, cells, numbers, read_table, split_rows
from domicile.learning.task import NodeData, Split
from domicile.settings import Settings, parse_settings

DEFAULT_HIDDEN = (16,)
WIDTH_MAX = 1 << 16
"""Wider than any layer that a table asks for, and narrow enough for every product of two widths to be a size."""

FLOAT32_MAX = float(np.finfo(np.float32).max)


class TabularOptions(Settings):
    """`categorical` gives the levels of each categorical column, and with them the columns that the model sees:
    one a level, the first level without one under `drop_first`. Where the empty level ``""`` is listed, a missing
    value is that level; elsewhere it becomes all zeros, and so does a level that is not listed where
    `unknown_level` allows it.

    `missing`: ``mean`` of the local training rows, ``constant`` (`fill_value`), ``drop`` the row, or ``refuse``.
    `missing_indicator` adds one column a feature, whatever the data, so that all nodes build the same model.

    `ranges` gives columns of numbers the lowest and highest value that is publicly known of them, which become -1
    and 1: knowledge from elsewhere, so that a row is scaled by nothing of other rows.

    `hidden`: widths of the layers of an ``mlp``, one of 16 unless told.

    `single_class`: training rows of one class mostly mean a mistake, and at times a hospital that sees no other.
    """

    target: str = Field(min_length=1)
    features: tuple[str, ...] | None = None
    categorical: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    unknown_level: Literal["refuse", "zeros"] = "refuse"
    drop_first: bool = False
    missing: Literal["mean", "constant", "drop", "refuse"] = "mean"
    fill_value: float | None = Field(default=None, ge=-FLOAT32_MAX, le=FLOAT32_MAX)
    missing_indicator: bool = False
    standardize: bool = True
    ranges: dict[str, tuple[float, float]] = Field(default_factory=dict)
    kind: Literal["binary", "multiclass", "regression"] = "binary"
    classes: tuple[str, ...] = ()
    single_class: Literal["refuse", "accept"] = "refuse"
    model: Literal["logistic", "mlp"] = "logistic"
    hidden: tuple[Annotated[int, Field(ge=1, le=WIDTH_MAX)], ...] | None = Field(default=None, max_length=64)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.features is not None:
            _check_features(self.features, self.target)
        if (self.kind == "multiclass") != (len(set(self.classes)) > 2) or len(set(self.classes)) < len(self.classes):
            raise ValueError("classes lists three or more labels for multiclass, and nothing otherwise; correct it")
        return self

    @field_validator("hidden")
    @classmethod
    def _check_hidden(cls, hidden: tuple[int, ...] | None, info: ValidationInfo) -> tuple[int, ...] | None:
        model = info.data.get("model", "mlp")
        if hidden is not None and model != "mlp":
            raise ValueError(f'has no meaning for model = "{model}"; remove it or set model = "mlp"')
        return hidden

    @model_validator(mode="after")
    def _check_categorical(self) -> Self:
        if self.features is not None and not set(self.categorical) <= set(self.features):
            raise ValueError("a categorical column is not among the features; add it there")
        for name, levels in self.categorical.items():
            if len(set(levels)) < len(levels) or len(levels) < (2 if self.drop_first else 1):
                raise ValueError(
                    f"categorical.{name} repeats a level, or lists too few (one; two with drop_first); correct the list"
                )
        return self

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        if self.ranges and self.standardize:
            raise ValueError("ranges and standardize both scale a column; set standardize to false, or remove ranges")
        for name, (low, high) in self.ranges.items():
            if self.features is not None and (name not in self.features or name in self.categorical):
                raise ValueError(f"ranges.{name} is no column of numbers among the features; correct the name")
            if not -FLOAT32_MAX < low < high < FLOAT32_MAX:
                raise ValueError(f"ranges.{name} is not a lower and a higher number; write [lowest, highest]")
        return self

    @model_validator(mode="after")
    def _check_missing(self) -> Self:
        if (self.missing == "constant") != (self.fill_value is not None):
            raise ValueError('fill_value belongs to missing = "constant", which needs it; give both or neither')
        if self.missing_indicator and self.missing in ("drop", "refuse"):
            raise ValueError(f'missing_indicator has nothing to show with missing = "{self.missing}"; remove it')
        return self


@dataclass(frozen=True, kw_only=True, slots=True)
class _Scale:
    """One value a column, from a node's training rows alone."""

    fill: Array
    mean: Array
    deviation: Array

    def apply(self, inputs: Array) -> Array:
        return (np.where(np.isnan(inputs), self.fill, inputs) - self.mean) / self.deviation


@dataclass(frozen=True, kw_only=True, slots=True)
class _Rows:
    """Rows of a file, in which a missing number is NaN. `numbers` count them in the file, from 1 below the header."""

    path: Path
    numbers: Array
    inputs: Array
    targets: Array

    def take(self, positions: Array) -> _Rows:
        return _Rows(
            path=self.path,
            numbers=self.numbers[positions],
            inputs=self.inputs[positions],
            targets=self.targets[positions],
        )


def resolve_options(options: Mapping[str, Any], headers: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Options with `features` filled in from the columns of all files, so that all nodes build the same model.

    `headers`: a file's columns by the words that name it in an error; the first file gives the order.

    Raises:
        ConfigurationError: an option is wrong, or the files have different columns, so that nobody can tell which of
            them the model is to have.
    """
    parsed = parse_settings(options, TabularOptions, source="task.options")
    if parsed.features is None:
        columns = _shared_columns(headers)
        if parsed.target not in columns:
            close = difflib.get_close_matches(parsed.target, columns, n=1)
            mend = f"did you mean {close[0]!r}?" if close else f"correct the name ({', '.join(columns)})"
            raise ConfigurationError(f"task.options.target: no file has a column {parsed.target!r}; {mend}")
        options = {**options, "features": [name for name in columns if name != parsed.target]}
        parsed = parse_settings(options, TabularOptions, source="task.options")
    return parsed.model_dump(mode="json")


def _check_features(features: Sequence[str], target: str) -> None:
    if not features:
        raise ValueError("features is empty; list a column, or leave the key out to take all")
    if target in features:
        raise ValueError(f"features holds the target {target!r}; take it out")
    twice = next((name for name in features if features.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"features lists {twice!r} twice; take one out")


def _shared_columns(headers: Mapping[str, Sequence[str]]) -> Sequence[str]:
    """Columns in the first file's order, which all files have."""
    for place, columns in headers.items():
        for other, theirs in headers.items():
            missing = next((name for name in theirs if name not in columns), None)
            if missing is not None:
                raise ConfigurationError(
                    f"{place}: no column {missing!r}, which {other} has; add it, or list task.options.features"
                )
    return next(iter(headers.values()))


class Tabular:
    """Logistic (or linear) regression, or a multi-layer perceptron, on the columns of a table."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = parse_settings(options, TabularOptions, source="task.options")
        if self.options.features is None:
            raise ConfigurationError("task.options.features: missing; list the columns, or let resolve_options do it")
        self.features = self.options.features

    @property
    def num_inputs(self) -> int:
        indicators = len(self.features) if self.options.missing_indicator else 0
        return indicators + sum(1 if levels is None else len(levels) for levels in map(self._columns_of, self.features))

    def _columns_of(self, name: str) -> tuple[str, ...] | None:
        """Levels that have a column of their own; `None` for a column of numbers."""
        levels = self.options.categorical.get(name)
        return levels[1:] if levels is not None and self.options.drop_first else levels

    def build_model(self) -> nn.Module:
        hidden = DEFAULT_HIDDEN if self.options.hidden is None else self.options.hidden
        widths = [self.num_inputs, *(hidden if self.options.model == "mlp" else ())]
        layers: list[nn.Module] = []
        for before, after in pairwise(widths):
            layers += [nn.Linear(before, after), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(widths[-1], len(self.options.classes) or 1))

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        if self.options.kind == "multiclass":
            return nn.functional.cross_entropy(outputs, targets)
        if self.options.kind == "binary":
            return nn.functional.binary_cross_entropy_with_logits(outputs[:, 0], targets)
        return nn.functional.mse_loss(outputs[:, 0], targets)

    def metrics(self, outputs: torch.Tensor, targets: torch.Tensor) -> dict[str, float]:
        from domicile.learning.metrics import classification, regression

        if self.options.kind == "regression":
            return regression(outputs[:, 0], targets)
        if self.options.kind == "binary":
            logits = outputs[:, 0]
            return classification((logits > 0).long(), targets.long(), torch.sigmoid(logits))
        return classification(outputs.argmax(1), targets, outputs.softmax(1))

    def couplings(self) -> Iterator[str]:
        """What is computed of a node's training rows, and applied to each of them."""
        if self.options.standardize:
            yield (
                "task.options.standardize: rows are scaled by mean and deviation of all rows; set it to false, and "
                "write what is publicly known of each column into task.options.ranges"
            )
        if self.options.missing == "mean":
            yield (
                "task.options.missing: a missing value becomes the mean of all rows; write "
                'missing = "constant" and fill_value, or missing = "refuse"'
            )
        if self.options.missing == "drop":
            yield (
                "task.options.missing: a row that is dropped moves the others' places in the split; write "
                'missing = "constant" and fill_value, or missing = "refuse"'
            )

    def load(self, train: Path, test: Path | None, settings: DataSettings, seed: int) -> NodeData:
        """See `Task.load`; all statistics come from the local training rows."""
        known = self._read(train)
        labels = None if self.options.kind == "regression" else known.targets
        strata = labels if settings.stratified else None
        rows = np.arange(len(known.targets))
        if test is None:
            rows, test_rows = split_rows(rows, strata, settings.test_fraction, seed)
            held_out = known.take(test_rows)
        else:
            held_out = self._read(test)
        if not len(held_out.targets):
            raise ConfigurationError(f"{train}: no test rows; add rows or raise data.test_fraction")
        rows, validation_rows = split_rows(rows, strata, settings.validation_fraction, seed + 1)
        if labels is not None and self.options.single_class == "refuse" and len(np.unique(known.targets[rows])) < 2:
            raise ConfigurationError(
                f"{train}: column {self.options.target!r}: fewer than two classes to train on; add rows of another or "
                'set task.options.single_class = "accept"'
            )
        scale = self._scale(known.inputs[rows])
        return NodeData(
            train=self._split(known.take(rows), scale),
            validation=self._split(known.take(validation_rows), scale),
            test=self._split(held_out, scale),
        )

    def _read(self, path: Path) -> _Rows:
        labels = (self.options.target,) if self.options.kind == "multiclass" else ()
        table = read_table(path, text=(*self.options.categorical, *labels))
        rows = np.arange(1, table.num_rows + 1)
        if self.options.missing == "drop":
            complete = ~np.any([self._missing(table, name, path) for name in (*self.features, self.options.target)], 0)
            if not complete.any():
                raise ConfigurationError(f"{path}: every row misses a value; fill some or change task.options.missing")
            table, rows = table.filter(pa.array(complete)), rows[complete]
        columns = [column for name in self.features for column in self._inputs(table, name, path, rows)]
        if self.options.missing_indicator:
            columns += [self._missing(table, name, path).astype(float) for name in self.features]
        targets = self._targets(table, path, rows)
        return _Rows(path=path, numbers=rows, inputs=np.stack(columns, axis=1), targets=targets)

    def _missing(self, table: pa.Table, name: str, path: Path) -> Array:
        if "" in self.options.categorical.get(name, ()):
            return np.zeros(table.num_rows, dtype=bool)
        return np.array([not cell for cell in cells(table, name, path)])

    def _inputs(self, table: pa.Table, name: str, path: Path, rows: Array) -> list[Array]:
        if self.options.missing == "refuse" and self._missing(table, name, path).any():
            raise ConfigurationError(
                f"{path}: column {name!r}: a value is missing; fill it or change task.options.missing"
            )
        own = self._columns_of(name)
        if own is None:
            mend = "list its levels in task.options.categorical or drop it"
            return [numbers(table, name, path, rows=rows, mend=mend)]
        values = cells(table, name, path)
        unknown = sorted(set(values) - {*self.options.categorical[name], ""})
        if unknown and self.options.unknown_level == "refuse":
            raise ConfigurationError(
                f"{path}: column {name!r}: level {unknown[0]!r} is not in task.options.categorical.{name}; add it "
                'there or set task.options.unknown_level = "zeros"'
            )
        return [np.array([value == level for value in values], dtype=float) for level in own]

    def _targets(self, table: pa.Table, path: Path, rows: Array) -> Array:
        name, kind = self.options.target, self.options.kind
        if any(not cell for cell in cells(table, name, path)):
            raise ConfigurationError(f"{path}: column {name!r}: a target is missing; remove the row")
        if kind == "multiclass":
            values = cells(table, name, path)
            unknown = sorted(set(values) - set(self.options.classes))
            if unknown:
                raise ConfigurationError(
                    f"{path}: column {name!r}: label {unknown[0]!r} is not in task.options.classes; add it there"
                )
            return np.array([self.options.classes.index(value) for value in values])
        mend = f"a {kind} target is a number: recode it or change task.options.kind"
        column = numbers(table, name, path, rows=rows, mend=mend)
        if kind == "binary" and not np.isin(column, (0, 1)).all():
            raise ConfigurationError(f"{path}: column {name!r}: a binary target is 0 or 1; recode it")
        return column

    def _scale(self, train: Array) -> _Scale:
        mean = np.nansum(train, axis=0) / np.maximum((~np.isnan(train)).sum(0), 1)
        fill = mean if self.options.fill_value is None else np.full_like(mean, self.options.fill_value)
        if not self.options.standardize:
            middle, half = self._ranged()
            return _Scale(fill=fill, mean=middle, deviation=half)
        filled = np.where(np.isnan(train), fill, train)
        deviation = filled.std(0)
        return _Scale(fill=fill, mean=filled.mean(0), deviation=np.where(deviation > 1e-12, deviation, 1.0))

    def _ranged(self) -> tuple[Array, Array]:
        """Middle and half width of each input's range; where none is known, it stays as it is."""
        bounds = [self.options.ranges.get(name, (-1.0, 1.0)) for name in self._origins]
        low, high = np.array(bounds).T
        return (low + high) / 2, (high - low) / 2

    def _split(self, rows: _Rows, scale: _Scale) -> Split:
        with np.errstate(over="ignore"):
            scaled = scale.apply(rows.inputs).astype(np.float32)
        beyond = np.argwhere(~np.isfinite(scaled))
        if len(beyond):
            row, column = beyond[0]
            raise ConfigurationError(
                f"{rows.path}: row {rows.numbers[row]}, column {self._origins[column]!r}: the value is beyond "
                "float32 when it is divided by the deviation of the training rows; correct it or leave the cell empty"
            )
        kind = torch.int64 if self.options.kind == "multiclass" else torch.float32
        return torch.from_numpy(scaled), torch.tensor(rows.targets, dtype=kind)

    @property
    def _origins(self) -> list[str]:
        """The feature that each column of the inputs is made of; an indicator of a missing value has an empty name."""
        names = [name for name in self.features for _ in self._columns_of(name) or ("",)]
        return [*names, *("" for _ in range(self.num_inputs - len(names)))]
