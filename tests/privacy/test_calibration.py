"""What is refused before anything is trained, and how many steps are accounted for."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from domicile.errors import ConfigurationError
from domicile.learning.settings import TrainingSettings
from domicile.privacy.accountant import epsilon_of
from domicile.privacy.calibration import Calibration, calibrate
from domicile.privacy.horizon import Horizon
from domicile.privacy.settings import PrivacySettings
from domicile.settings import parse_settings

SOUND = {"epsilon": 8.0, "delta": 1e-5, "max_grad_norm": 1.0}


def budget(settings: dict[str, Any] | None = None, *, num_rows: int = 40, steps: int = 2) -> Calibration:
    return calibrate(
        PrivacySettings(**SOUND | (settings or {})),
        TrainingSettings(steps=steps, batch_size=10),
        num_rows=num_rows,
        rounds=(3, 2, 1),
    )


BAD_SETTINGS = {
    "no epsilon": ({"epsilon": None}, "epsilon: missing; add this key"),
    "no epsilon beside noise": ({"epsilon": None, "noise_multiplier": 2.0}, "epsilon: missing; add this key"),
    "epsilon of 0": ({"epsilon": 0.0}, "epsilon: 0 is not above 0; write a positive number"),
    "a negative epsilon": ({"epsilon": -1.0}, "epsilon: -1 is not above 0; write a positive number"),
    "an epsilon that protects nothing": ({"epsilon": 1e4}, "epsilon: 10000 is not between 0.01 and 100; write"),
    "an epsilon of next to nothing": ({"epsilon": 1e-4}, "epsilon: 0.0001 is not between 0.01 and 100; write"),
    "delta of 0": ({"delta": 0.0}, "delta: 0 is no probability between 0 and 1; write"),
    "delta of 1": ({"delta": 1.0}, "delta: 1 is no probability between 0 and 1; write"),
    "a delta that nobody can grant": ({"delta": 0.08}, "delta: 0.08 is above 0.0720576, the most that a dataset can"),
    "delta of next to nothing": ({"delta": 1e-30}, "delta: 1e-30 is below 1e-10, which float64 cannot account for"),
    "no clipping": ({"max_grad_norm": 0.0}, "max_grad_norm: 0 is not above 0; write a positive number"),
    "negative clipping": ({"max_grad_norm": -2.0}, "max_grad_norm: -2 is not above 0; write a positive number"),
    "no noise": ({"noise_multiplier": 0.0}, "noise_multiplier: 0 is not above 0; write a positive number"),
    "figures to somebody else": ({"held_out_figures": "sold"}, "held_out_figures: "),
}


@pytest.mark.parametrize(("settings", "told"), BAD_SETTINGS.values(), ids=list(BAD_SETTINGS))
def test_settings_that_are_unsound_are_refused_in_one_line(settings: dict[str, Any], told: str) -> None:
    given = {key: value for key, value in (SOUND | settings).items() if value is not None}
    with pytest.raises(ConfigurationError) as caught:
        parse_settings(given, PrivacySettings, source="job.toml")
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_never_change() -> None:
    with pytest.raises(ValidationError):
        PrivacySettings(**SOUND).epsilon = 100.0  # type: ignore[misc]


@pytest.mark.parametrize("num_rows", [20, 40])
def test_a_delta_that_lets_a_whole_row_out_is_refused(num_rows: int) -> None:
    with pytest.raises(ConfigurationError, match=rf"delta: 0\.05 is not below 1 in {num_rows} training rows"):
        budget({"delta": 0.05}, num_rows=num_rows)


def test_noise_that_breaks_the_bound_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"noise_multiplier: 0\.8 gives ε = .* above privacy\.epsilon \(1\)"):
        budget({"epsilon": 1.0, "noise_multiplier": 0.8})


def test_a_node_without_rows_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no training rows; add rows"):
        budget(num_rows=0)


def test_every_round_that_a_retry_can_open_is_accounted_for() -> None:
    horizon = Horizon(global_rounds=5, regional_rounds=3, retries=2, steps_per_round=4)
    assert (horizon.num_rounds, horizon.num_steps) == (45, 180)
    assert budget().horizon.num_steps == 3 * 2 * 2 * 2


def test_an_epoch_counts_as_many_steps_as_it_takes() -> None:
    training = TrainingSettings(epochs=3, batch_size=16)
    assert Horizon.of(training, num_rows=40, rounds=(2, 1, 0)).num_steps == 2 * 3 * 3


def test_the_noise_keeps_epsilon_over_the_whole_horizon() -> None:
    found = budget()
    assert found.mechanism.sample_rate == 0.25
    assert 7.5 < found.epsilon <= 8.0
    assert found.epsilon == epsilon_of(found.mechanism, 24, 1e-5) == found.spent(found.horizon.num_rounds)


def test_from_the_noise_follows_epsilon() -> None:
    found = budget({"epsilon": 20.0, "noise_multiplier": 2.0})
    assert found.mechanism.noise_multiplier == 2.0
    assert found.epsilon == epsilon_of(found.mechanism, 24, 1e-5)


def test_what_is_spent_grows_with_each_round_up_to_what_was_promised() -> None:
    found = budget({"epsilon": 20.0, "noise_multiplier": 2.0})
    spent = [found.spent(number) for number in (0, 1, 6, 12)]
    assert spent == sorted(spent)
    assert (spent[0], spent[-1]) == (0.0, found.epsilon)


def test_fewer_rows_than_a_batch_are_all_drawn_in_each_step() -> None:
    assert budget(num_rows=7).mechanism.sample_rate == 1.0


def test_no_round_is_trained_beyond_the_horizon() -> None:
    found = budget()
    found.horizon.require_round(11)
    with pytest.raises(ConfigurationError, match="12 rounds are trained, and the noise is for 12; no more are trained"):
        found.horizon.require_round(12)
