"""Plots of the page: matplotlib's SVG, put inline. Its colours become the page's, so that both themes work."""

from __future__ import annotations

import io
import itertools
import re
from typing import TYPE_CHECKING, Any

from scripts.report.figures import COLUMNS, curve_rows, figures_of, title_of
from scripts.report.schema import CurveRecord, Report

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito: told apart by people with any colour vision. The page has a lighter one for its dark theme."""

MARKERS = ("o", "s", "^", "D", "v", "P")
"""Beside the colour, so that no plot depends on colour alone."""

STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "domicile",
    "text.parse_math": False,
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.alpha": 0.15,
    "grid.color": "black",
}


def learning_curves(report: Report) -> list[str]:
    """Validation loss of each shard over its regional rounds, then loss (and accuracy) of the global model."""
    plots = [_shard_curves(report)] if any(one.loss is not None for one in report.regional_rounds) else []
    losses = {one.global_round + 1: one.test_loss for one in report.rounds if one.test_loss is not None}
    if losses:
        plots.append(_global_curve(losses, "loss", 0))
    accuracies = {one.global_round + 1: one.test_accuracy for one in report.rounds if one.test_accuracy is not None}
    if accuracies:
        plots.append(_global_curve(accuracies, "accuracy", 2))
    return plots


def _shard_curves(report: Report) -> str:
    with page_style():
        figure, axis = new_panel(3.5, 2.8)
        shards = list(dict.fromkeys(one.shard for one in report.regional_rounds))
        looks = itertools.cycle(zip(PALETTE, MARKERS, strict=True))
        for shard, (colour, marker) in zip(shards, looks, strict=False):
            losses = [one.loss for one in report.regional_rounds if one.shard == shard]
            known = [(step, loss) for step, loss in enumerate(losses, start=1) if loss is not None]
            if known:
                xs, ys = zip(*known, strict=True)
                axis.plot(xs, ys, marker=marker, markersize=4.5, color=colour, label=shard)
        axis.set(xlabel="regional round, over all global rounds", title="Validation loss in each shard")
        axis.locator_params(axis="x", integer=True)
        axis.legend(frameon=False, ncols=1 + len(shards) // 8)
        return svg_of(figure, "shards", "Validation loss of each shard over its regional rounds")


def _global_curve(values: dict[int, float], name: str, look: int) -> str:
    steps = list(values)
    with page_style():
        figure, axis = new_panel(3.5, 2.8)
        axis.plot(steps, list(values.values()), marker=MARKERS[look], markersize=5, color=PALETTE[look])
        axis.set(xlabel="global round", title=f"Global model: {name}")
        axis.set_xticks(steps if len(steps) <= 12 else steps[:: len(steps) // 8])
        return svg_of(
            figure, f"global-{name}", f"{name} of the global model on all held-out rows over the global rounds"
        )


def node_dots(report: Report) -> list[str]:
    """One plot a figure, one row a node: the global model beside the references."""
    return [_node_panel(report, name) for name in figures_of(report)]


def _node_panel(report: Report, name: str) -> str:
    with page_style():
        figure, axis = new_panel(3.5, 1.0 + 0.3 * len(report.nodes))
        for row, node in enumerate(report.nodes):
            values = [value for column in COLUMNS if (value := node.figure(column, name)) is not None]
            if values:
                axis.hlines(row, min(values), max(values), color="black", alpha=0.3, linewidth=1)
        for column, colour, marker in zip(COLUMNS, PALETTE, MARKERS, strict=False):
            known = [(node.figure(column, name), row) for row, node in enumerate(report.nodes)]
            shown = [(value, row) for value, row in known if value is not None]
            if shown:
                xs, ys = zip(*shown, strict=True)
                axis.scatter(xs, ys, marker=marker, color=colour, s=38, zorder=3, alpha=0.9)
        axis.set_yticks(range(len(report.nodes)), [_clipped(node.name) for node in report.nodes])
        axis.set_title(title_of(name))
        axis.locator_params(axis="x", nbins=5)
        axis.invert_yaxis()
        return svg_of(figure, f"nodes-{name}", f"{title_of(name)} of the three models at each node")


def privacy_curve(curve: CurveRecord) -> str:
    """A figure over ε, of the global and the local-only models; bars are the deviation over the seeds."""
    rows = curve_rows(curve)
    places = range(len(rows))
    with page_style():
        figure, axis = new_panel(9.6, 3.2)
        for look, label in enumerate(("global", "local-only")):
            values = [row.local if look else row.merged for row in rows]
            deviations = [row.local_deviation if look else row.merged_deviation for row in rows]
            # Apart by a little, so that bars do not cover one another.
            xs = [place + (look - 0.5) * 0.06 for place in places]
            axis.errorbar(
                xs,
                values,
                yerr=deviations,
                label=label,
                color=PALETTE[look],
                marker=MARKERS[look],
                markersize=5,
                capsize=3,
            )
        axis.set_xticks(places, [row.epsilon for row in rows])
        axis.set(xlabel="ε, from no privacy to the strongest", title=f"{title_of(curve.figure)} over ε".capitalize())
        axis.legend(frameon=False)
        return svg_of(figure, "curve", f"{title_of(curve.figure)} of the global and the local-only models over epsilon")


def gas_bars(report: Report) -> str:
    """Median gas of each action."""
    if not report.gas:
        return ""
    with page_style():
        figure, axis = new_panel(9.6, 0.9 + 0.28 * len(report.gas))
        actions = sorted(report.gas, key=lambda action: report.gas[action])
        bars = axis.barh(actions, [report.gas[action] for action in actions], color=PALETTE[0], height=0.62)
        axis.bar_label(bars, [f"{report.gas[action]:,}" for action in actions], padding=4)
        axis.margins(x=0.12)
        axis.set_xlabel("median gas of a transaction")
        axis.grid(visible=False, axis="y")
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        return svg_of(figure, "gas", "Median gas by action")


def page_style() -> Any:
    import matplotlib

    return matplotlib.rc_context(STYLE)


def new_panel(width: float, height: float) -> tuple[Figure, Axes]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    return figure, figure.subplots()


def _clipped(name: str) -> str:
    return name if len(name) <= 18 else name[:17] + "…"


def svg_of(figure: Figure, key: str, title: str) -> str:
    """Inline SVG with a title for those who cannot see it; ids begin with `key`, as a page holds several."""
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns:?\w*="[^"]*"', "", text)
    text = re.sub(r'(<svg [^>]*?)width="[^"]*" height="[^"]*"', r'\1role="img"', text, count=1)
    text = re.sub(r"xlink:href", "href", text)
    text = re.sub(r'\b(id="|href="#|url\(#)', rf"\g<1>{key}-", text)
    text = re.sub(r"\b(fill|stroke): (#000000|black)", r"\1: currentColor", text)
    for index, colour in enumerate(PALETTE):
        text = re.sub(rf"\b(fill|stroke): {colour}", rf"\1: var(--plot-{index})", text)
    return text.replace(">", f"><title>{title}</title>", 1)
