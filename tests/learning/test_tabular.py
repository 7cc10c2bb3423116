"""Tables as a task: what becomes of each column, what is refused, and that no test row is looked at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import pytest
import torch
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.impute import SimpleImputer
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    log_loss,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from domicile.errors import ConfigurationError
from domicile.learning.model import layout_of
from domicile.learning.settings import DataSettings, TrainingSettings
from domicile.learning.table import read_table
from domicile.learning.tabular import Tabular, resolve_options
from domicile.learning.training import evaluate, train

WHOLE = DataSettings(validation_fraction=0.0)
"""No validation part: every row of the training file is trained on."""

OPTIONS: dict[str, Any] = {"target": "y", "features": ["x", "z"]}
ROWS = "x,z,y\n1,5,0\n2,7,1\n4,,0\n,6,1\n"
TEST = "x,z,y\n,1000,1\n-1000,,0\n"
PLACES = {"target": "y", "features": ["x", "place"], "categorical": {"place": ["ward", "icu", "home"]}}
PLACE_ROWS = "x,place,y\n1,ward,0\n2,icu,1\n3,home,0\n4,icu,1\n"


def load(folder: Path, options: dict[str, Any], rows: str, test: str | None = None):
    """Data of a node whose two files lie in `folder`; the rows also serve as the test file if none is given."""
    (folder / "train.csv").write_text(rows, encoding="utf-8")
    (folder / "test.csv").write_text(test or rows, encoding="utf-8")
    return Tabular(options).load(folder / "train.csv", folder / "test.csv", WHOLE, 0)


def headers(*files: Path) -> dict[str, list[str]]:
    return {file.name: read_table(file).column_names for file in files}


def refusal(folder: Path, options: dict[str, Any], rows: str, test: str | None = None) -> str:
    with pytest.raises(ConfigurationError) as refused:
        load(folder, options, rows, test)
    message = str(refused.value)
    assert "\n" not in message
    return message


REFUSED: dict[str, tuple[dict[str, Any], str, list[str]]] = {
    "no rows": ({}, "x,z,y\n", ["no rows", "add some"]),
    "an empty file": ({}, "", ["is empty", "write a heading"]),
    "ragged rows": ({}, "x,z,y\n1,2,0\n1,2\n", ["row 3", "has 2 cells, the heading 3", "mend that row"]),
    "a column twice": ({}, "x,x,z,y\n1,1,2,0\n2,2,2,1\n", ["'x'", "twice", "rename"]),
    "no such feature": ({}, "x,y\n1,0\n2,1\n", ["no column 'z'", "task.options"]),
    "no such target": ({}, "x,z\n1,0\n2,1\n", ["no column 'y'", "task.options"]),
    "text in a number column": ({}, "x,z,y\n1,2,0\nhigh,3,1\n", ["'x'", "text", "task.options.categorical"]),
    "an infinite cell": ({}, "x,z,y\n1,inf,0\n2,3,1\n", ["'z'", "not finite", "correct it"]),
    "a cell beyond float32": ({}, "x,z,y\n1,2,0\n1,1e300,0\n2,3,1\n", ["row 2", "'z'", "beyond float32"]),
    "a cell beyond float32 below a dropped row": (
        {"missing": "drop"},
        "x,z,y\n,2,0\n1,1e300,0\n2,3,1\n",
        ["row 2", "'z'", "beyond float32"],
    ),
    "a target beyond float32": ({"kind": "regression"}, "x,z,y\n1,2,0\n2,3,-1e39\n", ["row 2", "'y'", "beyond"]),
    "one class": ({}, "x,z,y\n1,2,1\n2,3,1\n", ["'y'", "fewer than two classes", "task.options.single_class"]),
    "a third class": ({}, "x,z,y\n1,2,1\n2,3,2\n", ["'y'", "0 or 1", "recode"]),
    "a binary target of text": ({}, "x,z,y\n1,2,yes\n2,3,no\n", ["'y'", "text", "task.options.kind"]),
    "a missing target": ({}, "x,z,y\n1,2,1\n2,3,\n", ["'y'", "target is missing", "remove the row"]),
    "a regression of text": (
        {"kind": "regression"},
        "x,z,y\n1,2,long\n2,3,short\n",
        ["'y'", "a regression target is a number", "task.options.kind"],
    ),
    "a label outside classes": (
        {"kind": "multiclass", "classes": ["a", "b", "c"]},
        "x,z,y\n1,2,a\n2,3,d\n",
        ["'y'", "'d'", "task.options.classes", "add it"],
    ),
    "an unknown level": (
        {"categorical": {"x": ["low", "high"]}},
        "x,z,y\nlow,2,0\nhgih,3,1\n",
        ["'x'", "'hgih'", "task.options.categorical.x", "unknown_level"],
    ),
    "a missing number": ({"missing": "refuse"}, "x,z,y\n1,2,0\n,3,1\n", ["'x'", "missing", "task.options.missing"]),
    "a missing level": (
        {"missing": "refuse", "categorical": {"x": ["low", "high"]}},
        "x,z,y\nlow,2,0\n,3,1\n",
        ["'x'", "missing", "task.options.missing"],
    ),
    "no complete row": ({"missing": "drop"}, "x,z,y\n1,,0\n,3,1\n", ["every row", "task.options.missing"]),
}


@pytest.mark.parametrize("case", REFUSED, ids=list(REFUSED))
def test_wrong_data_is_refused_in_one_line_that_names_file_key_cause_and_mend(tmp_path: Path, case: str) -> None:
    options, rows, told = REFUSED[case]
    message = refusal(tmp_path, {**OPTIONS, **options}, rows)
    assert [word for word in ("train.csv", *told) if word not in message] == [], message


def test_a_file_that_is_no_text_is_named_as_that_and_nothing_of_it_is_shown(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_bytes(b"x,z,y\n1,2,\xff\xfe\n")
    with pytest.raises(ConfigurationError, match=r"train\.csv: not UTF-8 text; save it as UTF-8$"):
        read_table(tmp_path / "train.csv")


def test_a_broken_parquet_file_is_named_as_that(tmp_path: Path) -> None:
    (tmp_path / "train.parquet").write_bytes(b"PAR0")
    with pytest.raises(ConfigurationError, match=r"train\.parquet: not a whole Parquet file; write it anew$"):
        read_table(tmp_path / "train.parquet")


def test_hidden_widths_of_a_model_without_hidden_layers_are_refused() -> None:
    with pytest.raises(ConfigurationError, match='hidden: has no meaning for model = "logistic"; remove it'):
        Tabular({"target": "y", "features": ["x"], "model": "logistic", "hidden": [4]})


def test_a_node_that_sees_one_class_takes_part_where_the_job_accepts_it(tmp_path: Path) -> None:
    data = load(tmp_path, {**OPTIONS, "single_class": "accept"}, "x,z,y\n1,2,1\n2,3,1\n", "x,z,y\n1,2,0\n")
    assert data.train[1].tolist() == [1, 1]
    assert data.test[1].tolist() == [0]


def test_a_cell_that_only_the_scale_of_the_training_rows_makes_too_large_is_named(tmp_path: Path) -> None:
    narrow = "x,z,y\n1,0.0001,0\n2,0.0002,1\n"
    message = refusal(tmp_path, OPTIONS, narrow, "x,z,y\n1,0.0001,0\n2,1e37,1\n")
    assert "test.csv: row 2, column 'z': the value is beyond float32" in message


def test_a_wrong_test_file_is_named_itself(tmp_path: Path) -> None:
    assert "test.csv: no column 'z'" in refusal(tmp_path, OPTIONS, ROWS, "x,y\n1,0\n")


def test_a_nan_cell_of_a_parquet_file_is_a_missing_value_and_the_text_nan_is_not(tmp_path: Path) -> None:
    file = tmp_path / "rows.parquet"
    pyarrow.parquet.write_table(pa.table({"x": [1.0, float("nan")], "z": [1, 2], "y": [0, 1]}), file)
    with pytest.raises(ConfigurationError, match=r"rows\.parquet: column 'x': a value is missing"):
        Tabular({**OPTIONS, "missing": "refuse"}).load(file, file, WHOLE, 0)
    pyarrow.parquet.write_table(pa.table({"x": ["1", "nan"], "z": [1, 2], "y": [0, 1]}), file)
    with pytest.raises(ConfigurationError, match=r"rows\.parquet: column 'x': a value is not finite"):
        Tabular(OPTIONS).load(file, file, WHOLE, 0)


@pytest.mark.parametrize("name", ["rows.txt", "none.csv", "none.parquet"])
def test_a_file_of_another_kind_or_none_at_all_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "rows.txt").write_text(ROWS, encoding="utf-8")
    with pytest.raises(
        ConfigurationError, match=rf"{name}: (neither .csv nor .parquet; convert|no such file; correct)"
    ):
        Tabular(OPTIONS).load(tmp_path / name, None, WHOLE, 0)


def test_a_node_with_nothing_to_test_on_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("x,z,y\n1,2,0.5\n", encoding="utf-8")
    with pytest.raises(ConfigurationError, match=r"one\.csv: no test rows"):
        Tabular({**OPTIONS, "kind": "regression"}).load(tmp_path / "one.csv", None, WHOLE, 0)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"features": []}, "features"),
        ({"features": ["x", "y"]}, "features"),
        ({"categorical": {"w": ["a"]}}, "categorical column is not among the features"),
        ({"categorical": {"x": ["a", "a"]}}, r"categorical\.x repeats a level"),
        ({"categorical": {"x": ["a"]}, "drop_first": True}, "two with drop_first"),
        ({"classes": ["a", "b", "c"]}, "classes"),
        ({"kind": "multiclass", "classes": ["a", "b"]}, "classes"),
        ({"kind": "multiclass", "classes": ["a", "b", "c", "a"]}, "classes"),
        ({"hidden": [0]}, "hidden"),
        ({"missing": "constant"}, "fill_value"),
        ({"fill_value": 1.0}, "fill_value"),
        ({"missing": "drop", "missing_indicator": True}, "missing_indicator"),
        ({"missing": "median"}, "missing"),
        ({"standardise": True}, "did you mean 'standardize'"),
    ],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"task\.options: .*{told}"):
        Tabular({**OPTIONS, **options})


@pytest.mark.parametrize("standardize", [True, False])
@pytest.mark.parametrize(
    ("options", "imputer"),
    [
        ({"missing": "mean"}, SimpleImputer(strategy="mean")),
        ({"missing": "constant", "fill_value": -3.5}, SimpleImputer(strategy="constant", fill_value=-3.5)),
        ({"missing": "mean", "missing_indicator": True}, SimpleImputer(strategy="mean", add_indicator=True)),
    ],
)
def test_missing_values_are_filled_and_scaled_as_scikit_learn_fits_the_training_rows_alone(
    tmp_path: Path, options: dict[str, Any], imputer: SimpleImputer, standardize: bool
) -> None:
    data = load(tmp_path, {**OPTIONS, **options, "standardize": standardize}, ROWS, TEST)
    nan = np.nan
    train_rows, test_rows = [[1, 5], [2, 7], [4, nan], [nan, 6]], [[nan, 1000], [-1000, nan]]
    oracle = make_pipeline(imputer, StandardScaler() if standardize else "passthrough").fit(train_rows)
    assert data.train[0].numpy() == pytest.approx(oracle.transform(train_rows), abs=1e-6)
    assert data.test[0].numpy() == pytest.approx(oracle.transform(test_rows), rel=1e-6, abs=1e-6)


def test_test_and_validation_rows_change_nothing_of_what_is_trained_on(tmp_path: Path) -> None:
    def write(rows: list[tuple[float, float, int]]) -> Path:
        (tmp_path / "a.csv").write_text("x,z,y\n" + "\n".join(f"{x},{z},{y}" for x, z, y in rows), encoding="utf-8")
        return tmp_path / "a.csv"

    rows = [(float(i), float(i * i % 7), i % 2) for i in range(30)]
    raw = Tabular({**OPTIONS, "standardize": False}).load(write(rows), None, DataSettings(), 4)
    before = Tabular(OPTIONS).load(write(rows), None, DataSettings(), 4)
    trained_on = set(raw.train[0][:, 0].tolist())
    changed = [(x, z, y) if x in trained_on else (x + 1e6, z - 1e6, y) for x, z, y in rows]
    after = Tabular(OPTIONS).load(write(changed), None, DataSettings(), 4)
    assert torch.equal(after.train[0], before.train[0])
    assert not torch.equal(after.validation[0], before.validation[0])
    assert not torch.equal(after.test[0], before.test[0])


def test_a_column_that_is_missing_altogether_or_never_varies_becomes_zeros(tmp_path: Path) -> None:
    data = load(tmp_path, OPTIONS, "x,z,y\n,5,0\n,5,1\n")
    assert torch.equal(data.train[0], torch.zeros(2, 2))


def test_dropped_rows_are_gone_from_every_part(tmp_path: Path) -> None:
    options = {**OPTIONS, "missing": "drop", "standardize": False}
    data = load(tmp_path, options, ROWS + "9,9,\n", TEST + "8,8,1\n")
    assert data.train[0].tolist() == [[1, 5], [2, 7]]
    assert data.test[0].tolist() == [[8, 8]]


@pytest.mark.parametrize("indicator", [True, False])
@pytest.mark.parametrize("drop_first", [True, False])
def test_the_width_follows_from_the_declared_columns_whatever_the_data(
    tmp_path: Path, drop_first: bool, indicator: bool
) -> None:
    options = {**PLACES, "drop_first": drop_first, "missing_indicator": indicator, "unknown_level": "zeros"}
    rich = load(tmp_path, options, PLACE_ROWS)
    poor = load(tmp_path, options, "x,place,y\n,ward,0\n,,1\n")
    width = 1 + (2 if drop_first else 3) + (2 if indicator else 0)
    assert rich.train[0].shape[1] == poor.train[0].shape[1] == Tabular(options).num_inputs == width


@pytest.mark.parametrize("drop", [None, "first"])
def test_categories_become_the_columns_that_scikit_learn_makes(tmp_path: Path, drop: str | None) -> None:
    options = {**PLACES, "standardize": False, "drop_first": drop == "first", "unknown_level": "zeros"}
    test = "x,place,y\n5,prison,0\n6,,1\n7,home,1\n"
    data = load(tmp_path, options, PLACE_ROWS, test)
    encoder = OneHotEncoder(categories=[["ward", "icu", "home"]], drop=drop, handle_unknown="ignore")
    oracle = ColumnTransformer([("x", "passthrough", [0]), ("place", encoder, [1])], sparse_threshold=0)
    rows = [[1.0, "ward"], [2.0, "icu"], [3.0, "home"], [4.0, "icu"]]
    assert data.train[0].numpy() == pytest.approx(oracle.fit_transform(np.array(rows, dtype=object)).astype(float))
    assert data.test[0][:2, 1:].abs().sum() == 0
    assert data.test[0][2].tolist() == [7, *([0, 1] if drop else [0, 0, 1])]


def test_the_empty_level_is_a_level_where_it_is_listed(tmp_path: Path) -> None:
    options = {**PLACES, "categorical": {"place": ["ward", ""]}, "standardize": False, "missing": "refuse"}
    data = load(tmp_path, options, "x,place,y\n1,ward,0\n2,,1\n")
    assert data.train[0].tolist() == [[1, 1, 0], [2, 0, 1]]


def test_levels_are_what_is_written_and_not_what_a_type_makes_of_it(tmp_path: Path) -> None:
    options = {"target": "y", "features": ["x"], "categorical": {"x": ["1", "true", "2020-01-01"]}}
    data = load(tmp_path, {**options, "standardize": False}, "x,y\n1,0\n1,1\n", "x,y\ntrue,0\n2020-01-01,1\n")
    assert data.train[0].tolist() == [[1, 0, 0], [1, 0, 0]]
    assert data.test[0].tolist() == [[0, 1, 0], [0, 0, 1]]


def test_parquet_and_csv_of_the_same_rows_give_the_same_tensors(tmp_path: Path) -> None:
    data = load(tmp_path, {**PLACES, "missing_indicator": True}, PLACE_ROWS)
    for name in ("train", "test"):
        pyarrow.parquet.write_table(pyarrow.csv.read_csv(tmp_path / f"{name}.csv"), tmp_path / f"{name}.parquet")
    task = Tabular({**PLACES, "missing_indicator": True})
    again = task.load(tmp_path / "train.parquet", tmp_path / "test.parquet", WHOLE, 0)
    assert all(torch.equal(one, two) for one, two in zip(data.train + data.test, again.train + again.test, strict=True))


def test_without_features_all_other_columns_are_taken_in_the_order_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("b,y,a\n1,0,2\n", encoding="utf-8")
    assert resolve_options({"target": "y"}, headers(tmp_path / "a.csv"))["features"] == ["b", "a"]
    with pytest.raises(ConfigurationError, match=r"task\.options\.target: no file has a column 'w'; .*\(b, y, a\)"):
        resolve_options({"target": "w"}, headers(tmp_path / "a.csv"))
    with pytest.raises(ConfigurationError, match=r"no file has a column 'yy'; did you mean 'y'\?"):
        resolve_options({"target": "yy"}, headers(tmp_path / "a.csv"))


@pytest.mark.parametrize("short_file_first", [True, False])
def test_without_features_all_files_must_have_the_same_columns(tmp_path: Path, short_file_first: bool) -> None:
    (tmp_path / "short.csv").write_text("b,y\n1,0\n", encoding="utf-8")
    (tmp_path / "long.csv").write_text("b,y,a\n1,0,2\n", encoding="utf-8")
    files = [tmp_path / "short.csv", tmp_path / "long.csv"]
    told = r"short\.csv: no column 'a', which long\.csv has; add it, or list task\.options\.features"
    with pytest.raises(ConfigurationError, match=told):
        resolve_options({"target": "y"}, headers(*(files if short_file_first else reversed(files))))
    assert resolve_options({"target": "y", "features": ["b"]}, headers(*files))["features"] == ["b"]


@pytest.mark.parametrize(
    ("options", "shapes"),
    [
        ({"model": "logistic"}, [(1, 2), (1,)]),
        ({"model": "logistic", "kind": "regression"}, [(1, 2), (1,)]),
        ({"model": "logistic", "kind": "multiclass", "classes": ["a", "b", "c"]}, [(3, 2), (3,)]),
        ({"model": "mlp", "hidden": [5, 4]}, [(5, 2), (5,), (4, 5), (4,), (1, 4), (1,)]),
        (
            {"model": "mlp", "hidden": [7], "kind": "multiclass", "classes": ["a", "b", "c"]},
            [(7, 2), (7,), (3, 7), (3,)],
        ),
    ],
)
def test_models_have_the_given_widths(options: dict[str, Any], shapes: list[tuple[int, ...]]) -> None:
    layout = layout_of(Tabular({**OPTIONS, **options}).build_model())
    assert [shape for _, shape in layout.entries] == shapes


def _write(path: Path, inputs: np.ndarray, targets: list[Any]) -> Path:
    columns = {f"x{index}": inputs[:, index] for index in range(inputs.shape[1])}
    pyarrow.csv.write_csv(pa.table({**columns, "y": targets}), path)
    return path


def _trained(file: Path, options: dict[str, Any], steps: int, rate: float):
    """``(evaluation on the test part, its outputs, its targets)``"""
    task = Tabular(resolve_options({"target": "y", **options}, headers(file)))
    data = task.load(file, None, DataSettings(), 1)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = task.build_model()
    train(task, module, data.train, TrainingSettings(steps=steps, learning_rate=rate, optimizer="adam"), seed=2)
    outputs = module(data.test[0]).detach().double().numpy()
    return evaluate(task, module, data.test), outputs, data.test[1].numpy()


@pytest.mark.parametrize("model", ["logistic", "mlp"])
def test_a_binary_target_is_learned_and_measured_as_scikit_learn_measures(tmp_path: Path, model: str) -> None:
    cancer = load_breast_cancer()
    file = _write(tmp_path / "a.csv", cancer.data[:, :8], cancer.target.tolist())
    found, outputs, targets = _trained(file, {"model": model}, 60, 0.05)
    probability = 1 / (1 + np.exp(-outputs[:, 0]))
    assert found.metrics == pytest.approx(
        {
            "accuracy": accuracy_score(targets, probability > 0.5),
            "balanced_accuracy": balanced_accuracy_score(targets, probability > 0.5),
            "auc": roc_auc_score(targets, probability),
            "loss": log_loss(targets, probability),
        },
        rel=1e-5,
    )
    assert found.metrics["auc"] > 0.95
    assert found.correct == ((probability > 0.5) == targets).sum()


@pytest.mark.parametrize("model", ["logistic", "mlp"])
def test_several_classes_are_learned_and_measured_as_scikit_learn_measures(tmp_path: Path, model: str) -> None:
    iris = load_iris()
    names = list(iris.target_names)
    file = _write(tmp_path / "a.csv", iris.data, [names[label] for label in iris.target])
    found, outputs, targets = _trained(file, {"kind": "multiclass", "classes": names, "model": model}, 60, 0.1)
    odds = np.exp(outputs - outputs.max(1, keepdims=True))
    probability = odds / odds.sum(1, keepdims=True)
    assert found.metrics == pytest.approx(
        {
            "accuracy": accuracy_score(targets, outputs.argmax(1)),
            "balanced_accuracy": balanced_accuracy_score(targets, outputs.argmax(1)),
            "auc": roc_auc_score(targets, probability, multi_class="ovr"),
            "loss": log_loss(targets, probability),
        },
        rel=1e-5,
    )
    assert found.metrics["accuracy"] > 0.85


@pytest.mark.parametrize("model", ["logistic", "mlp"])
def test_a_regression_is_learned_and_measured_as_scikit_learn_measures(tmp_path: Path, model: str) -> None:
    diabetes = load_diabetes()
    file = _write(tmp_path / "a.csv", diabetes.data, (diabetes.target / 100).tolist())
    found, outputs, targets = _trained(file, {"kind": "regression", "model": model}, 80, 0.1)
    assert found.metrics == pytest.approx(
        {
            "rmse": root_mean_squared_error(targets, outputs[:, 0]),
            "mae": mean_absolute_error(targets, outputs[:, 0]),
            "r2": r2_score(targets, outputs[:, 0]),
            "loss": root_mean_squared_error(targets, outputs[:, 0]) ** 2,
        },
        rel=1e-4,
    )
    assert found.metrics["r2"] > 0.2
    assert found.correct is None


def test_figures_that_a_split_cannot_give_are_left_out() -> None:
    task = Tabular(OPTIONS)
    assert "auc" not in task.metrics(torch.tensor([[1.0], [-1.0]]), torch.tensor([1.0, 1.0]))
    same = Tabular({**OPTIONS, "kind": "regression"})
    assert "r2" not in same.metrics(torch.tensor([[1.0], [-1.0]]), torch.tensor([1.0, 1.0]))
