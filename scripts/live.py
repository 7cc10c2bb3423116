"""The job while it runs: a live view on a terminal, plain lines in a pipe."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from domicile.protocol.round import FINAL_PHASES, JobPhase, ShardPhase
from domicile.text import printable
from scripts.fate import why_over
from scripts.hindrance import hindrance_line, hindrances_of
from scripts.participating import summary_of
from scripts.view import DatasetView, JobView, ShardView
from scripts.waiting import wait_line, waits_of
from scripts.wording import (
    WAITING,
    counted,
    dataset_line,
    epsilon_by_dataset,
    figure_line,
    remaining,
    round_name,
    spaced,
    unmasking_lines,
)

SPARKS = "▁▂▃▄▅▆▇█"
SAID_LINES = 6
"""How many set-up lines stay on screen."""

QUIET_S = 10.0
"""After so long without a change, plain lines say what is waited for."""

SHOWN_LOSSES = 8
SHOWN_FIGURES = 4
"""How many of the newest global models are on screen."""

_COLOURS = {
    ShardPhase.COLLECTING: "cyan",
    ShardPhase.AGGREGATING: "yellow",
    ShardPhase.MATURE: "magenta",
    ShardPhase.REPORTED: "green",
    ShardPhase.STALLED: "red",
}


class View(Protocol):
    """Shows a job."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None: ...

    def update(self, view: JobView) -> None: ...

    def say(self, line: str) -> None: ...

    def close(self) -> None:
        """Gives the terminal back; safe to call twice."""
        ...


class LiveView:
    """One picture that is painted over."""

    def __init__(self, console: Console) -> None:
        self._said: list[str] = []
        self._view: JobView | None = None
        self._live = Live(console=console, get_renderable=self.picture, refresh_per_second=8)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._live.stop()

    def say(self, line: str) -> None:
        self._said.append(line)

    def update(self, view: JobView) -> None:
        self._view = view

    def picture(self) -> Group:
        """What is on screen."""
        said = Text("\n".join(map(printable, self._said[-SAID_LINES:])), style="dim")
        return Group(said) if self._view is None else Group(said, _panel(self._view))


def _panel(view: JobView) -> Panel:
    parts: list[Table | Text] = [_shards(view)]
    for shard in view.shards:
        if shard.phase is ShardPhase.STALLED:
            told = f"{shard.jurisdiction} sits this global round out: {spaced(shard.stall.name)}"
            parts.append(_text(told, style="red"))
        where = f"{shard.jurisdiction}, {round_name(view, shard)}"
        parts += [_text(f"{where}: {told}", style="yellow") for told in unmasking_lines(shard)]
    parts += [_text(figure_line(figure), style="bold") for figure in view.figures[-SHOWN_FIGURES:]]
    parts += [_text(f"✗ {name} refused by the contract: {reason}", style="bold red") for name, reason in view.refusals]
    parts += [_text(f"waits for {wait_line(view, wait)}", style="dim") for wait in waits_of(view)]
    parts += [_text(line, style="red") for line in _stuck(view)]
    parts += [_text(line, style="bold") for line in _over(view)]
    parts += [_text(dataset_line(one), style="dim") for one in _of_note(view)]
    parts += [_text(line, style="cyan") for line in (epsilon_by_dataset(view),) if line]
    left = f", {remaining(view, view.deadline_s)}" if view.deadline_s else ""
    title = (
        f"job {view.job} [bold]{escape(printable(view.name))}[/] · {view.phase.name.lower()} · "
        f"global round {view.global_round + 1} of {view.rules.num_global_rounds}{left}"
    )
    return Panel(Group(*parts), title=title, subtitle=f"block {view.block} · {view.gas_used:,} gas", expand=True)


def _of_note(view: JobView) -> list[DatasetView]:
    """Datasets of which something was said to be spent; what is merely reserved has a line for all."""
    return [one for one in view.datasets if one.spent is not None]


def _over(view: JobView) -> list[str]:
    """What a job came to: why it is over without a result, and whether everybody took part."""
    if view.phase not in FINAL_PHASES:
        return []
    told = [why_over(view), f"participation: {summary_of(view.participation)}" if view.participation else ""]
    return [line for line in told if line]


def _stuck(view: JobView) -> list[str]:
    """What needs mending; that members are still missing while they join is told as what is waited for."""
    return [] if view.phase is JobPhase.JOINING else [hindrance_line(one) for one in hindrances_of(view)]


def _text(told: str, *, style: str) -> Text:
    return Text(printable(told), style=style)


def _shards(view: JobView) -> Table:
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0))
    for heading in ("shard", "phase", "round", "members", "validation loss", "left", "exports"):
        right = heading in {"round", "left", "exports"}
        table.add_column(heading, no_wrap=heading != "members", justify="right" if right else "left")
    for shard in view.shards:
        table.add_row(
            escape(printable(shard.jurisdiction)),
            Text(shard.phase.name.lower(), style=_COLOURS.get(shard.phase, "dim")),
            str(shard.regional_round + 1),
            _members(shard),
            _loss(shard),
            f"{max(0, shard.deadline_s - view.now_s)} s" if shard.phase in WAITING and shard.deadline_s else "",
            str(len(shard.exports)),
        )
    return table


def _members(shard: ShardView) -> Text:
    text = Text()
    for name in shard.members:
        done = name in shard.committed
        text.append(f"{'✓' if done else '·'}{printable(name)} ", style="green" if done else "dim")
    return text


def _loss(shard: ShardView) -> str:
    losses = [one.loss for one in shard.losses]
    return f"{losses[-1]:.4f} {sparkline(losses[-SHOWN_LOSSES:])}" if losses else "–"


def sparkline(values: Sequence[float]) -> str:
    """One block a value, from the lowest to the highest."""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(SPARKS[round((value - low) / span * (len(SPARKS) - 1))] for value in values)


class PlainLines:
    """One line for each change, without control characters."""

    def __init__(self, stream: TextIO, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._stream = stream
        self._clock = clock
        self._told: set[tuple[object, ...]] = set()
        self._catching_up = False
        self._last_said = clock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._stream.flush()

    def say(self, line: str) -> None:
        print(printable(line), file=self._stream, flush=True)
        self._last_said = self._clock()

    def catch_up(self, view: JobView) -> None:
        """Takes all that happened until now for told."""
        self._catching_up = True
        self.update(view)
        self._catching_up = False

    def update(self, view: JobView) -> None:
        for name, reason in view.refusals:
            self._once(("refused", name, reason), f"{name} refused by the contract: {reason}")
        if JobPhase.JOINING not in (view.phase, view.before):
            self._once(
                ("round", view.global_round), f"global round {view.global_round + 1} of {view.rules.num_global_rounds}"
            )
        for shard in view.shards:
            self._shard(view, shard)
        for figure in view.figures:
            self._once(("figure", figure.global_round), figure_line(figure))
        self._once(
            ("phase", view.phase, view.global_round), f"job {view.job}: {view.phase.name.lower()}, block {view.block}"
        )
        for one in _of_note(view):
            self._once(("spent", one.dataset), dataset_line(one))
        if view.phase is JobPhase.TRAINING and (line := epsilon_by_dataset(view)):
            self._once(("epsilon", view.costs), line)
        for line in _over(view):
            self._once(("over", line), line)
        if self._clock() - self._last_said >= QUIET_S:
            for wait in waits_of(view):
                self.say(f"still waiting for {wait_line(view, wait)}")
        for line in _stuck(view):
            self._once(("stuck", view.global_round, line), line)

    def _shard(self, view: JobView, shard: ShardView) -> None:
        where = f"{shard.jurisdiction}, {round_name(view, shard)}"
        key = (shard.jurisdiction, view.global_round, shard.regional_round)
        if shard.phase is ShardPhase.COLLECTING:
            self._once(("open", *key), f"{where}: opened, {counted(len(shard.members), 'member')}")
        for name in shard.committed:
            self._once(("commit", *key, name), f"{where}: {name} committed")
        if shard.unmasking is not None and shard.unmasking.survivors is not None:
            agreed = f"{len(shard.unmasking.survivors)} of {counted(len(shard.committed), 'update')}"
            self._once(("survivors", *key), f"{where}: survivors agreed on, {agreed}")
            for name in shard.unmasking.answered:
                self._once(("answer", *key, name), f"{where}: {name} answered to the survivors")
        for one in shard.losses:
            told = f"round {one.global_round + 1}.{one.regional_round + 1}: regional model accepted"
            self._once(
                ("loss", shard.jurisdiction, one.global_round, one.regional_round),
                f"{shard.jurisdiction}, {told}, validation loss of its start {one.loss:.4f}",
            )
        for number in shard.exports:
            told = f"{shard.jurisdiction}, global round {number + 1}: mature model exported to the border store"
            self._once(("export", shard.jurisdiction, number), told)
        if shard.phase is ShardPhase.STALLED:
            self._once(("stall", *key), f"{where}: stalled, {spaced(shard.stall.name)}")

    def _once(self, key: tuple[object, ...], line: str) -> None:
        if key in self._told:
            return
        self._told.add(key)
        if not self._catching_up:
            self.say(line)


def open_view(stream: TextIO) -> View:
    """The live view where it can be painted, plain lines elsewhere."""
    return LiveView(Console(file=stream)) if is_painted(stream) else PlainLines(stream)


def is_painted(stream: TextIO) -> bool:
    """Whether a live view can be painted there."""
    return stream.isatty() and os.environ.get("TERM", "dumb") != "dumb"
