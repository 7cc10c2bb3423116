"""The built-in task for tables: CSV or Parquet, one row an example."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import pyarrow as pa
import torch
from pydantic import Field, model_validator
from torch import nn

from domicile.errors import ConfigurationError
from domicile.learning.settings import DataSettings
from domicile.learning.table import cells, numbers, read_table, split_rows
from domicile.learning.task import NodeData, Split
from domicile.settings import Settings, parse_settings


class TabularOptions(Settings):
    """`categorical` gives the levels of each categorical column: all nodes must agree on them; a level that is not
    listed becomes all zeros. `missing`: ``mean`` of the local training rows, ``zero``, or ``refuse``.
    """

    target: str = Field(min_length=1)
    features: tuple[str, ...] | None = None
    categorical: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    missing: Literal["mean", "zero", "refuse"] = "mean"
    standardize: bool = True
    kind: Literal["binary", "multiclass", "regression"] = "binary"
    classes: tuple[str, ...] = ()
    model: Literal["logistic", "mlp"] = "logistic"
    hidden: tuple[int, ...] = (16,)

    @model_validator(mode="after")
    def _check(self) -> Self:
        features = self.features
        if features is not None and (not features or self.target in features or len(set(features)) < len(features)):
            raise ValueError("features is empty, repeats a column or holds the target; correct the list")
        if features is not None and not set(self.categorical) <= set(features):
            raise ValueError("a categorical column is not among the features; add it there")
        if (self.kind == "multiclass") != (len(set(self.classes)) > 2):
            raise ValueError("classes lists three or more labels for multiclass, and nothing otherwise; correct it")
        if any(width < 1 for width in self.hidden):
            raise ValueError("hidden holds a width below 1; correct it")
        return self


def resolve_options(options: Mapping[str, Any], sample: Path) -> dict[str, Any]:
    """Options with `features` filled in from a file's header, so that all nodes build the same model.

    Raises:
        ConfigurationError: an option or the file is wrong.
    """
    parsed = parse_settings(options, TabularOptions, source="task.options")
    if parsed.features is None:
        columns = read_table(sample).column_names
        if parsed.target not in columns:
            raise ConfigurationError(f"{sample}: no target column {parsed.target!r}; correct task.options.target")
        options = {**options, "features": [name for name in columns if name != parsed.target]}
        parsed = parse_settings(options, TabularOptions, source="task.options")
    return parsed.model_dump(mode="json")


class Tabular:
    """Logistic (or linear) regression, or a multi-layer perceptron, on the columns of a table."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = parse_settings(options, TabularOptions, source="task.options")
        if self.options.features is None:
            raise ConfigurationError("task.options.features: missing; list the columns, or let resolve_options do it")
        self.features = self.options.features

    @property
    def num_inputs(self) -> int:
        return sum(len(self.options.categorical.get(name, ("",))) for name in self.features)

    def build_model(self) -> nn.Module:
        widths = [self.num_inputs, *(self.options.hidden if self.options.model == "mlp" else ())]
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

    def load(self, train: Path, test: Path | None, settings: DataSettings, seed: int) -> NodeData:
        """See `Task.load`; all statistics come from the local training rows."""
        table = read_table(train)
        inputs, targets = self._inputs(table, train), self._targets(table, train)
        labels = None if self.options.kind == "regression" else targets
        rows = np.arange(len(targets))
        if test is None:
            rows, test_rows = split_rows(rows, labels, settings.test_fraction, seed)
            test_inputs, test_targets = inputs[test_rows], targets[test_rows]
        else:
            other = read_table(test)
            test_inputs, test_targets = self._inputs(other, test), self._targets(other, test)
        if not len(test_targets):
            raise ConfigurationError(f"{test or train}: no test rows; add rows or raise data.test_fraction")
        rows, validation_rows = split_rows(rows, labels, settings.validation_fraction, seed + 1)
        if not len(rows) or (labels is not None and len(np.unique(targets[rows])) < 2):
            raise ConfigurationError(
                f"{train}: column {self.options.target!r}: fewer than two classes to train on; add rows of another"
            )
        scale = self._scale(inputs[rows])
        return NodeData(
            train=self._split(inputs[rows], targets[rows], scale),
            validation=self._split(inputs[validation_rows], targets[validation_rows], scale),
            test=self._split(test_inputs, test_targets, scale),
        )

    def _inputs(self, table: pa.Table, path: Path) -> np.ndarray[Any, np.dtype[np.float64]]:
        columns = []
        for name in self.features:
            levels = self.options.categorical.get(name)
            if levels is not None:
                values = cells(table, name, path)
                columns += [np.array([value == level for value in values], dtype=float) for level in levels]
                continue
            column = numbers(table, name, path)
            if self.options.missing == "refuse" and np.isnan(column).any():
                raise ConfigurationError(f"{path}: column {name!r}: a value is missing; fill it or set missing")
            columns.append(column)
        return np.stack(columns, axis=1)

    def _targets(self, table: pa.Table, path: Path) -> np.ndarray[Any, Any]:
        name = self.options.target
        if self.options.kind == "multiclass":
            values = cells(table, name, path)
            unknown = sorted(set(values) - set(self.options.classes))
            if unknown:
                raise ConfigurationError(
                    f"{path}: column {name!r}: label {unknown[0]!r} is not in classes; add it there"
                )
            return np.array([self.options.classes.index(value) for value in values])
        column = numbers(table, name, path)
        if np.isnan(column).any():
            raise ConfigurationError(f"{path}: column {name!r}: a target is missing; remove the row")
        if self.options.kind == "binary" and not np.isin(column, (0, 1)).all():
            raise ConfigurationError(f"{path}: column {name!r}: a binary target is 0 or 1; recode it")
        return column

    def _scale(self, train: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any], Any]:
        counts = np.maximum((~np.isnan(train)).sum(0), 1)
        mean = np.nansum(train, axis=0) / counts
        fill = mean if self.options.missing == "mean" else np.zeros_like(mean)
        filled = np.where(np.isnan(train), fill, train)
        if not self.options.standardize:
            return fill, np.zeros_like(mean), np.ones_like(mean)
        deviation = filled.std(0)
        return fill, filled.mean(0), np.where(deviation > 1e-12, deviation, 1.0)

    def _split(self, inputs: np.ndarray[Any, Any], targets: np.ndarray[Any, Any], scale: Any) -> Split:
        fill, mean, deviation = scale
        values = (np.where(np.isnan(inputs), fill, inputs) - mean) / deviation
        kind = torch.int64 if self.options.kind == "multiclass" else torch.float32
        return torch.tensor(values, dtype=torch.float32), torch.tensor(targets, dtype=kind)
