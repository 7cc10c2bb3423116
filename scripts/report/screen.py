"""The report on screen."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from scripts.report.figures import COLUMNS, REFERENCES, figures_of, mean, wins
from scripts.report.schema import NodeRecord, Report


def print_report(report: Report, console: Console) -> None:
    """Prints everything that the page shows as well."""
    console.rule(f"job {report.job.id} {report.job.name}: {report.job.phase} after {report.seconds:.0f} s")
    lineage = report.lineage
    verdict = "[green]the record holds[/]" if lineage.verified else "[bold red]THE RECORD DOES NOT HOLD[/]"
    console.print(f"lineage: {verdict}, {lineage.checks} checks")
    for problem in lineage.problems:
        console.print(f"  {problem}", markup=False)
    _print_nodes(report, console)
    for number in sorted({one.global_round for one in report.exports}):
        told = ", ".join(
            f"{one.from_} ({one.contributors} contributors)" for one in report.exports if one.global_round == number
        )
        console.print(f"exports of global round {number + 1}: {told} → border store", highlight=False)
    for refusal in report.refusals:
        console.print(f"refused: {refusal.node}, {refusal.action}: [bold red]{refusal.reason}[/]", highlight=False)
    for one in report.regional_rounds:
        for name, reason in one.excluded.items():
            where = f"{one.shard} round {one.global_round + 1}.{one.regional_round + 1}"
            console.print(f"left out: {name}, {where}: [red]{reason}[/]", highlight=False)
    for one_global in report.rounds:
        for place, reason in one_global.stalled.items():
            console.print(f"stalled: {place} in global round {one_global.global_round + 1}: [red]{reason}[/]")
    kept = report.bytes
    console.print(
        f"bytes sealed {kept.sealed:,}, kept in their region {kept.kept_in_region:,}, exported {kept.exported:,}"
    )
    _print_gas(report, console)


def _print_nodes(report: Report, console: Console) -> None:
    shown = figures_of(report)
    if not shown:
        return
    table = Table(title="Each node's own held-out rows", caption=REFERENCES, caption_justify="left", box=None)
    for heading in ("node", "place", "train", "test"):
        table.add_column(heading, justify="right" if heading in {"train", "test"} else "left", no_wrap=True)
    for name in shown:
        table.add_column(f"{name.replace('_', ' ')}\n{' / '.join(COLUMNS)}", justify="right", no_wrap=True)
    for node in report.nodes:
        table.add_row(node.name, node.jurisdiction, str(node.num_train), str(node.num_test), *_cells(node, shown))
    table.add_section()
    means = [" / ".join(_shown(mean(report, column, name)) for column in COLUMNS) for name in shown]
    table.add_row("mean", "", "", "", *means)
    console.print(table)
    for name in shown:
        better, equal = wins(report, name)
        console.print(
            f"{name.replace('_', ' ')}: the global model is better than local-only at {better} of {len(report.nodes)} "
            f"nodes, equal at {equal}",
            highlight=False,
        )


def _cells(node: NodeRecord, shown: Sequence[str]) -> list[str]:
    return [" / ".join(_shown(node.figure(column, name)) for column in COLUMNS) for name in shown]


def _shown(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}".removeprefix("0")


def _print_gas(report: Report, console: Console) -> None:
    table = Table(title="Gas", box=None)
    for heading in ("action", "median", "times", "total"):
        table.add_column(heading, justify="left" if heading == "action" else "right")
    for action, median in report.gas.items():
        total = report.gas_totals[action]
        table.add_row(action, f"{median:,}", str(total.num), f"{total.total:,}")
    console.print(table)
