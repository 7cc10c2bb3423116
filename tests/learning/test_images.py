"""Images as a task: arrays and folders, and what is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib.image import imsave
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


def write_pictures(path: Path, count: int = 40) -> Path:
    """A folder per digit; gray pictures, which PNG writers here store with four channels."""
    digits = load_digits()
    for index in range(count):
        folder = path / str(digits.target[index])
        folder.mkdir(parents=True, exist_ok=True)
        imsave(folder / f"{index:03}.png", digits.images[index], cmap="gray", vmin=0, vmax=16)
    return path


@pytest.mark.parametrize("channels", [1, 3])
def test_a_folder_per_class_gives_the_same_images_as_the_arrays(tmp_path: Path, channels: int) -> None:
    task = find_task("images", {**OPTIONS, "channels": channels})
    data = task.load(write_pictures(tmp_path / "pictures"), None, DataSettings(), 1)
    pixels = torch.cat([data.train[0], data.validation[0], data.test[0]])
    labels = torch.cat([data.train[1], data.validation[1], data.test[1]])
    assert pixels.shape == (40, channels, 8, 8)
    digits = load_digits()
    for image, label in zip(digits.images[:40] / 16, digits.target[:40], strict=True):
        distances = (pixels - torch.tensor(image, dtype=torch.float32)).abs().amax(dim=(1, 2, 3))
        assert float(distances.min()) < 0.01
        assert int(labels[distances.argmin()]) == label


def test_folders_with_a_test_folder_hold_out_nothing_else(tmp_path: Path) -> None:
    task = find_task("images", OPTIONS)
    train_folder, test_folder = write_pictures(tmp_path / "train"), write_pictures(tmp_path / "test", count=30)
    data = task.load(train_folder, test_folder, DataSettings(validation_fraction=0.0), 1)
    assert (len(data.train[0]), len(data.test[0])) == (40, 30)


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: (folder / "3" / "broken.png").write_bytes(b"no picture"), r"3/broken\.png: cannot be read"),
        (lambda folder: (folder / "3" / "empty.png").touch(), r"3/empty\.png: cannot be read"),
        (lambda folder: _cut_short(folder / "3" / "003.png"), r"3/003\.png: cannot be read"),
        (lambda folder: (folder / "7").rename(folder / "seven"), r"no folder for class '7'.*make it"),
        (lambda folder: shutil.copytree(folder / "7", folder / "seven"), r"label 'seven'.*task\.options\.classes"),
        (lambda folder: imsave(folder / "3" / "big.png", np.zeros((9, 9))), "several shapes.*convert"),
    ],
    ids=["no picture", "empty file", "cut short", "a class without a folder", "a folder of no class", "two shapes"],
)
def test_wrong_pictures_are_named(tmp_path: Path, spoil: Callable[[Path], object], told: str) -> None:
    folder = write_pictures(tmp_path / "pictures")
    spoil(folder)
    with pytest.raises(ConfigurationError, match=told) as refused:
        find_task("images", OPTIONS).load(folder, None, DataSettings(), 1)
    assert "\n" not in str(refused.value)


def _cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


def test_a_class_of_which_a_node_has_no_image_is_an_empty_folder(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pictures")
    for file in (folder / "7").iterdir():
        file.unlink()
    data = find_task("images", OPTIONS).load(folder, None, DataSettings(), 1)
    assert 7 not in data.train[1]


def test_a_picture_with_too_few_channels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"shape \(4, 8, 8\), the job wants \(5, 8, 8\)"):
        find_task("images", {**OPTIONS, "channels": 5}).load(
            write_pictures(tmp_path / "pictures"), None, DataSettings(), 1
        )


def test_arrays_with_channels_and_floats_are_taken_as_they_are(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(30, 2, 8, 8)).astype(np.float16)
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(30) % 10)
    task = find_task("images", {**OPTIONS, "channels": 2})
    data = task.load(tmp_path / "d.npz", tmp_path / "d.npz", DataSettings(validation_fraction=0.0), 1)
    assert torch.equal(data.train[0], torch.tensor(x, dtype=torch.float32))
    assert data.train[1].tolist() == [label % 10 for label in range(30)]
    assert task.build_model()(data.train[0]).shape == (30, 10)


def test_a_file_that_is_no_npz_is_named(tmp_path: Path) -> None:
    (tmp_path / "d.npz").write_bytes(b"PK\x03\x04 and then nothing")
    with pytest.raises(ConfigurationError, match=r"d\.npz: needs arrays"):
        find_task("images", OPTIONS).load(tmp_path / "d.npz", None, DataSettings(), 1)


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"x": np.zeros((4, 8, 8), np.uint8)}, "needs arrays"),
        ({"x": np.zeros((4, 8), np.uint8), "y": np.zeros(4, int)}, "shape"),
        ({"x": np.zeros((4, 9, 8), np.uint8), "y": np.zeros(4, int)}, "the job wants"),
        ({"x": np.zeros((4, 8, 8), np.uint8), "y": np.array([0, 1, 2, 77])}, "'77'"),
        ({"x": np.zeros((4, 8, 8), np.int64), "y": np.array([0, 1, 0, 1])}, "int64"),
        ({"x": np.full((4, 8, 8), "a"), "y": np.array([0, 1, 0, 1])}, "<U1"),
        ({"x": np.full((4, 8, 8), None), "y": np.array([0, 1, 0, 1])}, "pickle"),
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
