"""How alike two pictures are. Shapes: C channels, H height, W width; pixels from 0 to 1."""

from __future__ import annotations

import math

import torch

WINDOW = 7
DEVIATION = 1.5
"""Of the Gaussian window, in pixels (Wang et al. 2004, section III-B; of its 11 pixels, small pictures have 7)."""

STABILISERS = 0.01**2, 0.03**2
"""C1 and C2 of the same paper, for a range of 1."""

PSNR_MAX = 100.0
"""Of equal pictures, in dB, where the ratio is infinite."""


def psnr(picture: torch.Tensor, truth: torch.Tensor) -> float:
    """Peak signal-to-noise ratio in dB, at most `PSNR_MAX`."""
    error = float((picture - truth).double().square().mean())
    return PSNR_MAX if error <= 10 ** (-PSNR_MAX / 10) else -10 * math.log10(error)


def ssim(picture: torch.Tensor, truth: torch.Tensor) -> float:
    """Structural similarity (Wang et al. 2004), from -1 to 1 for equal ones, mean over channels and places."""
    side = min(WINDOW, *truth.shape[-2:])
    at = torch.arange(side, dtype=torch.float64) - (side - 1) / 2
    line = torch.exp(-(at**2) / (2 * DEVIATION**2))
    window = torch.outer(line, line)[None, None] / line.sum() ** 2

    def blurred(one: torch.Tensor) -> torch.Tensor:
        # Channels are apart.
        return torch.nn.functional.conv2d(one[:, None], window)

    first, second = picture.double(), truth.double()
    mean_1, mean_2 = blurred(first), blurred(second)
    var_1, var_2 = blurred(first * first) - mean_1**2, blurred(second * second) - mean_2**2
    covariance = blurred(first * second) - mean_1 * mean_2
    c1, c2 = STABILISERS
    luminance = (2 * mean_1 * mean_2 + c1) / (mean_1**2 + mean_2**2 + c1)
    structure = (2 * covariance + c2) / (var_1 + var_2 + c2)
    return float((luminance * structure).mean())
