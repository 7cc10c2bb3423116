"""What privacy of nodes means in one job: whose noise counts, how much of it there is, and what has been spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from domicile.errors import ConfigurationError
from domicile.privacy.horizon import Horizon
from domicile.privacy.node_level.accountant import epsilon_of
from domicile.privacy.node_level.clipping import ClippingRule
from domicile.privacy.node_level.mechanism import SumMechanism, mechanism_for
from domicile.privacy.settings import NodePrivacySettings
from domicile.protocol.round import JobParameters
from domicile.spec import JobSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeCalibration:
    """The same at every node of a job and in its committees. `epsilon`: over the whole horizon."""

    settings: NodePrivacySettings
    horizon: Horizon
    mechanism: SumMechanism
    clipping: ClippingRule

    @property
    def epsilon(self) -> float:
        return self.spent(self.horizon.num_rounds)

    def spent(self, num_rounds: int) -> float:
        """ε after so many regional rounds, of which each is one sum."""
        return self.mechanism.epsilon(num_rounds, self.settings.delta)

    def norm_at(self, told: float | None) -> float:
        """To which updates are clipped that start from a model whose metadata tell this norm."""
        return self.clipping.within_range(self.clipping.initial if told is None else told)

    def next_norm(self, clipping_norm: float, bits: float, num_nodes: int) -> float:
        """What the next model's metadata tell, by the sum of so many nodes' bits."""
        return self.clipping.next(clipping_norm, self.mechanism.within(bits, num_nodes))


def require_noise(settings: NodePrivacySettings, min_survivors: int) -> int:
    """Of how many nodes the noise counts: of the fewest whose sum anybody unmasks, less those that may collude.

    Raises:
        ConfigurationError: none is left.
    """
    num_shares = min_survivors - settings.colluding_nodes
    if num_shares < 1:
        raise ConfigurationError(
            f"privacy.colluding_nodes: {settings.colluding_nodes} of the {min_survivors} nodes of the smallest sum "
            "leave no noise that counts; lower it, or raise participation.min_contributors"
        )
    return num_shares


def calibrate_nodes(
    settings: NodePrivacySettings,
    *,
    rounds: tuple[int, int, int],
    min_survivors: int,
    max_update_norm: float | None,
    num_parameters: int,
) -> NodeCalibration:
    """`rounds`: global rounds, regional rounds of each at most, and retries. `min_survivors`: the greater one of the
    job's `min_nodes` and `min_contributors`.

    Raises:
        ConfigurationError: no noise counts, or none keeps ε.
    """
    assert max_update_norm is not None  # noqa: S101 - no job is secure without it
    horizon = Horizon(global_rounds=rounds[0], regional_rounds=rounds[1], retries=rounds[2], steps_per_round=1)
    return NodeCalibration(
        settings=settings,
        horizon=horizon,
        mechanism=mechanism_for(
            settings.epsilon,
            settings.delta,
            num_sums=horizon.num_rounds,
            num_shares=require_noise(settings, min_survivors),
            num_parameters=num_parameters,
        ),
        clipping=ClippingRule(
            initial=max_update_norm, quantile=settings.clipping_quantile or None, rate=settings.clipping_rate
        ),
    )


def calibration_of(spec: JobSpec, parameters: JobParameters, num_parameters: int) -> NodeCalibration | None:
    """The same from a job's documents; `None` where it promises no privacy of nodes.

    Raises:
        ConfigurationError: as `calibrate_nodes`.
    """
    if not isinstance(spec.privacy, NodePrivacySettings):
        return None
    return calibrate_nodes(
        spec.privacy,
        rounds=(parameters.global_rounds, parameters.max_regional_rounds, parameters.max_retries),
        min_survivors=parameters.min_survivors,
        max_update_norm=spec.max_update_norm,
        num_parameters=num_parameters,
    )


def spent_by_sums(noise_multipliers: Sequence[float], delta: float) -> float:
    """ε of sums with these noise multipliers, as `SumMechanism.noise_multiplier` has them."""
    return epsilon_of(sum(1 / (2 * one**2) for one in noise_multipliers), delta)
