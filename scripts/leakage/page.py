"""The audit of leakage as one self-contained page."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from domicile.leakage.captured import Recovered, Setting
from domicile.leakage.membership import LOW_RATES
from scripts.leakage.audit import LeakageReport
from scripts.leakage.plots import area_by_round, canary_scores, epsilon_bars, picture, roc_curves
from scripts.leakage.telling import attacks_of
from scripts.wording import counted

TEMPLATE = "page.html.j2"

SEEN = {
    Setting.PLAIN: ("plain", "the update as it is"),
    Setting.PRIVATE: ("differential privacy", "each row's gradient clipped, noise added by the node"),
    Setting.MASKED: ("secure aggregation", "one node's masked vector"),
    Setting.SUMMED: ("secure aggregation, the sum", "all nodes of the region together, unmasked"),
}
"""What the committee sees in each setting."""


def render_page(report: LeakageReport) -> str:
    """HTML without any external resource or script; every value is escaped."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    inversion = report.inversion
    truth = [picture(one, inversion.side, "true picture") for one in inversion.truth]
    return environment.get_template(TEMPLATE).render(
        report=report,
        attacks=attacks_of(report),
        low_rates=LOW_RATES,
        counted=counted,
        truth=truth,
        recovered=[(*SEEN[one.setting], one, _pictures(one, inversion.side)) for one in inversion.recovered],
        plots={"roc": roc_curves(report), "rounds": area_by_round(report.membership)},
        canary_plots=[] if report.canaries is None else [canary_scores(report.canaries), epsilon_bars(report.canaries)],
        percent=lambda value: f"{100 * value:.1f} %",
    )


def _pictures(found: Recovered, side: int) -> list[tuple[str, float]]:
    """Each picture that came out, with its similarity to the true one."""
    name = f"recovered, {SEEN[found.setting][0]}"
    return [(picture(one, side, name), alike) for one, alike in zip(found.pictures, found.ssim, strict=True)]
