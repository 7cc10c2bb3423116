"""Images as a task: arrays and folders, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from domicile.errors import ConfigurationError
from domicile.learning.model import layout_of
from domicile.learning.settings import DataSettings, TrainingSettings
from domicile.learning.task import find_task
from domicile.learning.training import evaluate, train

OPTIONS = {"classes": [str(label) for label in range(10)], "height": 8, "width": 8, "widths": [8, 16]}


def write_digits(path: Path, count: int = 600) -> Path:
    digits = load_digits()
    np.savez(path, x=(digits.images[:count] * 15.9).astype(np.uint8), y=digits.target[:count])
    return path


def test_a_small_network_learns_digits_and_holds_float32_alone(tmp_path: Path) -> None:
    task = find_task("images", OPTIONS)
    data = task.load(write_digits(tmp_path / "d.npz"), None, DataSettings(), 1)
    assert data.train[0].shape[1:] == (1, 8, 8)
    assert float(data.train[0].max()) <= 1.0
    torch.manual_seed(0)
    module = task.build_model()
    assert layout_of(module).num_parameters > 1000
    settings = TrainingSettings(steps=150, optimizer="adam", learning_rate=0.01, batch_size=32)
    train(task, module, data.train, settings, seed=3)
    figures = evaluate(task, module, data.test).metrics
    assert figures["accuracy"] > 0.8
    assert figures["auc"] > 0.95


def test_a_folder_per_class_gives_the_same_images(tmp_path: Path) -> None:
    from matplotlib.image import imsave

    digits = load_digits()
    for index in range(40):
        folder = tmp_path / "pictures" / str(digits.target[index])
        folder.mkdir(parents=True, exist_ok=True)
        imsave(folder / f"{index:03}.png", digits.images[index], cmap="gray", vmin=0, vmax=16)
    task = find_task("images", {**OPTIONS, "channels": 3})
    data = task.load(tmp_path / "pictures", None, DataSettings(), 1)
    assert len(data.train[0]) + len(data.validation[0]) + len(data.test[0]) == 40
    assert data.train[0].shape[1:] == (3, 8, 8)


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"x": np.zeros((4, 8, 8), np.uint8)}, "needs arrays"),
        ({"x": np.zeros((4, 8), np.uint8), "y": np.zeros(4, int)}, "shape"),
        ({"x": np.zeros((4, 9, 8), np.uint8), "y": np.zeros(4, int)}, "the job wants"),
        ({"x": np.zeros((4, 8, 8), np.uint8), "y": np.array([0, 1, 2, 77])}, "'77'"),
        ({"x": np.full((4, 8, 8), np.nan, np.float32), "y": np.array([0, 1, 0, 1])}, "finite"),
        ({"x": np.zeros((9, 8, 8), np.uint8), "y": np.zeros(9, int)}, "two classes"),
        ({"x": np.zeros((0, 8, 8), np.uint8), "y": np.zeros(0, int)}, "no images"),
    ],
)
def test_wrong_images_are_named(tmp_path: Path, arrays: dict[str, np.ndarray], told: str) -> None:
    np.savez(tmp_path / "d.npz", **arrays)
    with pytest.raises(ConfigurationError, match=told):
        find_task("images", OPTIONS).load(tmp_path / "d.npz", None, DataSettings(), 1)


def test_wrong_options_and_paths_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="multiple of 4"):
        find_task("images", {**OPTIONS, "widths": [6]})
    with pytest.raises(ConfigurationError, match="unknown key"):
        find_task("images", {**OPTIONS, "depth": 6})
    with pytest.raises(ConfigurationError, match="neither"):
        find_task("images", OPTIONS).load(tmp_path / "none", None, DataSettings(), 1)
