"""Images as a task: an ``.npz`` of arrays or a folder per class, a small CNN with GroupNorm.

Shapes: N images, C channels, H height, W width, K classes.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Self
from zipfile import BadZipFile

import numpy as np
import torch
from pydantic import Field, model_validator

from domicile.errors import ConfigurationError
from domicile.learning.metrics import classification
from domicile.learning.settings import DataSettings
from domicile.learning.table import split_rows
from domicile.learning.task import NodeData, Split
from domicile.settings import Settings, parse_settings

GROUPS = 4
PICTURES = "*.png"


class ImageOptions(Settings):
    """Options of a job. `classes` are the labels, in the order of the model's outputs."""

    classes: tuple[str, ...] = Field(min_length=2, max_length=1000)
    height: int = Field(ge=4, le=1024)
    width: int = Field(ge=4, le=1024)
    channels: int = Field(default=1, ge=1, le=16)
    widths: tuple[Annotated[int, Field(le=1 << 14)], ...] = Field(default=(16, 32), min_length=1, max_length=6)

    @model_validator(mode="after")
    def _check(self) -> Self:
        for width in self.widths:
            if width < GROUPS or width % GROUPS:
                raise ValueError(f"widths: {width} is no multiple of {GROUPS}, as GroupNorm needs it; correct it")
        if min(self.height, self.width) < 2 ** len(self.widths):
            raise ValueError("widths: too many layers for images this small; remove some")
        return self


class Images:
    """Classifies images."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Raises:
        ConfigurationError: an option is unknown or wrong.
        """
        self.options = parse_settings(options, ImageOptions, source="task.options")

    def build_model(self) -> torch.nn.Module:
        """Convolutions, each followed by GroupNorm, ReLU and pooling by two; then a linear layer."""
        layers: list[torch.nn.Module] = []
        channels = self.options.channels
        for width in self.options.widths:
            layers += [
                torch.nn.Conv2d(channels, width, 3, padding=1),
                torch.nn.GroupNorm(GROUPS, width),
                torch.nn.ReLU(),
                torch.nn.MaxPool2d(2),
            ]
            channels = width
        layers += [torch.nn.AdaptiveAvgPool2d(2), torch.nn.Flatten(), torch.nn.Linear(4 * channels, self._num_classes)]
        return torch.nn.Sequential(*layers)

    @property
    def _num_classes(self) -> int:
        return len(self.options.classes)

    def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Mean cross-entropy."""
        return torch.nn.functional.cross_entropy(outputs, targets)

    def metrics(self, outputs: torch.Tensor, targets: torch.Tensor) -> dict[str, float]:
        """Accuracy, balanced accuracy and AUC (one against the rest); those not defined on the split are left out."""
        scores = outputs.softmax(dim=1)
        binary = scores[:, 1] if self._num_classes == 2 else scores
        return classification(scores.argmax(dim=1), targets, binary)

    def couplings(self) -> tuple[str, ...]:
        """An image is divided by 255 and by nothing of others."""
        return ()

    def load(self, train: Path, test: Path | None, settings: DataSettings, seed: int) -> NodeData:
        """Reads images; without `test`, a part of `train` is held out.

        Raises:
            ConfigurationError: a path is missing, or the images are not of the job's shape and classes.
        """
        pixels, labels = self._read(train)
        rows = np.arange(len(labels))
        strata = labels.numpy() if settings.stratified else None
        if test is None:
            rows, test_rows = split_rows(rows, strata, settings.test_fraction, seed)
            held_out = pixels[test_rows], labels[test_rows]
        else:
            held_out = self._read(test)
        rows, validation = split_rows(rows, strata, settings.validation_fraction, seed + 1)
        if not len(held_out[1]):
            raise ConfigurationError(f"{test or train}: no test images; add some or raise data.test_fraction")
        if len(np.unique(labels[rows])) < 2:
            raise ConfigurationError(f"{train}: fewer than two classes to train on; add images of another")
        return NodeData(
            train=(pixels[rows], labels[rows]), validation=(pixels[validation], labels[validation]), test=held_out
        )

    def _read(self, path: Path) -> Split:
        if path.is_dir():
            pixels, labels = self._read_folder(path)
        elif path.suffix == ".npz" and path.is_file():
            pixels, labels = self._read_arrays(path)
        else:
            raise ConfigurationError(f"{path}: neither an .npz file nor a folder of classes; correct the path")
        wanted = (self.options.channels, self.options.height, self.options.width)
        if pixels.shape[1:] != wanted:
            raise ConfigurationError(
                f"{path}: images of shape {pixels.shape[1:]}, the job wants {wanted}; convert them"
            )
        if not len(pixels):
            raise ConfigurationError(f"{path}: no images; add some")
        values = torch.from_numpy(pixels.astype(np.float32)).div_(255.0 if pixels.dtype == np.uint8 else 1.0)
        if not bool(torch.isfinite(values).all()):
            raise ConfigurationError(f"{path}: a pixel is not finite; mend the images")
        return values, torch.from_numpy(labels)

    def _read_arrays(self, path: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        try:
            with np.load(path, allow_pickle=False) as arrays:
                pixels, raw = arrays["x"], arrays["y"]
        except (BadZipFile, EOFError, KeyError, OSError, ValueError) as exc:
            raise ConfigurationError(
                f"{path}: needs arrays x (images) and y (labels) without pickles ({exc}); save it anew"
            ) from exc
        if pixels.dtype != np.uint8 and not np.issubdtype(pixels.dtype, np.floating):
            raise ConfigurationError(f"{path}: x holds {pixels.dtype}; save bytes (uint8, 0 to 255) or floats")
        if pixels.ndim == 3:
            pixels = pixels[:, None]
        if pixels.ndim != 4 or raw.shape != pixels.shape[:1]:
            raise ConfigurationError(f"{path}: x has shape {pixels.shape}, y {raw.shape}; give N,H,W or N,C,H,W, and N")
        return pixels, self._labels(path, [str(label) for label in raw.tolist()])

    def _read_folder(self, path: Path) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
        for name in self.options.classes:
            if not (path / name).is_dir():
                raise ConfigurationError(
                    f"{path}: no folder for class {name!r} of task.options.classes; make it, an empty one if the node "
                    "has no such image"
                )
        pixels, names = [], []
        for folder in sorted(one for one in path.iterdir() if one.is_dir()):
            for file in sorted(folder.glob(PICTURES)):
                pixels.append(_read_picture(file)[: self.options.channels])
                names.append(folder.name)
        shapes = {picture.shape for picture in pixels}
        if len(shapes) > 1:
            raise ConfigurationError(f"{path}: images of several shapes {sorted(shapes)}; convert them to one")
        empty = np.zeros((0, self.options.channels, self.options.height, self.options.width), dtype=np.float32)
        return (np.stack(pixels) if pixels else empty), self._labels(path, names)

    def _labels(self, path: Path, names: list[str]) -> np.ndarray[Any, Any]:
        known = {name: index for index, name in enumerate(self.options.classes)}
        for name in names:
            if name not in known:
                raise ConfigurationError(f"{path}: label {name!r} is not among task.options.classes; add or mend it")
        return np.array([known[name] for name in names], dtype=np.int64)


def _read_picture(path: Path) -> np.ndarray[Any, Any]:
    """Shape ``(C, H, W)``, 0 to 1."""
    from matplotlib.image import imread

    try:
        picture = np.asarray(imread(path), dtype=np.float32)
    except (OSError, SyntaxError, ValueError) as exc:
        raise ConfigurationError(f"{path}: cannot be read as a PNG image; mend or remove the file") from exc
    return picture[None] if picture.ndim == 2 else picture.transpose(2, 0, 1)
