"""What may be said of a job's privacy, point by point as NIST SP 800-226 asks for it (2025, section 2 and appendix)."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from typing import Literal

from domicile import __version__
from domicile.learning.settings import TrainingSettings
from domicile.privacy.horizon import Horizon
from domicile.privacy.settings import PrivacySettings

ACCOUNTANT = "PRV (Gopi et al. 2021), upper bound; cross-checked by RDP (Mironov et al. 2019)"
NEIGHBOURS = (
    "zero-out: one row is replaced by an empty one that moves nothing; how many rows a node has is public. A row "
    "that is replaced by another one loses at most 2ε, at (1 + exp ε) δ"
)
TRUST = (
    "each row's holder trusts its own node alone: noise is added there before anything leaves, and holds against "
    "committees, other nodes, the job's owner and readers of the models, all together"
)
SECURE = "secret: AES-256 in counter mode under a key of the operating system, another one in each round of each node"
NODES_OWN = f"{SECURE}; unless an operator asked for reproducible noise, which no chain tells"
REPRODUCIBLE = (
    "reproducible, for a sandbox: draws and noise follow from the public seed, so that nothing is protected; figures "
    "show what privacy costs a model"
)


NEVER_COVERED = "how many rows a node has, whether it took part, and that its data fits the task"
OPEN_FIGURES = "loss and accuracy on held-out rows, which go to the shard's committee without noise"


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """`epsilon`: the most over all nodes and the whole horizon.

    `unit` says in words what `protects` names. `clipping_norm`: of a row's gradient, or of a node's update in the first
    round. `noise_multiplier` is `None` where it differs from node to node. `num_steps` is `None` where the number of a
    node's rows decides.
    """

    epsilon: float
    delta: float
    protects: Literal["row", "node"]
    unit: str
    neighbours: str
    trust: str
    mechanism: str
    sampling: str
    clipping_norm: float
    noise_multiplier: float | None
    accountant: str
    horizon: str
    num_rounds: int
    num_steps: int | None
    randomness: str
    implementation: str
    not_covered: tuple[str, ...]

    def lines(self) -> list[tuple[str, str]]:
        """Each point and what is said of it."""
        return [
            ("ε, δ", f"{self.epsilon:.4g}, {self.delta:g}"),
            ("unit of privacy", self.unit),
            ("neighbouring relation", self.neighbours),
            ("trust model", self.trust),
            ("mechanism", self.mechanism),
            ("sampling", self.sampling),
            ("accountant", self.accountant),
            ("horizon", self.horizon),
            ("randomness", self.randomness),
            ("implementation", self.implementation),
            *(("not covered", told) for told in self.not_covered),
        ]


def claim_of(
    settings: PrivacySettings,
    training: TrainingSettings,
    *,
    rounds: tuple[int, int, int],
    epsilon: float,
    randomness: str,
) -> Claim:
    """`rounds` as in `Horizon.of`; `randomness` is one of the three above."""
    same_steps = training.steps is not None
    horizon = Horizon.of(training, num_rows=1, rounds=rounds)
    withheld = settings.withholds
    covered = "data" if withheld else "training part"
    noise = settings.noise_multiplier
    multiplier = f"{noise:g}" if noise is not None else "the least that keeps ε, by each node's number of rows"
    clipping = f"each row's gradient clipped to L2 norm {settings.max_grad_norm:g}"
    return Claim(
        epsilon=epsilon,
        delta=settings.delta,
        protects=settings.unit,
        unit=f"one row of a node's {covered}; a person of k rows may lose kε, at a greater δ",
        neighbours=NEIGHBOURS,
        trust=TRUST,
        mechanism=f"DP-SGD: {clipping}, Gaussian noise, noise multiplier {multiplier}",
        sampling=f"Poisson: each row is drawn by itself in each step, {training.batch_size} on average, or all",
        clipping_norm=settings.max_grad_norm,
        noise_multiplier=noise,
        accountant=ACCOUNTANT,
        horizon=horizon.told(same_steps=same_steps),
        num_rounds=horizon.num_rounds,
        num_steps=horizon.num_steps if same_steps else None,
        randomness=randomness,
        implementation=f"Domicile {__version__}, Opacus {version('opacus')}, PyTorch {version('torch')}",
        not_covered=(NEVER_COVERED,) if withheld else (NEVER_COVERED, OPEN_FIGURES),
    )
