from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from domicile.errors import ConfigurationError
from domicile.leakage.likelihood import deal_halves
from domicile.leakage.local import LocalTraining
from domicile.leakage.membership import MembershipFindings, infer_membership
from domicile.leakage.rows import clipped_gradients, confidences, require_own_losses
from domicile.leakage.shadows import ReleasedRound, ShadowFederation
from domicile.learning.merging import apply_delta, new_state
from domicile.learning.settings import MergingSettings
from domicile.learning.task import Split
from tests.leakage.leaky_ground import rows_of, start_of, training_of

MEMBERS, OUTSIDERS = 30, 30
FEDAVG = MergingSettings()


def _federation(training: LocalTraining, rows: Split, *, num_shadows: int = 16) -> ShadowFederation:
    member_SN = deal_halves(num_shadows, len(rows[0]), 4)
    return ShadowFederation(
        training=training, rows=rows, member_SN=member_SN, regional_merging=FEDAVG, global_merging=FEDAVG, seed=4
    )


def _released(training: LocalTraining, rows: Split, *, own_weight: float, num_others: int) -> ReleasedRound:
    """A round in which this node has its weight and the others, on rows of their own, have the rest."""
    base_P = start_of(training)
    delta_P = training.update(base_P, (rows[0][:MEMBERS], rows[1][:MEMBERS]), seed=9) * own_weight
    for other in range(num_others):
        theirs = rows_of(MEMBERS, seed=100 + other, learnable=False)
        delta_P += training.update(base_P, theirs, seed=10 + other) * ((1 - own_weight) / num_others)
    return ReleasedRound(
        global_round=0,
        base_P=base_P,
        model_P=base_P + delta_P,
        own_weight=own_weight,
        num_others=num_others,
        num_regional=1,
    )


def _attack(training: LocalTraining, *, own_weight: float, num_others: int) -> MembershipFindings:
    rows = rows_of(MEMBERS + OUTSIDERS, seed=8, learnable=False)
    released = _released(training, rows, own_weight=own_weight, num_others=num_others)
    is_member = np.arange(len(rows[0])) < MEMBERS
    steps: list[None] = []
    found = infer_membership(
        _federation(training, rows), [released], is_member, confidence=0.95, step=lambda: steps.append(None)
    )
    assert len(steps) == found.num_shadows == 16
    return found


class TestAttack:
    def test_a_model_that_learned_rows_by_heart_gives_its_members_away(self) -> None:
        found = _attack(training_of(model="mlp", steps=50, learning_rate=2.0), own_weight=1.0, num_others=0)
        assert found.released.area.value > 0.8
        assert found.update.area.low > 0.8
        assert found.update.at_low_rates[0] > 0.05
        assert (found.num_members, found.num_outsiders) == (MEMBERS, OUTSIDERS)

    def test_many_others_hide_what_one_update_shows(self) -> None:
        found = _attack(training_of(model="mlp", steps=50, learning_rate=2.0), own_weight=0.1, num_others=9)
        assert found.update.area.low > 0.8
        assert found.released.area.value < found.update.area.value
        assert found.merged.area.value < found.update.area.value

    def test_noise_hides_the_rows_even_in_a_single_update(self) -> None:
        found = _attack(training_of(model="mlp", steps=20, noise_multiplier=20.0), own_weight=1.0, num_others=0)
        assert found.update.area.low < 0.5 < found.update.area.high

    def test_so_few_outsiders_show_no_lower_rate_than_one_of_them(self) -> None:
        found = _attack(training_of(steps=2), own_weight=1.0, num_others=0)
        assert found.released.least_rate == 1 / OUTSIDERS
        assert found.released.num_scores == MEMBERS + OUTSIDERS
        assert found.update.num_scores == 16 * (MEMBERS + OUTSIDERS)


class TestShadowFederation:
    def test_a_shadow_merge_weighs_as_the_real_one_and_takes_the_server_optimisers_steps(self) -> None:
        training = training_of(steps=2)
        rows = rows_of(20, seed=8)
        momentum = MergingSettings(strategy="fedavgm")
        federation = replace(_federation(training, rows, num_shadows=4), global_merging=momentum)
        released = _released(training, rows, own_weight=0.25, num_others=3)
        kept = {"momentum": torch.full_like(released.base_P, 0.01)}
        found = federation.replay(replace(released, state=kept), lambda: None)
        # With three others of four shadow nodes in all, each merge is of all of them.
        deltas = [
            training.update(released.base_P, tuple(part[torch.from_numpy(own)] for part in rows), seed=seed)
            for own, seed in zip(federation.member_SN, _seeds(federation, 4), strict=True)
        ]
        for shadow in range(4):
            others = sum(delta for number, delta in enumerate(deltas) if number != shadow) / 3
            mean_P = 0.25 * deltas[shadow] + 0.75 * others
            expected_P, state = released.base_P.clone(), new_state(momentum, len(mean_P))
            state["momentum"] += 0.01
            apply_delta(momentum, expected_P, mean_P, state)
            expected = confidences(training.task, training.module, expected_P, rows)
            assert found.merged_SN[shadow] == pytest.approx(expected.numpy(), abs=1e-4)
        assert (kept["momentum"] == 0.01).all()


def _seeds(federation: ShadowFederation, num: int) -> list[int]:
    parts = [np.random.SeedSequence((federation.seed, 0, 0, shadow)) for shadow in range(num)]
    return [int(one.generate_state(1, np.uint64)[0] >> np.uint64(1)) for one in parts]


class TestRows:
    def test_confidence_is_the_logit_of_the_targets_probability(self) -> None:
        training, rows = training_of(), rows_of(9, seed=1)
        with torch.no_grad():
            logits = training.module(rows[0])[:, 0].double()
        signed = torch.where(rows[1] > 0, logits, -logits)
        found = confidences(training.task, training.module, start_of(training), rows)
        assert torch.allclose(found, signed, atol=1e-5)

    def test_a_great_loss_and_a_tiny_one_are_finite(self) -> None:
        training = training_of()
        rows = torch.full((2, 12), 1e4), torch.tensor([0.0, 1.0])
        found = confidences(training.task, training.module, start_of(training), rows)
        assert bool(torch.isfinite(found).all())

    def test_gradients_are_clipped_and_small_ones_left_as_they_are(self) -> None:
        training, rows = training_of(), rows_of(9, seed=1)
        whole = clipped_gradients(training.task, training.module, start_of(training), rows, float("inf"))
        loss = training.task.loss(training.module(rows[0]), rows[1])
        parts = torch.autograd.grad(loss, list(training.module.parameters()))
        assert torch.allclose(whole.mean(dim=0), torch.cat([part.reshape(-1) for part in parts]), atol=1e-6)
        bound = float(whole.norm(dim=1).median())
        clipped = clipped_gradients(training.task, training.module, start_of(training), rows, bound)
        assert torch.allclose(clipped.norm(dim=1), whole.norm(dim=1).clamp(max=bound))

    def test_a_task_whose_loss_is_of_no_row_alone_is_refused_in_one_line(self) -> None:
        training, rows = training_of(), rows_of(9, seed=1)

        class Counting:
            def loss(self, outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
                return torch.tensor(float(outputs.sum()))

        with pytest.raises(ConfigurationError, match=r"task 'mine': its loss of a single row .*; write loss\(\)"):
            require_own_losses(Counting(), training.module, rows, use="mine")
