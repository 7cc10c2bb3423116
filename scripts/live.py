"""The job while it runs: a live view on a terminal, plain lines in a pipe."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Protocol, Self, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from domicile.protocol.round import JobPhase, ShardPhase
from scripts.view import GlobalFigure, JobView, ShardView

SPARKS = "▁▂▃▄▅▆▇█"
SAID_LINES = 6
"""How many set-up lines stay on screen."""

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
        said = Text("\n".join(self._said[-SAID_LINES:]), style="dim")
        return Group(said) if self._view is None else Group(said, _panel(self._view))


def _panel(view: JobView) -> Panel:
    parts: list[Table | Text] = [_shards(view)]
    for shard in view.shards:
        if shard.phase is ShardPhase.STALLED:
            told = f"{shard.jurisdiction} sits this global round out: {_spaced(shard.stall.name)}"
            parts.append(Text(told, style="red"))
    parts += [
        Text(f"global model of round {_figure_line(figure)}", style="bold") for figure in view.figures[-SHOWN_FIGURES:]
    ]
    parts += [Text(f"✗ {name} refused by the contract: {reason}", style="bold red") for name, reason in view.refusals]
    if view.waits_for:
        parts.append(Text(f"waits for {view.waits_for}", style="dim"))
    left = f", {max(0, view.deadline_s - view.now_s)} s left" if view.deadline_s else ""
    title = (
        f"job {view.job} [bold]{escape(view.name)}[/] · {view.phase.name.lower()} · "
        f"global round {view.global_round + 1} of {view.num_global_rounds}{left}"
    )
    return Panel(Group(*parts), title=title, subtitle=f"block {view.block} · {view.gas_used:,} gas", expand=True)


def _shards(view: JobView) -> Table:
    table = Table(box=None, expand=True, padding=(0, 1, 0, 0))
    for heading in ("shard", "phase", "round", "members", "validation loss", "left", "exports"):
        right = heading in {"round", "left", "exports"}
        table.add_column(heading, no_wrap=heading != "members", justify="right" if right else "left")
    for shard in view.shards:
        waiting = shard.phase in {ShardPhase.COLLECTING, ShardPhase.AGGREGATING, ShardPhase.MATURE}
        table.add_row(
            escape(shard.jurisdiction),
            Text(shard.phase.name.lower(), style=_COLOURS.get(shard.phase, "dim")),
            str(shard.regional_round + 1),
            _members(shard),
            _loss(shard),
            f"{max(0, shard.deadline_s - view.now_s)} s" if waiting and shard.deadline_s else "",
            str(shard.num_exports),
        )
    return table


def _members(shard: ShardView) -> Text:
    text = Text()
    for name in shard.members:
        done = name in shard.committed
        text.append(f"{'✓' if done else '·'}{name} ", style="green" if done else "dim")
    return text


def _loss(shard: ShardView) -> str:
    if not shard.losses:
        return "–"
    return f"{shard.losses[-1]:.4f} {sparkline(shard.losses[-SHOWN_LOSSES:])}"


def _spaced(name: str) -> str:
    return name.lower().replace("_", " ")


def _figure_line(figure: GlobalFigure) -> str:
    accuracy = "" if figure.accuracy is None else f", accuracy {figure.accuracy:.3f}"
    return f"{figure.global_round + 1} on all held-out rows: loss {figure.loss:.4f}{accuracy}"


def sparkline(values: tuple[float, ...]) -> str:
    """One block a value, from the lowest to the highest."""
    low, high = min(values), max(values)
    span = (high - low) or 1.0
    return "".join(SPARKS[round((value - low) / span * (len(SPARKS) - 1))] for value in values)


def printable(text: str) -> str:
    """Names come from elsewhere: control characters in them must not reach a terminal."""
    return "".join(one if one.isprintable() else "\ufffd" for one in text)


class PlainLines:
    """One line for each change, without control characters."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._told: set[tuple[object, ...]] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        self._stream.flush()

    def say(self, line: str) -> None:
        print(printable(line), file=self._stream, flush=True)

    def update(self, view: JobView) -> None:
        for name, reason in view.refusals:
            self._once(("refused", name, reason), f"{name} refused by the contract: {reason}")
        if view.phase is not JobPhase.JOINING:
            self._once(
                ("round", view.global_round), f"global round {view.global_round + 1} of {view.num_global_rounds}"
            )
        for shard in view.shards:
            self._shard(view, shard)
        for figure in view.figures:
            self._once(("figure", figure.global_round), f"global model of round {_figure_line(figure)}")
        self._once(
            ("phase", view.phase, view.global_round), f"job {view.job}: {view.phase.name.lower()}, block {view.block}"
        )

    def _shard(self, view: JobView, shard: ShardView) -> None:
        where = f"{shard.jurisdiction}, round {view.global_round + 1}.{shard.regional_round + 1}"
        key = (shard.jurisdiction, view.global_round, shard.regional_round)
        if shard.phase is ShardPhase.COLLECTING:
            self._once(("open", *key), f"{where}: opened, {len(shard.members)} members")
        for name in shard.committed:
            self._once(("commit", *key, name), f"{where}: {name} committed")
        for number, loss in enumerate(shard.losses):
            told = f"{shard.jurisdiction}: regional model accepted, validation loss of its start {loss:.4f}"
            self._once(("loss", shard.jurisdiction, number), told)
        for number in range(1, shard.num_exports + 1):
            told = f"{shard.jurisdiction}: mature, export {number} to the border store"
            self._once(("export", shard.jurisdiction, number), told)
        if shard.phase is ShardPhase.STALLED:
            self._once(("stall", *key), f"{where}: stalled, {_spaced(shard.stall.name)}")

    def _once(self, key: tuple[object, ...], line: str) -> None:
        if key not in self._told:
            self._told.add(key)
            self.say(line)


def open_view(stream: TextIO) -> View:
    """The live view where it can be painted, plain lines elsewhere."""
    if stream.isatty() and os.environ.get("TERM", "dumb") != "dumb":
        return LiveView(Console(file=stream))
    return PlainLines(stream)
