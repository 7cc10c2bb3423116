"""The report as one self-contained page."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from scripts.participating import gaps_of, summary_of
from scripts.report.attendance import attendance_of
from scripts.report.figures import (
    COLUMNS,
    LEFT_OUT,
    REFERENCES,
    curve_note,
    curve_rows,
    epsilon_line,
    figures_of,
    mean,
    title_of,
    wins,
)
from scripts.report.plots import gas_bars, learning_curves, node_dots, privacy_curve
from scripts.report.schema import Report
from scripts.wording import aggregation_told, counted

TEMPLATE = "page.html.j2"


def render_page(report: Report) -> str:
    """HTML without any external resource or script; every value is escaped."""
    curve = None if report.privacy is None else report.privacy.curve
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    return environment.get_template(TEMPLATE).render(
        report=report,
        shards=sorted({node.shard for node in report.nodes}),
        figures=figures_of(report),
        columns=COLUMNS,
        references=REFERENCES,
        left_out=LEFT_OUT,
        epsilon_told="" if report.privacy is None else epsilon_line(report.privacy),
        curve=None if curve is None else curve_rows(curve),
        curve_told="" if curve is None else curve_note(curve),
        least_contributors=min((one.contributors for one in report.exports), default=0),
        participation=summary_of(report.participation),
        masked=[one for one in report.regional_rounds if one.unmasking is not None],
        unmerged=[one for one in report.regional_rounds if one.not_merged is not None],
        gaps=gaps_of(report.participation),
        attendance=attendance_of(report),
        plots={
            "learning": learning_curves(report),
            "dots": node_dots(report),
            "gas": gas_bars(report),
            "curve": "" if curve is None else privacy_curve(curve),
        },
        mean=lambda column, name: mean(report, column, name),
        wins=lambda name: wins(report, name),
        number=lambda value: "–" if value is None else f"{value:.3f}",
        size=_size,
        title=title_of,
        aggregation_told=aggregation_told(report.job.aggregation).capitalize(),
        counted=counted,
        returned=max(0, report.bytes.sealed - report.bytes.kept_in_region - report.bytes.exported),
    )


def _size(num_bytes: int) -> str:
    value = float(num_bytes)
    for unit in ("B", "KiB", "MiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} GiB"
