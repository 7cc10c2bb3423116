"""The node daemon with its training replaced by drawing a random update; everything else is the real thing.

Shapes: P flat parameters.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from domicile.learning.training import TrainingResult
from node.daemon import main
from node.training import LocalJob

NUM_EXAMPLES = 100


class RandomTrainer:
    """Draws an update, different for each node and round, into the same memory each time."""

    def __init__(self) -> None:
        self._delta_P = torch.empty(0)

    def train(self, job: LocalJob, base_P: torch.Tensor, seed: int) -> TrainingResult:
        """A delta of small random numbers, shape ``(P,)``."""
        generator = torch.Generator().manual_seed(seed)
        if self._delta_P.numel() != base_P.numel():
            self._delta_P = torch.empty_like(base_P)
        self._delta_P.uniform_(-1e-3, 1e-3, generator=generator)
        return TrainingResult(delta_P=self._delta_P, num_examples=NUM_EXAMPLES, num_steps=1, training_loss=0.0)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), RandomTrainer()))
