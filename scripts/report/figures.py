"""Which figures a report shows, and how the models compare by them."""

from __future__ import annotations

from scripts.report.schema import Report

COLUMNS = ("global", "local", "pooled")
CLASSIFICATION = ("accuracy", "balanced_accuracy", "auc")
REGRESSION = ("rmse", "mae", "r2")
LOWER_IS_BETTER = frozenset({"rmse", "mae", "loss"})
REFERENCES = (
    "local: trained on that node alone. pooled: trained on all rows in one place, which exists only in a sandbox. "
    "Both take as many gradient steps as the node took."
)


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
