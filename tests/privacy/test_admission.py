"""Tasks and models whose rows cannot be protected are refused, naming what is wrong and what to use instead."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn

from domicile.errors import ConfigurationError
from domicile.learning.images import Images
from domicile.learning.settings import DataSettings
from domicile.learning.tabular import Tabular
from domicile.privacy.admission import require_bounded, require_layers, require_row_wise
from tests.privacy.models import MODELS, NUM_ROWS, Regression, seeded

SPLIT = DataSettings(stratified=False)


def table(**options: Any) -> Tabular:
    sound = {"standardize": False, "missing": "refuse"}
    return Tabular({"target": "y", "features": ["a", "b"]} | sound | options)


class Centred(nn.Module):
    """What a row is, follows from the others beside it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.inner(inputs - inputs.mean(dim=0))
        return outputs


class PastTheHooks(nn.Module):
    """Uses a layer's parameter beside the layer, where no hook sees it."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 1)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.inner(inputs) + nn.functional.linear(inputs.exp(), self.inner.weight)
        return outputs


class Remembering(nn.Module):
    """Keeps a mean of the rows that it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 1)
        self.register_buffer("seen", torch.zeros(3))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.inner(inputs)
        return outputs


LAYERS: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "BatchNorm1d": (lambda: nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2)), "'1' is BatchNorm1d.*torch's GroupNorm"),
    "without parameters": (lambda: nn.BatchNorm2d(4, affine=False), "'model' is BatchNorm2d.*torch's GroupNorm"),
    "LSTM": (lambda: nn.ModuleDict({"memory": nn.LSTM(3, 2)}), "'memory' is LSTM.*opacus's DPLSTM"),
    "GRU": (lambda: nn.GRU(3, 2), "is GRU.*opacus's DPGRU"),
    "attention": (lambda: nn.MultiheadAttention(4, 2), "is MultiheadAttention.*opacus's DPMultiheadAttention"),
    "running means": (
        lambda: nn.InstanceNorm1d(3, affine=True, track_running_stats=True),
        "is InstanceNorm1d.*InstanceNorm1d with track_running_stats=False",
    ),
    "memory": (Remembering, "tensor 'seen' of the model is no parameter.*make it a parameter"),
}


@pytest.mark.parametrize(("build", "told"), LAYERS.values(), ids=list(LAYERS))
def test_a_layer_that_ties_rows_or_keeps_them_is_named_with_its_replacement(
    build: Callable[[], nn.Module], told: str
) -> None:
    with pytest.raises(ConfigurationError, match=f"^privacy: .*{told}"):
        require_layers(build())


@pytest.mark.parametrize("name", list(MODELS))
def test_models_of_sound_layers_are_taken_and_left_without_gradients(name: str) -> None:
    task, module, rows = seeded(name)
    require_bounded(task, module, rows)
    assert all(one.grad is None or not one.grad.any() for one in module.parameters())


def test_gaps_of_dropout_are_no_tie_between_rows() -> None:
    task, _, rows = seeded("layers")
    require_bounded(task, nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 1)), rows)


@pytest.mark.parametrize("module", [Centred(), PastTheHooks()])
def test_a_model_whose_rows_are_others_in_company_is_refused(module: nn.Module) -> None:
    task, _, rows = seeded("linear")
    with pytest.raises(ConfigurationError, match="another one among other rows than alone"):
        require_bounded(task, module, rows)


def test_a_layer_in_two_places_is_refused() -> None:
    task, _, rows = seeded("linear")
    layer = nn.Linear(3, 3)
    with pytest.raises(ConfigurationError, match=r"no gradient of a single row.*each in one place"):
        require_bounded(task, nn.Sequential(layer, layer, nn.Linear(3, 1)), rows)


def test_a_loss_that_reads_values_is_refused() -> None:
    class Reading(Regression):
        def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            return outputs.mean() * float(targets.mean())

    _, module, rows = seeded("linear")
    with pytest.raises(ConfigurationError, match=r"no gradient of a single row.*a loss of torch operations"):
        require_bounded(Reading(), module, rows)


def test_a_task_that_says_nothing_of_its_rows_is_refused() -> None:
    class Silent:
        build_model = Regression.build_model

    with pytest.raises(ConfigurationError, match=r"task 'mine\.py:Silent' does not say .*give it a method couplings"):
        require_row_wise("mine.py:Silent", Silent(), SPLIT)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"standardize": True}, "standardize: rows are scaled by mean and deviation of all rows; set it to false"),
        ({"missing": "mean"}, "missing: a missing value becomes the mean of all rows; write"),
        ({"missing": "drop"}, "missing: a row that is dropped moves the others' places"),
    ],
)
def test_a_table_whose_rows_shape_one_another_is_refused(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        require_row_wise("tabular", table(**options), SPLIT)


def test_a_split_by_labels_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"data\.stratified: one row's label decides where others go"):
        require_row_wise("tabular", table(), DataSettings())


def test_tables_and_images_whose_rows_stand_alone_are_taken() -> None:
    require_row_wise("tabular", table(), SPLIT)
    require_row_wise("images", Images({"classes": ["a", "b"], "height": 8, "width": 8}), SPLIT)


def test_the_images_model_is_taken() -> None:
    task = Images({"classes": ["a", "b", "c"], "height": 8, "width": 8})
    rows = torch.rand(NUM_ROWS, 1, 8, 8), torch.arange(NUM_ROWS) % 3
    require_bounded(task, task.build_model(), rows)
