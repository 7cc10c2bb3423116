"""Pictures from a gradient (Geiping et al. 2020, "Inverting gradients"): cosine similarity and total variation.

The attacker knows the model, and the labels of the rows, which is more than most do. Shapes: B pictures, C channels, H
height, W width, P flat parameters.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch

from domicile.learning.task import Task

TOTAL_VARIATION = 1e-3
"""Its weight beside a cosine, for pictures of few pixels (Geiping et al. 2020, section 5, take 1e-4 to 1e-1)."""

LEARNING_RATE = 0.1


@dataclass(frozen=True, kw_only=True)
class Attacker:
    """`restarts` from noise; the one whose gradient fits best is kept, as the attacker can see that."""

    task: Task
    module: torch.nn.Module
    iterations: int
    restarts: int
    seed: int

    def invert(
        self, gradient_P: torch.Tensor, labels_B: torch.Tensor, shape: torch.Size, step: Callable[[], None]
    ) -> torch.Tensor:
        """Pictures, shape ``(B, C, H, W)``, whose summed gradient points where `gradient_P` does; `step` is called
        after each restart.
        """
        generator = torch.Generator().manual_seed(self.seed)
        best, best_distance = torch.zeros(0), float("inf")
        for _ in range(self.restarts):
            start_B = torch.rand(len(labels_B), *shape, generator=generator)
            found_B, distance = self._descend(start_B, gradient_P, labels_B)
            if distance < best_distance:
                best, best_distance = found_B, distance
            step()
        return best

    def _descend(
        self, start_B: torch.Tensor, gradient_P: torch.Tensor, labels_B: torch.Tensor
    ) -> tuple[torch.Tensor, float]:
        guess_B = start_B.clone().requires_grad_()
        optimizer = torch.optim.Adam([guess_B], lr=LEARNING_RATE)
        milestones = [self.iterations * part // 8 for part in (3, 5, 7)]
        schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones, gamma=0.1)
        distance = float("inf")
        for _ in range(self.iterations):
            optimizer.zero_grad()
            fit = 1 - torch.nn.functional.cosine_similarity(self._gradient(guess_B, labels_B), gradient_P, dim=0)
            (fit + TOTAL_VARIATION * _total_variation(guess_B)).backward()  # type: ignore[no-untyped-call]
            if guess_B.grad is not None:
                # Signs alone: gradients of small models differ by orders of magnitude from pixel to pixel.
                guess_B.grad.sign_()
            optimizer.step()
            schedule.step()
            with torch.no_grad():
                guess_B.clamp_(0, 1)
            distance = float(fit.detach())
        return guess_B.detach(), distance

    def _gradient(self, pictures_B: torch.Tensor, labels_B: torch.Tensor) -> torch.Tensor:
        """Summed over the pictures, shape ``(P,)``."""
        loss = self.task.loss(self.module(pictures_B), labels_B) * len(labels_B)
        parts = torch.autograd.grad(loss, list(self.module.parameters()), create_graph=True)
        return torch.cat([part.reshape(-1) for part in parts])


def _total_variation(pictures_B: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of neighbouring pixels, anisotropic (Rudin et al. 1992)."""
    across = (pictures_B[..., 1:] - pictures_B[..., :-1]).abs().mean()
    return across + (pictures_B[..., 1:, :] - pictures_B[..., :-1, :]).abs().mean()
