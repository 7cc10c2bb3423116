"""What a job's privacy means at one node: how much noise over how many steps, and what has been spent of it."""

from __future__ import annotations

from dataclasses import dataclass

from domicile.errors import ConfigurationError
from domicile.learning.settings import TrainingSettings
from domicile.privacy.accountant import Mechanism, epsilon_of, noise_multiplier_for
from domicile.privacy.horizon import Horizon
from domicile.privacy.settings import PrivacySettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Calibration:
    """`epsilon`: over the whole horizon, whether or not the job will use it up."""

    settings: PrivacySettings
    num_rows: int
    horizon: Horizon
    mechanism: Mechanism
    epsilon: float

    def spent(self, num_rounds: int) -> float:
        """ε after so many regional rounds."""
        return epsilon_of(self.mechanism, num_rounds * self.horizon.steps_per_round, self.settings.delta)


def calibrate(
    settings: PrivacySettings, training: TrainingSettings, *, num_rows: int, rounds: tuple[int, int, int]
) -> Calibration:
    """`num_rows`: training rows. `rounds` as in `Horizon.of`.

    Raises:
        ConfigurationError: it would protect nothing, or cannot be kept.
    """
    if not num_rows:
        raise ConfigurationError("privacy: there are no training rows; add rows or lower the fractions held out")
    if settings.delta >= 1 / num_rows:
        raise ConfigurationError(
            f"privacy.delta: {settings.delta:g} is not below 1 in {num_rows} training rows, so that a whole row might "
            f"be told; lower it below {1 / num_rows:.2g}"
        )
    horizon = Horizon.of(training, num_rows=num_rows, rounds=rounds)
    sample_rate = min(1.0, training.batch_size / num_rows)
    mechanism = Mechanism(
        sample_rate=sample_rate,
        noise_multiplier=settings.noise_multiplier
        or noise_multiplier_for(settings.epsilon, settings.delta, sample_rate=sample_rate, num_steps=horizon.num_steps),
    )
    epsilon = epsilon_of(mechanism, horizon.num_steps, settings.delta)
    if epsilon > settings.epsilon:
        raise ConfigurationError(
            f"privacy.noise_multiplier: {mechanism.noise_multiplier:g} gives ε = {epsilon:.3g} over {horizon.num_steps}"
            f" steps, above privacy.epsilon ({settings.epsilon:g}); raise noise_multiplier or leave it out"
        )
    return Calibration(settings=settings, num_rows=num_rows, horizon=horizon, mechanism=mechanism, epsilon=epsilon)
