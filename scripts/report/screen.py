"""The report on screen."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from domicile.text import printable
from scripts.participating import participation_lines
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
from scripts.report.schema import CurveRecord, NodeRecord, RegionalRound, Report
from scripts.wording import aggregation_told, counted, dataset_line, unmasking_told

ROOM_FOR_ROWS = 96
"""Columns from which the numbers of rows are shown as well; on 80 the figures matter more."""

FIGURE_WIDTH = 5


def print_report(report: Report, console: Console) -> None:
    """Prints everything that the page shows as well."""
    job = report.job
    console.rule(f"job {job.id} {_safe(job.name)}: {job.phase} after {report.seconds:.0f} s")
    lineage = report.lineage
    verdict = "[green]the record holds[/]" if lineage.verified else "[bold red]THE RECORD DOES NOT HOLD[/]"
    console.print(f"lineage: {verdict}, {counted(lineage.checks, 'check')}")
    for problem in lineage.problems:
        console.print(f"  {printable(problem)}", markup=False, highlight=False)
    _line(console, aggregation_told(job.aggregation))
    if report.privacy_left_out:
        console.print(Text(LEFT_OUT, style="bold red"))
    _print_nodes(report, console)
    _print_privacy(report, console)
    _print_unmasking(report, console)
    _print_unmerged(report, console)
    _print_exports(report, console)
    _print_participation(report, console)
    kept = report.bytes
    console.print(
        f"bytes sealed {kept.sealed:,}, kept in their region {kept.kept_in_region:,}, exported {kept.exported:,}"
    )
    _print_gas(report, console)
    if report.privacy is not None:
        console.print(Text(epsilon_line(report.privacy), style="bold"))


def _print_privacy(report: Report, console: Console) -> None:
    if report.privacy is None:
        return
    for point, told in report.privacy.claim.lines():
        _line(console, f"privacy, {point}: {told}")
    for one in report.privacy.nodes:
        promised = f"{one.epsilon_spent:.3f} of {one.epsilon:.3f}"
        _line(console, f"privacy of {one.node}: ε spent {promised}, noise multiplier {one.noise_multiplier:.3f}")
    for dataset in report.privacy.datasets:
        _line(console, dataset_line(dataset))
    if report.privacy.curve is not None:
        _print_curve(report.privacy.curve, console)


def _print_curve(curve: CurveRecord, console: Console) -> None:
    name = title_of(curve.figure)
    table = Table(title=f"{name} over ε".capitalize(), box=None, padding=(0, 1, 0, 0))
    for heading in ("ε", "noise", "global", "local-only", "global ahead"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in curve_rows(curve):
        merged, local = f"{row.merged:.3f} ± {row.merged_deviation:.3f}", f"{row.local:.3f} ± {row.local_deviation:.3f}"
        ahead = f"{row.ahead} of {counted(len(curve.seeds), 'seed')}"
        table.add_row(row.epsilon, f"{row.noise_multiplier:.2f}", merged, local, ahead)
    console.print(table)
    console.print(curve_note(curve), style="dim", highlight=False)


def _print_unmasking(report: Report, console: Console) -> None:
    """A line for each stretch of a shard's masked rounds that went alike."""
    shards: dict[str, list[RegionalRound]] = {}
    for one in report.regional_rounds:
        if one.unmasking is not None:
            shards.setdefault(one.shard, []).append(one)
    for shard, rounds in shards.items():
        for told, alike in groupby(rounds, _unmasked):
            numbers = [f"{one.global_round + 1}.{one.regional_round + 1}" for one in alike]
            where = f"round {numbers[0]}" if len(numbers) == 1 else f"rounds {numbers[0]} to {numbers[-1]}, each"
            _line(console, f"{shard}, {where}: {told}")


def _unmasked(one: RegionalRound) -> str:
    return unmasking_told(one.unmasking, len(one.committed)) if one.unmasking is not None else ""


def _print_unmerged(report: Report, console: Console) -> None:
    for one in report.regional_rounds:
        if one.not_merged is not None:
            _line(console, f"{one.shard}, round {one.global_round + 1}.{one.regional_round + 1}: ", one.not_merged)


def _print_exports(report: Report, console: Console) -> None:
    for number in sorted({one.global_round for one in report.exports}):
        crossed = [one for one in report.exports if one.global_round == number]
        told = ", ".join(f"{one.from_} ({counted(one.contributors, 'contributor')})" for one in crossed)
        _line(console, f"exports of global round {number + 1}: {told} → {crossed[0].to}")


def _print_participation(report: Report, console: Console) -> None:
    """Who and what did not take part, and why."""
    for line in participation_lines(report.participation):
        _line(console, line)
    for absent in report.absent:
        _line(console, f"never joined: {absent.node}: ", absent.reason)
    for refusal in report.refusals:
        _line(console, f"refused: {refusal.node}, {refusal.action}: ", refusal.reason)


def _line(console: Console, told: str, reason: str = "") -> None:
    """Names come from elsewhere: nothing in them is markup, or more than text to the terminal."""
    console.print(Text(printable(told)).append(printable(reason), style="bold red"))


def _safe(name: str) -> str:
    return escape(printable(name))


def _print_nodes(report: Report, console: Console) -> None:
    shown = figures_of(report)
    if not shown:
        return
    table = Table(title="Each node's own held-out rows", box=None, padding=(0, 1, 0, 0))
    rows_fit = console.width >= ROOM_FOR_ROWS
    # A long name takes several lines, so that no figure is cut.
    table.add_column("node", overflow="fold")
    table.add_column("place", no_wrap=True)
    if rows_fit:
        table.add_column("rows\ntrain+test", justify="right", no_wrap=True)
    for name in shown:
        table.add_column(f"{title_of(name)}\n{' '.join(COLUMNS)}", justify="right", no_wrap=True)
    for node in report.nodes:
        rows = [f"{node.num_train}+{node.num_test}"] if rows_fit else []
        table.add_row(_safe(node.name), _safe(node.jurisdiction), *rows, *_cells(node, shown))
    table.add_section()
    means = ["  ".join(_shown(mean(report, column, name)) for column in COLUMNS) for name in shown]
    table.add_row("mean", "", *([""] if rows_fit else []), *means)
    console.print(table)
    console.print(REFERENCES, style="dim", highlight=False)
    for name in shown:
        better, equal, compared = wins(report, name)
        told = f"better than local-only at {better} of {counted(compared, 'node')}, equal at {equal}"
        if compared:
            console.print(f"{title_of(name)}: the global model is {told}", highlight=False)


def _cells(node: NodeRecord, shown: Sequence[str]) -> list[str]:
    return ["  ".join(_shown(node.figure(column, name)) for column in COLUMNS) for name in shown]


def _shown(value: float | None) -> str:
    """Five characters wherever that is possible, with as many digits as fit."""
    if value is None:
        return "–".rjust(FIGURE_WIDTH)
    told = (f"{value:.{digits}f}" for digits in (3, 2, 1, 0))
    return next((one for one in told if len(one) <= FIGURE_WIDTH), f"{value:.0e}").rjust(FIGURE_WIDTH)


def _print_gas(report: Report, console: Console) -> None:
    table = Table(title="Gas", box=None)
    for heading in ("action", "median", "times", "total"):
        table.add_column(heading, justify="left" if heading == "action" else "right")
    for action, median in report.gas.items():
        total = report.gas_totals.get(action)
        counts = ("–", "–") if total is None else (str(total.num), f"{total.total:,}")
        table.add_row(_safe(action), f"{median:,}", *counts)
    console.print(table)
