from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import chisquare

from domicile.leakage import captured
from domicile.leakage.captured import NODES, PICTURES, CapturedUpdate, InversionFindings, Setting
from domicile.leakage.inversion import Attacker
from domicile.leakage.local import RowNoise
from domicile.leakage.masked import masked_and_summed
from domicile.leakage.similarity import ssim
from domicile.learning.images import Images
from domicile.privacy.accountant import Mechanism

NOISE = RowNoise(mechanism=Mechanism(sample_rate=1.0, noise_multiplier=3.8), max_grad_norm=1.0)


@pytest.fixture(scope="module")
def found() -> InversionFindings:
    steps: list[None] = []
    found = CapturedUpdate(noise=NOISE, seed=0).invert(lambda: steps.append(None))
    assert len(steps) == CapturedUpdate.num_steps()
    return found


def _of(found: InversionFindings, setting: Setting) -> captured.Recovered:
    return next(one for one in found.recovered if one.setting is setting)


@pytest.mark.audit
class TestSettings:
    def test_a_plain_update_gives_its_pictures_away(self, found: InversionFindings) -> None:
        assert min(_of(found, Setting.PLAIN).ssim) > 0.8
        assert _of(found, Setting.PLAIN).mean_psnr > found.guess_psnr + 5

    @pytest.mark.parametrize("setting", [Setting.PRIVATE, Setting.MASKED])
    def test_noise_and_masks_leave_less_than_a_guess(self, found: InversionFindings, setting: Setting) -> None:
        assert _of(found, setting).mean_ssim < found.guess_ssim
        assert _of(found, setting).mean_psnr < found.guess_psnr

    def test_a_sum_over_few_rows_shows_them_still_but_less_well(self, found: InversionFindings) -> None:
        assert found.guess_ssim < _of(found, Setting.SUMMED).mean_ssim < _of(found, Setting.PLAIN).mean_ssim

    def test_every_true_picture_has_one_beside_it(self, found: InversionFindings) -> None:
        assert [len(one.pictures) for one in found.recovered] == [PICTURES] * len(Setting)
        for one in found.recovered:
            alike = [
                ssim(torch.tensor(a).reshape(1, 8, 8), torch.tensor(b).reshape(1, 8, 8))
                for a, b in zip(one.pictures, found.truth, strict=True)
            ]
            assert one.ssim == pytest.approx(alike, abs=1e-6)


@pytest.mark.audit
def test_the_clipping_norm_alone_hides_little() -> None:
    """What protects is the noise: without it, the private setting shows pictures, too."""
    quiet = replace(NOISE, mechanism=replace(NOISE.mechanism, noise_multiplier=1e-4))
    found = CapturedUpdate(noise=quiet, seed=0).invert(lambda: None)
    assert _of(found, Setting.PRIVATE).mean_ssim > 0.6


class TestMasked:
    def test_the_sum_is_the_mean_of_the_updates_and_the_masked_vector_is_uniform(self) -> None:
        generator = torch.Generator().manual_seed(1)
        deltas = [torch.randn(20_000, generator=generator) * 1e-3 for _ in range(NODES)]
        seen_P, mean_P = masked_and_summed(deltas)
        assert torch.allclose(mean_P, sum(deltas) / NODES, atol=1e-6)
        counts, _ = np.histogram(seen_P.numpy(), bins=64)
        assert chisquare(counts).pvalue > 1e-6
        assert abs(float(torch.corrcoef(torch.stack([seen_P, deltas[0]]))[0, 1])) < 0.04

    def test_the_same_update_is_masked_in_another_way_each_time(self) -> None:
        deltas = [torch.full((50,), 0.01)] * NODES
        first, again = (masked_and_summed(deltas)[0] for _ in range(2))
        assert not torch.equal(first, again)

    def test_updates_of_nothing_sum_to_nothing(self) -> None:
        _, mean_P = masked_and_summed([torch.zeros(50)] * NODES)
        assert float(mean_P.abs().max()) < 1e-8


def test_the_restart_whose_gradient_fits_best_is_kept() -> None:
    task = Images({"classes": ["0", "1"], "height": 4, "width": 4, "widths": [4]})
    with torch.random.fork_rng():
        torch.manual_seed(1)
        module = task.build_model()
    labels = torch.tensor([1])
    loss = task.loss(module(torch.rand(1, 1, 4, 4, generator=torch.Generator().manual_seed(5))), labels)
    gradient_P = torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, list(module.parameters()))])

    def misfit(restarts: int) -> float:
        attacker = Attacker(task=task, module=module, iterations=20, restarts=restarts, seed=3)
        found_B = attacker.invert(gradient_P, labels, torch.Size([1, 4, 4]), lambda: None)
        loss = task.loss(module(found_B), labels)
        own_P = torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, list(module.parameters()))])
        return 1 - float(torch.nn.functional.cosine_similarity(own_P, gradient_P, dim=0))

    assert misfit(4) <= misfit(1) + 1e-3
