from __future__ import annotations

import math

import pytest
import torch

from domicile.leakage.similarity import PSNR_MAX, psnr, ssim

GENERATOR = torch.Generator().manual_seed(1)
PICTURE = torch.rand(1, 8, 8, generator=GENERATOR)


def _slow_ssim(first: torch.Tensor, second: torch.Tensor) -> float:
    """Wang et al. 2004, equation 13, place by place."""
    weights = [[math.exp(-((r - 3) ** 2 + (c - 3) ** 2) / (2 * 1.5**2)) for c in range(7)] for r in range(7)]
    total = sum(map(sum, weights))
    found = []
    for top in range(2):
        for left in range(2):
            points = [
                (weights[r][c] / total, float(first[0, top + r, left + c]), float(second[0, top + r, left + c]))
                for r in range(7)
                for c in range(7)
            ]
            m1, m2 = sum(w * a for w, a, _ in points), sum(w * b for w, _, b in points)
            v1, v2 = sum(w * (a - m1) ** 2 for w, a, _ in points), sum(w * (b - m2) ** 2 for w, _, b in points)
            both = sum(w * (a - m1) * (b - m2) for w, a, b in points)
            luminance = (2 * m1 * m2 + 1e-4) / (m1**2 + m2**2 + 1e-4)
            found.append(luminance * (2 * both + 9e-4) / (v1 + v2 + 9e-4))
    return sum(found) / len(found)


def test_structural_similarity_is_that_of_its_definition() -> None:
    other = (PICTURE + 0.2 * torch.rand(1, 8, 8, generator=GENERATOR)).clamp(0, 1)
    assert ssim(PICTURE, other) == pytest.approx(_slow_ssim(PICTURE, other))
    assert ssim(other, PICTURE) == pytest.approx(ssim(PICTURE, other))


def test_equal_pictures_are_wholly_alike_and_an_inverted_one_is_not() -> None:
    assert ssim(PICTURE, PICTURE) == pytest.approx(1.0)
    assert ssim(1 - PICTURE, PICTURE) < 0


def test_the_signal_to_noise_ratio_is_of_the_mean_square_error() -> None:
    assert psnr(torch.zeros(1, 8, 8), torch.full((1, 8, 8), 0.1)) == pytest.approx(20.0)
    assert psnr(PICTURE, PICTURE) == PSNR_MAX
