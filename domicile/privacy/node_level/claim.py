"""What may be said of the privacy of a job's nodes, point by point as NIST SP 800-226 asks for it."""

from __future__ import annotations

import math
from importlib.metadata import version

from domicile import __version__
from domicile.learning.settings import TrainingSettings
from domicile.privacy.claim import Claim, claim_of
from domicile.privacy.horizon import Horizon
from domicile.privacy.node_level.accountant import rho_for
from domicile.privacy.node_level.calibration import require_noise
from domicile.privacy.settings import NodePrivacySettings, PrivacySettings

ACCOUNTANT = (
    "concentrated differential privacy of a sum of discrete Gaussians, with its term in τ (Kairouz, Liu, Steinke 2021, "
    "proposition 14), added up over rounds and turned into ε, δ by Canonne, Kamath, Steinke 2020, corollary 13; no "
    "amplification"
)
NEIGHBOURS = (
    "zero-out: a node's whole dataset is replaced by none, so that its update counts as 0, while its share of the "
    "noise stays; which nodes take part is public. A dataset that is replaced by another one loses at most 2ε, at "
    "(1 + exp ε) δ"
)
NEVER_COVERED = "whether and when a node took part, and that its data fits the task"
ROWS = "single rows: what a node's dataset loses, each of its rows may lose"


def claim_under(
    settings: PrivacySettings | NodePrivacySettings,
    training: TrainingSettings,
    *,
    rounds: tuple[int, int, int],
    min_survivors: int,
    max_update_norm: float | None,
    epsilon: float,
    randomness: str,
) -> Claim:
    """The claim of a job, whatever its unit of privacy."""
    if isinstance(settings, PrivacySettings):
        return claim_of(settings, training, rounds=rounds, epsilon=epsilon, randomness=randomness)
    return node_claim_of(
        settings,
        rounds=rounds,
        min_survivors=min_survivors,
        max_update_norm=max_update_norm,
        epsilon=epsilon,
        randomness=randomness,
    )


def node_claim_of(
    settings: NodePrivacySettings,
    *,
    rounds: tuple[int, int, int],
    min_survivors: int,
    max_update_norm: float | None,
    epsilon: float,
    randomness: str,
) -> Claim:
    """`rounds`: global rounds, regional rounds of each at most, and retries. `randomness` as in `claim_of`."""
    assert max_update_norm is not None  # noqa: S101 - no job is secure without it
    num_shares = require_noise(settings, min_survivors)
    horizon = Horizon(global_rounds=rounds[0], regional_rounds=rounds[1], retries=rounds[2], steps_per_round=1)
    noise_multiplier = math.sqrt(horizon.num_rounds / (2 * rho_for(settings.epsilon, settings.delta)))
    clipping = f"each node's update clipped to L2 norm {max_update_norm:g}"
    if settings.clipping_quantile:
        clipping += (
            f" in the first round, then to one that follows the noised {settings.clipping_quantile:g} quantile of the "
            "norms (Andrew et al. 2021)"
        )
    return Claim(
        epsilon=epsilon,
        delta=settings.delta,
        protects=settings.unit,
        unit="one node's dataset as a whole, at its node",
        neighbours=NEIGHBOURS,
        trust=(
            f"each node adds a share of the noise to its update before it is masked, and no sum of fewer than "
            f"{min_survivors} nodes is unmasked; holds against committees, nodes, the job's owner and readers of "
            f"the models, as long as {num_shares} nodes of each sum add their share and keep it to themselves "
            f"({settings.colluding_nodes} may pool theirs), and secure aggregation shows the sum alone"
        ),
        mechanism=(
            f"distributed discrete Gaussian (Kairouz, Liu, Steinke 2021): {clipping}, rounded to a grid, discrete "
            f"Gaussian noise in shares of 1 in {num_shares}, noise multiplier {noise_multiplier:.4g}"
        ),
        sampling="none: every node of a shard in every round",
        clipping_norm=max_update_norm,
        noise_multiplier=noise_multiplier,
        accountant=ACCOUNTANT,
        horizon=horizon.told(same_steps=False) + ", of one sum each",
        num_rounds=horizon.num_rounds,
        num_steps=horizon.num_rounds,
        randomness=randomness,
        implementation=f"Domicile {__version__}, PyTorch {version('torch')}",
        not_covered=(NEVER_COVERED, ROWS),
    )
