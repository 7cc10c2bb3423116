"""Curves and pictures of the page on leakage, as inline SVG in the page's colours."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from domicile.leakage.canaries import CanaryFindings
from domicile.leakage.membership import MembershipFindings
from scripts.leakage.audit import LeakageReport
from scripts.leakage.telling import attacks_of
from scripts.report.plots import MARKERS, PALETTE, new_panel, page_style, svg_of

BINS = 30


def roc_curves(report: LeakageReport) -> str:
    """All attacks on membership, both axes logarithmic: what counts happens where false alarms are rare."""
    least = min(result.least_rate for _, result in attacks_of(report)) / 2
    with page_style():
        figure, axis = new_panel(4.6, 3.6)
        for (name, result), colour in zip(attacks_of(report), PALETTE, strict=False):
            alarms = np.maximum(result.roc.false_positive_rates, least)
            hits = np.maximum(result.roc.true_positive_rates, least)
            axis.plot(alarms, hits, color=colour, label=name, drawstyle="steps-post")
        axis.plot([least, 1], [least, 1], color="black", alpha=0.4, linestyle="--", linewidth=1, label="guessing")
        axis.set(xscale="log", yscale="log", xlim=(least, 1), ylim=(least, 1.1))
        axis.set(xlabel="rate of false alarms", ylabel="rate of members found", title="Who was in?")
        for side in (axis.xaxis, axis.yaxis):
            side.set_major_formatter(lambda rate, _: f"{100 * rate:g} %")
        axis.legend(frameon=False, loc="upper left", fontsize=8)
        return svg_of(figure, "roc", "Rate of members found over the rate of false alarms, on logarithmic axes")


def area_by_round(found: MembershipFindings) -> str:
    """AUC of each released model alone."""
    with page_style():
        figure, axis = new_panel(4.6, 3.6)
        numbers = [number + 1 for number, _ in found.area_by_round]
        areas = [area for _, area in found.area_by_round]
        axis.plot(numbers, areas, marker=MARKERS[0], markersize=5, color=PALETTE[0])
        axis.axhline(0.5, color="black", alpha=0.4, linestyle="--", linewidth=1)
        axis.set(ylim=(0, 1.02), xlabel="global round", title="AUC of each released model")
        axis.locator_params(axis="x", integer=True)
        return svg_of(figure, "rounds", "Area under the curve of each released model, by global round")


def canary_scores(found: CanaryFindings) -> str:
    """How the attacker's scores tell canaries that were in from those that were not."""
    scores, included = np.array(found.scores_M), np.array(found.included_M)
    low, high = np.quantile(scores, [0.005, 0.995])
    edges = np.linspace(low, high, BINS + 1)
    with page_style():
        figure, axis = new_panel(4.6, 3.4)
        for chosen, colour, name in ((included, PALETTE[1], "put in"), (~included, PALETTE[0], "left out")):
            axis.hist(scores[chosen].clip(low, high), edges.tolist(), color=colour, alpha=0.55, label=name)
        axis.set(
            xlabel="trace of the canary in the updates", ylabel="canaries", title="Canaries as the attacker sees them"
        )
        axis.set_xticks([])
        axis.legend(frameon=False)
        return svg_of(figure, "canaries", "Scores of canaries that were put in and of those that were not")


def epsilon_bars(found: CanaryFindings) -> str:
    """The bound beside what could have been shown, and what is claimed."""
    bars = [("shown, at least", found.bound.epsilon), ("could be shown", found.bound.ceiling)]
    if found.claimed is not None:
        bars.append(("claimed, at most", found.claimed))
    with page_style():
        figure, axis = new_panel(4.6, 3.4)
        drawn = axis.barh(
            [name for name, _ in bars], [value for _, value in bars], color=PALETTE[: len(bars)], height=0.55
        )
        axis.bar_label(drawn, [f"{value:.2f}" for _, value in bars], padding=4)
        axis.margins(x=0.15)
        axis.invert_yaxis()
        axis.grid(visible=False, axis="y")
        axis.set(xlabel="ε", title="Privacy loss of a row")
        return svg_of(figure, "epsilon", "The claimed ε, the one that was shown, and the greatest that could be shown")


def picture(pixels: Sequence[float], side: int, title: str) -> str:
    """One square picture, a rectangle a pixel, so that no browser smooths it; white is 1."""
    cells = "".join(
        f'<rect x="{place % side}" y="{place // side}" width="1.02" height="1.02" fill="rgb({level},{level},{level})"/>'
        for place, level in enumerate(round(255 * min(max(one, 0.0), 1.0)) for one in pixels)
    )
    return f'<svg class="picture" viewBox="0 0 {side} {side}" role="img"><title>{title}</title>{cells}</svg>'
