"""Plots of the page: matplotlib's SVG, put inline. Black becomes the page's text colour, so that both themes work."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from scripts.report.figures import COLUMNS, figures_of
from scripts.report.schema import Report

PALETTE = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9")
"""Okabe and Ito: told apart by people with any colour vision."""

MARKERS = {"global": "o", "local": "s", "pooled": "^"}
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "domicile",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.color": "black",
}


def learning_curves(report: Report) -> str:
    """Validation loss of each shard over its regional rounds, and the global model on held-out rows."""
    with _figure(2, 9.6, 3.4) as (figure, (left, right)):
        shards = list(dict.fromkeys(one.shard for one in report.regional_rounds))
        for colour, shard in zip(_colours(), shards, strict=False):
            known = [one.loss for one in report.regional_rounds if one.shard == shard and one.loss is not None]
            left.plot(range(1, len(known) + 1), known, marker="o", markersize=4, color=colour, label=shard)
        left.set(xlabel="regional round, over all global rounds", ylabel="validation loss", title="Inside each shard")
        if shards:
            left.legend(frameon=False)
        rounds = [one for one in report.rounds if one.test_loss is not None]
        steps = [one.global_round + 1 for one in rounds]
        right.plot(steps, [one.test_loss for one in rounds], marker="o", color=PALETTE[0], label="loss")
        scored = [(one.global_round + 1, one.test_accuracy) for one in rounds if one.test_accuracy is not None]
        if scored:
            xs, ys = zip(*scored, strict=True)
            right.plot(xs, ys, marker="s", color=PALETTE[1], label="accuracy")
        right.set(xlabel="global round", title="Global model, all held-out rows")
        right.xaxis.get_major_locator().set_params(integer=True)
        if rounds:
            right.legend(frameon=False)
        return _svg(figure, "Learning curves of each shard and of the global model")


def node_dots(report: Report) -> str:
    """One row a node, one panel a figure: the global model beside the references."""
    names = figures_of(report)
    if not names:
        return ""
    height = 1.4 + 0.32 * len(report.nodes)
    with _figure(len(names), 9.6, height) as (figure, axes):
        for axis, name in zip(axes, names, strict=True):
            rows = range(len(report.nodes))
            for colour, column, shift in zip(_colours(), COLUMNS, (0.0, 0.18, -0.18), strict=False):
                values = [node.figure(column, name) for node in report.nodes]
                shown = [(value, row + shift) for row, value in zip(rows, values, strict=True) if value is not None]
                if shown:
                    xs, ys = zip(*shown, strict=True)
                    axis.scatter(xs, ys, marker=MARKERS[column], color=colour, s=34, label=column, zorder=3)
            axis.set(title=name.replace("_", " "), yticks=list(rows))
            axis.set_yticklabels([node.name for node in report.nodes] if axis is axes[0] else [])
            axis.invert_yaxis()
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="lower center", ncols=3, frameon=False)
        figure.tight_layout(rect=(0, 0.4 / height, 1, 1))
        return _svg(figure, "Figures of the global, local-only and pooled models at each node")


def gas_bars(report: Report) -> str:
    """Median gas of each action."""
    if not report.gas:
        return ""
    with _figure(1, 9.6, 0.9 + 0.28 * len(report.gas)) as (figure, (axis,)):
        actions = list(report.gas)
        axis.barh(actions, [report.gas[action] for action in actions], color=PALETTE[0], height=0.6)
        axis.invert_yaxis()
        axis.set(xlabel="median gas of a transaction")
        axis.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        return _svg(figure, "Median gas by action")


@contextmanager
def _figure(columns: int, width: float, height: float) -> Iterator[tuple[Any, Any]]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    with matplotlib.rc_context(STYLE):
        figure, axes = pyplot.subplots(1, columns, figsize=(width, height), squeeze=False, layout=None)
        figure.tight_layout()
        try:
            yield figure, axes[0]
        finally:
            pyplot.close(figure)


def _colours() -> tuple[str, ...]:
    return PALETTE


def _svg(figure: Any, title: str) -> str:
    """Inline SVG with a title for those who cannot see it."""
    if not figure.legends:
        figure.tight_layout()
    out = io.StringIO()
    figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    text = out.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns:?\w*="[^"]*"', "", text)
    text = re.sub(r'(<svg [^>]*?)width="[^"]*" height="[^"]*"', r'\1role="img"', text, count=1)
    text = re.sub(r"xlink:href", "href", text)
    text = text.replace("#000000", "currentColor").replace("stroke: black", "stroke: currentColor")
    return text.replace(">", f"><title>{title}</title>", 1)
