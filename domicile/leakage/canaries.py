"""Rows made to be noticed, each put among a node's rows by a coin, and what its updates tell of the coins.

The attacker is the strongest that differential privacy promises to hold against: a committee that knows every row but
the coins, and gives the node the same start in each round. Shapes: M canaries, P flat parameters, N rows.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch

from domicile.errors import ConfigurationError
from domicile.leakage.local import LocalTraining
from domicile.leakage.one_run import LowerBound, epsilon_lower_bound
from domicile.leakage.roc import Array
from domicile.leakage.rows import clipped_gradients
from domicile.learning.task import Split

CANARIES_MAX = 32
"""In one training: those that point in one direction hide one another."""

VALUES_MAX = 1 << 26
"""Gradients of all rows of one training are held at once: 256 MiB."""

LENGTH = 1.0
"""Of a canary's inputs, by the median row's: its gradient is to reach the clipping norm."""

PATH_MAX = 8
"""Points of a round at which the canaries' gradients are taken."""

RIDGE = 1e-3
"""Of the gradients' mean square: two canaries of one direction are then guessed alike, and not against each other."""


@dataclass(frozen=True, kw_only=True, slots=True)
class CanaryFindings:
    """`claimed`: ε of the job at this node over its horizon; `None` where it asks for no privacy."""

    bound: LowerBound
    claimed: float | None
    num_trainings: int
    num_rounds: int
    scores_M: tuple[float, ...]
    included_M: tuple[bool, ...]

    @property
    def holds(self) -> bool:
        """Whether what was found does not contradict the claim."""
        return self.claimed is None or self.bound.epsilon <= self.claimed


@dataclass(frozen=True, kw_only=True)
class CanaryTrials:
    """Trainings of one node, each with canaries and coins of its own.

    A coin touches one of the trainings, so that all of them together are as private by each coin as one is, and the
    theorem of one run holds for all their guesses together.
    """

    training: LocalTraining
    base_P: torch.Tensor
    rows: Split
    num_rounds: int
    seed: int

    def audit(
        self,
        num_canaries: int,
        *,
        delta: float,
        confidence: float,
        claimed: float | None,
        step: Callable[[], None],
    ) -> CanaryFindings:
        """At least `num_canaries` in all; `step` is called after each training.

        Raises:
            ConfigurationError: no canary can be made of such rows; Divergence: a model is not finite.
        """
        each = self._canaries_each()
        tries = []
        for trial in range(math.ceil(num_canaries / each)):
            tries.append(self._trial(each, np.random.default_rng([self.seed, trial])))
            step()
        scores_M, included_M = (np.concatenate(parts) for parts in zip(*tries, strict=True))
        return CanaryFindings(
            bound=epsilon_lower_bound(scores_M, included_M, delta=delta, confidence=confidence),
            claimed=claimed,
            num_trainings=len(tries),
            num_rounds=self.num_rounds,
            scores_M=tuple(float(score) for score in scores_M),
            included_M=tuple(bool(one) for one in included_M),
        )

    def num_trainings(self, num_canaries: int) -> int:
        """How many trainings so many canaries take.

        Raises:
            ConfigurationError: no canary can be made of such rows.
        """
        return math.ceil(num_canaries / self._canaries_each())

    def _canaries_each(self) -> int:
        inputs, num_parameters = self.rows[0], len(self.base_P)
        if not inputs.is_floating_point():
            raise ConfigurationError("canaries are made of numbers, and this task's rows are none; leave --canaries 0")
        if num_parameters * (len(inputs) + CANARIES_MAX) > VALUES_MAX:
            raise ConfigurationError(
                f"canaries: {len(inputs)} rows times {num_parameters} parameters are too many gradients to hold; leave "
                "--canaries 0, or name a node with fewer rows"
            )
        return max(1, min(CANARIES_MAX, inputs[0].numel(), num_parameters // 2))

    def _trial(self, num_canaries: int, generator: np.random.Generator) -> tuple[Array, Array]:
        canaries = make_canaries(self.rows, num_canaries, generator)
        included_M = generator.random(num_canaries) < 0.5
        rows = torch.cat([self.rows[0], canaries[0]]), torch.cat([self.rows[1], canaries[1]])
        is_canary_N = torch.arange(len(rows[0])) >= len(self.rows[0])
        absent_N = is_canary_N.clone()
        absent_N[is_canary_N] = torch.from_numpy(~included_M)
        seeds = [int(one) for one in generator.integers(1 << 62, size=self.num_rounds + 1)]
        expected_P = _without_noise(self.training).update(self.base_P, rows, seed=seeds.pop(), absent_N=is_canary_N)
        moved_P = torch.zeros_like(expected_P)
        for seed in seeds:
            moved_P += self.training.update(self.base_P, rows, seed=seed, absent_N=absent_N).sub_(expected_P)
        return self._traces(canaries, self._path(rows, is_canary_N), expected_P, moved_P), included_M

    def _path(self, rows: Split, is_canary_N: torch.Tensor) -> list[torch.Tensor]:
        """Models that a round without canaries and noise passes, the last one left out."""
        num_steps = self.training.settings.num_steps(len(self.rows[0]))
        piece = math.ceil(num_steps / PATH_MAX)
        settings = self.training.settings.model_copy(update={"epochs": None, "steps": piece})
        walk = replace(_without_noise(self.training), settings=settings)
        path = [self.base_P]
        for number in range(num_steps // piece - 1):
            path.append(path[-1] + walk.update(path[-1], rows, seed=self.seed + number, absent_N=is_canary_N))
        return path

    def _traces(
        self, canaries: Split, path: list[torch.Tensor], expected_P: torch.Tensor, moved_P: torch.Tensor
    ) -> Array:
        """How much of each canary's gradient is in what moved the model: least squares over all canaries at once, so
        that none is taken for another, and over what the other rows do, of which canaries may change the share; shape
        ``(M,)``.
        """
        training = self.training
        max_grad_norm = math.inf if training.noise is None else training.noise.max_grad_norm
        gradients_MP = torch.zeros(len(canaries[0]), len(moved_P))
        for model_P in path:
            gradients_MP -= clipped_gradients(training.task, training.module, model_P, canaries, max_grad_norm)
        columns_P = torch.cat([gradients_MP, expected_P[None]]).double()
        gram = columns_P @ columns_P.T
        gram += RIDGE * gram.diagonal()[:-1].mean() * torch.eye(len(gram))
        found_M: Array = torch.linalg.solve(gram, columns_P @ moved_P.double())[:-1].numpy()
        return found_M


def _without_noise(training: LocalTraining) -> LocalTraining:
    if training.noise is None:
        return training
    quiet = replace(training.noise.mechanism, noise_multiplier=0.0)
    return replace(training, noise=replace(training.noise, mechanism=quiet))


def make_canaries(rows: Split, num_canaries: int, generator: np.random.Generator) -> Split:
    """Rows at right angles to one another, longer than others, each with the target of some row."""
    inputs, targets = rows
    width = inputs[0].numel()
    directions, _ = np.linalg.qr(generator.normal(size=(width, num_canaries)))
    length = LENGTH * float(inputs.reshape(len(inputs), -1).norm(dim=1).median())
    made = torch.from_numpy(directions.T.copy()).to(inputs.dtype).mul_(length)
    drawn = torch.from_numpy(generator.integers(len(targets), size=num_canaries))
    return made.reshape(num_canaries, *inputs.shape[1:]), targets[drawn]
