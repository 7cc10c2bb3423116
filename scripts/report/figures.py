"""Which figures a report shows, and how the models compare by them."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

from scripts.report.schema import CurvePoint, CurveRecord, PrivacyRecord, Report

COLUMNS = ("global", "local", "pooled")
CLASSIFICATION = ("accuracy", "balanced_accuracy", "auc")
REGRESSION = ("rmse", "mae", "r2")
LOWER_IS_BETTER = frozenset({"rmse", "mae", "loss"})
REFERENCES = (
    "local: trained on that node alone. pooled: trained on all rows in one place, which exists only in a sandbox. "
    "Both take as many gradient steps as the node took."
)


LEFT_OUT = (
    "This run left out the privacy that the job asks for (--no-privacy): it is there to be compared with, and its "
    "models may tell of any row that they were trained on."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class CurveRow:
    """One ε. `ahead`: of how many seeds the global model is the better one; deviations are 0 for a single seed."""

    epsilon: str
    noise_multiplier: float
    merged: float
    merged_deviation: float
    local: float
    local_deviation: float
    ahead: int


def curve_rows(curve: CurveRecord) -> list[CurveRow]:
    """A row a value of ε, from no privacy to the strongest."""
    return [_curve_row(point, curve.figure) for point in curve.points]


def _curve_row(point: CurvePoint, figure: str) -> CurveRow:
    pairs = list(zip(point.global_, point.local, strict=True))
    lower = figure in LOWER_IS_BETTER
    return CurveRow(
        epsilon="none" if point.epsilon is None else f"{point.epsilon:g}",
        noise_multiplier=point.noise_multiplier,
        merged=statistics.mean(point.global_),
        merged_deviation=_deviation(point.global_),
        local=statistics.mean(point.local),
        local_deviation=_deviation(point.local),
        ahead=sum(ours < theirs if lower else ours > theirs for ours, theirs in pairs),
    )


def _deviation(values: list[float]) -> float:
    return statistics.stdev(values) if len(values) > 1 else 0.0


def curve_note(curve: CurveRecord) -> str:
    """How the curve came about."""
    seeds = ", ".join(map(str, curve.seeds))
    return (
        f"{title_of(curve.figure)} at the nodes' own held-out rows: means over the nodes and over the seeds {seeds}, "
        "and the deviation over the seeds. Computed after the job, in one process and by the code of the nodes: the "
        "same rounds, with the least noise that keeps each ε; local-only with the same noise and as many steps."
    )


def epsilon_line(privacy: PrivacyRecord) -> str:
    """What a row, or a node, lost in one sentence."""
    claim = privacy.claim
    unit = "row, which is a patient where each has one" if claim.protects == "row" else "node, with all its rows"
    return f"ε per {unit}: {privacy.epsilon_spent:.3f} spent of {claim.epsilon:.3f} promised, δ = {claim.delta:g}"


def figures_of(report: Report) -> tuple[str, ...]:
    """Names of the figures that the job's task has."""
    found = [name for name in (*CLASSIFICATION, *REGRESSION) if _any(report, name)]
    return tuple(found) or (("loss",) if report.nodes else ())


def title_of(name: str) -> str:
    """A figure's name for people."""
    short = {"auc": "AUC", "rmse": "RMSE", "mae": "MAE", "r2": "R²"}
    return short.get(name, name.replace("_", " "))


def mean(report: Report, column: str, name: str) -> float | None:
    """Mean over the nodes that have the figure."""
    values = [value for node in report.nodes if (value := node.figure(column, name)) is not None]
    return sum(values) / len(values) if values else None


def wins(report: Report, name: str) -> tuple[int, int, int]:
    """At how many nodes the global model is better than the local-only one, at how many equal, of how many."""
    better = equal = compared = 0
    for node in report.nodes:
        ours, theirs = node.figure("global", name), node.figure("local", name)
        if ours is None or theirs is None:
            continue
        compared += 1
        equal += ours == theirs
        better += ours < theirs if name in LOWER_IS_BETTER else ours > theirs
    return better, equal, compared


def _any(report: Report, name: str) -> bool:
    return any(node.figure(column, name) is not None for node in report.nodes for column in COLUMNS)
