from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from domicile.leakage.canaries import CanaryFindings
from domicile.leakage.captured import InversionFindings, Recovered, Setting
from domicile.leakage.membership import AttackResult, MembershipFindings
from domicile.leakage.one_run import epsilon_lower_bound
from domicile.types import JobId
from scripts.leakage.audit import Asked, LeakageReport, Ticker
from scripts.leakage.page import render_page
from scripts.leakage.telling import lines_of
from tests.scripts.test_report_page import HOSTILE, Page


def _attack(gap: float) -> AttackResult:
    generator = np.random.default_rng(1)
    member = generator.random((1, 60)) < 0.5
    return AttackResult.of(generator.normal(size=member.shape) + gap * member, member, confidence=0.95, seed=1)


def _canaries(claimed: float | None) -> CanaryFindings:
    """Coins of which every one is told."""
    included = np.random.default_rng(2).random(200) < 0.5
    return CanaryFindings(
        bound=epsilon_lower_bound(included.astype(float), included, delta=1e-5, confidence=0.95),
        claimed=claimed,
        num_trainings=20,
        num_rounds=3,
        scores_M=tuple(included.astype(float)),
        included_M=tuple(bool(one) for one in included),
    )


def _recovered(setting: Setting) -> Recovered:
    return Recovered(setting=setting, pictures=((0.25,) * 16,) * 2, ssim=(0.5, 0.7), psnr=(10.0, 20.0))


REPORT = LeakageReport(
    version="0",
    job=JobId(3),
    name="diagnosis",
    node="charite",
    task="tabular",
    num_parameters=31,
    private=True,
    asked=Asked(num_shadows=16, num_canaries=200, confidence=0.95, seed=1),
    membership=MembershipFindings(
        num_members=30,
        num_outsiders=30,
        num_shadows=16,
        released=_attack(0.0),
        area_by_round=((0, 0.4), (1, 0.6)),
        update=_attack(2.0),
        merged=_attack(0.5),
    ),
    canaries=_canaries(8.0),
    inversion=InversionFindings(
        side=4,
        truth=((0.0,) * 16, (1.0,) * 16),
        guess_ssim=0.3,
        guess_psnr=11.0,
        recovered=tuple(_recovered(setting) for setting in Setting),
        num_nodes=3,
        noise_multiplier=3.8,
        max_grad_norm=1.0,
    ),
)


class TestVerdict:
    def test_a_claim_above_what_was_shown_stands(self) -> None:
        assert REPORT.holds
        assert "and stands" in "\n".join(lines_of(REPORT))
        assert "No attack contradicts the claim" in render_page(REPORT)

    def test_a_claim_below_it_is_refuted_loudly(self) -> None:
        refuted = replace(REPORT, canaries=_canaries(1.0))
        assert not refuted.holds
        assert "THE CLAIM OF 1.00 AT MOST IS REFUTED" in "\n".join(lines_of(refuted))
        assert 'class="verdict bad"' in render_page(refuted)

    @pytest.mark.parametrize("canaries", [None, _canaries(None)])
    def test_where_nothing_is_claimed_or_asked_nothing_is_held_against_it(
        self, canaries: CanaryFindings | None
    ) -> None:
        plain = replace(REPORT, private=False, canaries=canaries)
        assert plain.holds
        assert "there is no claim to contradict" in render_page(plain)


class TestPage:
    def test_nothing_is_fetched_from_elsewhere_and_ids_are_unique(self) -> None:
        html = render_page(REPORT)
        page = Page(html)
        assert not {"script", "link", "img", "iframe", "image"} & set(page.tags)
        assert re.findall(r"https?:|@import|url\((?!#)", html) == []
        assert len(page.ids) == len(set(page.ids))
        assert {one[1:] for one in page.references} <= set(page.ids)

    def test_a_hostile_name_is_text(self) -> None:
        page = Page(render_page(replace(REPORT, name=HOSTILE, node=HOSTILE, task=HOSTILE)))
        assert "script" not in page.tags
        assert page.handlers == []

    def test_every_pixel_is_shown_as_it_is(self) -> None:
        html = render_page(REPORT)
        assert html.count('fill="rgb(64,64,64)"') == 16 * 2 * len(Setting)
        assert html.count('fill="rgb(255,255,255)"') == html.count('fill="rgb(0,0,0)"') == 16

    def test_a_rate_that_so_few_rows_cannot_show_is_marked(self) -> None:
        assert "* So few rows" in render_page(REPORT)
        assert "(none, so few rows)" in "\n".join(lines_of(REPORT))


def test_of_many_steps_each_tenth_is_told() -> None:
    said: list[str] = []
    ticker = Ticker(said.append, "shadow models", 25)
    for _ in range(25):
        ticker()
    assert len(said) == 10
    assert said[-1] == "shadow models: 25 of 25"
