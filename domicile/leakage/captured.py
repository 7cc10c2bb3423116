"""A single update, captured by its committee, and the pictures that come out: plain, private, masked and summed.

The pictures are handwritten digits that anybody may see (Alpaydin and Kaynak 1998, as scikit-learn ships them), since
no page may show a row of a job. Shapes: B pictures of a node, C channels, H height, W width, P flat parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment

from domicile.leakage.inversion import Attacker
from domicile.leakage.local import LocalTraining, RowNoise
from domicile.leakage.masked import masked_and_summed
from domicile.leakage.similarity import psnr, ssim
from domicile.learning.images import Images
from domicile.learning.model import flatten, load_flat
from domicile.learning.settings import TrainingSettings
from domicile.learning.task import Split

NODES = 3
"""Of the region: the fewest of which a sum may leave it."""

PICTURES = 4
"""Of a node, each of another digit. A step on more of them hides each one more."""

SIDE = 8
LEVELS = 16.0
ITERATIONS = 300
RESTARTS = 2


class Setting(Enum):
    """What the committee sees of the node."""

    PLAIN = "plain"
    PRIVATE = "private"
    MASKED = "masked"
    SUMMED = "summed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Recovered:
    """`pictures`: what came out for each true one, rows of pixels; `ssim` and `psnr` of each."""

    setting: Setting
    pictures: tuple[tuple[float, ...], ...]
    ssim: tuple[float, ...]
    psnr: tuple[float, ...]

    @property
    def mean_ssim(self) -> float:
        return float(np.mean(self.ssim))

    @property
    def mean_psnr(self) -> float:
        return float(np.mean(self.psnr))


@dataclass(frozen=True, kw_only=True, slots=True)
class InversionFindings:
    """`guess_ssim` and `guess_psnr`: of the mean of other pictures, for which no update is needed; what is no better
    tells nothing. `noise_multiplier` and `max_grad_norm` of the private setting.
    """

    side: int
    truth: tuple[tuple[float, ...], ...]
    guess_ssim: float
    guess_psnr: float
    recovered: tuple[Recovered, ...]
    num_nodes: int
    noise_multiplier: float
    max_grad_norm: float


@dataclass(frozen=True, kw_only=True)
class CapturedUpdate:
    """One node's step on its pictures, from a fresh model, in a region of `NODES`. `noise` is that of the private
    setting.
    """

    noise: RowNoise
    seed: int

    @staticmethod
    def num_steps() -> int:
        """How often `invert` calls `step`."""
        return len(Setting) * RESTARTS

    def invert(self, step: Callable[[], None]) -> InversionFindings:
        """Attacks the update in each setting."""
        digits, others = _digits(self.seed)
        task = Images({"classes": tuple(map(str, range(10))), "height": SIDE, "width": SIDE})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.seed)
            module = task.build_model()
        base_P = flatten(module)
        settings = TrainingSettings(steps=1, learning_rate=0.1, batch_size=PICTURES)
        plain = LocalTraining(task=task, module=module, settings=settings, noise=None)
        nodes = [_part(digits, node) for node in range(NODES)]
        deltas_P = [plain.update(base_P, one, seed=self.seed + node) for node, one in enumerate(nodes)]
        masked_P, summed_P = masked_and_summed(deltas_P)
        seen = {
            Setting.PLAIN: deltas_P[0],
            Setting.PRIVATE: replace(plain, noise=self.noise).update(base_P, nodes[0], seed=self.seed),
            Setting.MASKED: masked_P,
            Setting.SUMMED: summed_P,
        }
        attacker = Attacker(task=task, module=module, iterations=ITERATIONS, restarts=RESTARTS, seed=self.seed)
        found = []
        for setting, delta_P in seen.items():
            load_flat(module, base_P)
            rows = digits if setting is Setting.SUMMED else nodes[0]
            # A step goes against the gradient.
            pictures_B = attacker.invert(-delta_P, rows[1], rows[0].shape[1:], step)
            found.append(_compared(setting, pictures_B, rows[0]))
        truth_B, guess = nodes[0][0], others.mean(dim=0)
        return InversionFindings(
            side=SIDE,
            truth=_pixels(truth_B),
            guess_ssim=float(np.mean([ssim(guess, one) for one in truth_B])),
            guess_psnr=float(np.mean([psnr(guess, one) for one in truth_B])),
            recovered=tuple(found),
            num_nodes=NODES,
            noise_multiplier=self.noise.mechanism.noise_multiplier,
            max_grad_norm=self.noise.max_grad_norm,
        )


def _compared(setting: Setting, found_B: torch.Tensor, true_B: torch.Tensor) -> Recovered:
    """Each true picture beside the one of those found that fits it best, no two to the same; the first `PICTURES`,
    which are the node's own. Labels may come twice, so that only the pictures themselves tell which is which.
    """
    alike = np.array([[ssim(one, true) for one in found_B] for true in true_B])
    _, chosen = linear_sum_assignment(-alike)
    own_B = found_B[torch.from_numpy(chosen[:PICTURES])]
    return Recovered(
        setting=setting,
        pictures=_pixels(own_B),
        ssim=tuple(float(alike[place, chosen[place]]) for place in range(PICTURES)),
        psnr=tuple(psnr(one, true) for one, true in zip(own_B, true_B, strict=False)),
    )


def _digits(seed: int) -> tuple[Split, torch.Tensor]:
    """Pictures of all nodes, a node's beside one another, and the pictures of nobody."""
    from sklearn.datasets import load_digits

    pixels, labels = load_digits(return_X_y=True)
    pixels = torch.from_numpy(pixels / LEVELS).float().reshape(-1, 1, SIDE, SIDE)
    generator = np.random.default_rng(seed)
    chosen: list[int] = []
    for place in range(NODES * PICTURES):
        same = np.setdiff1d(np.flatnonzero(labels == place % 10), chosen)
        chosen.append(int(generator.choice(same)))
    rest = np.setdiff1d(np.arange(len(labels)), chosen)
    return (pixels[chosen], torch.from_numpy(labels[chosen])), pixels[rest]


def _part(digits: Split, node: int) -> Split:
    own = slice(node * PICTURES, (node + 1) * PICTURES)
    return digits[0][own], digits[1][own]


def _pixels(pictures_B: torch.Tensor) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(float(pixel) for pixel in one.flatten()) for one in pictures_B)
