"""``domicile job``: what a network's jobs are doing; and, from its neighbours, all other verbs about jobs."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scripts.options import access_option, json_option
from scripts.telling import progress
from scripts.verbs import job_acts, job_membership, job_results

if TYPE_CHECKING:
    from scripts.access import Access
    from scripts.observing import Observer
    from scripts.view import JobView

WATCH_S = 0.5


@click.group("job")
def group() -> None:
    """Order jobs, take part in them, look at them, and take out what they made."""


for verb in (
    job_acts.create,
    job_acts.start,
    job_acts.cancel,
    job_acts.advance,
    job_membership.join,
    job_membership.leave,
    job_results.export,
    job_results.lineage,
):
    group.add_command(verb)


@group.command("list")
@access_option
@json_option
def list_jobs(access: Path | None, as_json: bool) -> None:
    """List the jobs of a network.

    Example: domicile job list --access out/access.toml

    Exit codes: 0 told, 2 the access file is wrong, 5 the endpoint cannot be reached.
    """
    from domicile.text import printable
    from scripts.access import open_access

    network = open_access(access)
    rows = [_row(network, number) for number in range(1, network.jobs.num_jobs() + 1)]
    if as_json:
        click.echo(json.dumps(rows))
        return
    if not rows:
        click.echo("no jobs yet")
    for row in rows:
        told = row["name"] if row["problem"] is None else f"({row['problem']})"
        line = f"{row['job']:>4}  {row['phase']:<10} round {row['global_round']} of {row['global_rounds']}  {told}"
        click.echo(printable(line))


@group.command()
@click.argument("number", type=int)
@access_option
@json_option
def status(number: int, access: Path | None, as_json: bool) -> None:
    """Tell what a job is doing, and what it waits for.

    Example: domicile job status 1

    Exit codes: 0 told, 2 there is no such job or the access file is wrong, 5 the endpoint cannot be reached.
    """
    from scripts import status as words
    from scripts.access import open_access

    _, seen = _first_look(open_access(access), number)
    click.echo(words.as_json(seen) if as_json else "\n".join(words.snapshot_lines(seen)))


@group.command()
@click.argument("number", type=int)
@access_option
@json_option
def watch(number: int, access: Path | None, as_json: bool) -> None:
    """Show a job until it is over; with --json, a line for each change.

    An endpoint that goes away meanwhile is waited for.

    Example: domicile job watch 1

    Exit codes: 0 the job is over, 2 there is no such job or the access file is wrong, 5 the endpoint cannot be reached
    at the start, 130 interrupted.
    """
    from domicile.errors import Interrupted
    from scripts.access import open_access
    from scripts.interruption import CAUSE, Interruption
    from scripts.patience import patiently

    network = open_access(access)
    progress(as_json, f"reading the record of job {number}")
    try:
        with Interruption():
            say = partial(click.echo, err=True)
            observer, seen = patiently(partial(_first_look, network, number), say, poll_s=WATCH_S)
            (_watch_data if as_json else _watch)(observer, seen)
    except KeyboardInterrupt:
        raise Interrupted(CAUSE) from None


def _first_look(network: Access, number: int) -> tuple[Observer, JobView]:
    """An observer of a job and what it sees; with figures, for the holder of keys."""
    from domicile.errors import PeerError, StoreFault
    from scripts.looking import models_of, observer_of

    observer = observer_of(network, number)
    keys = network.settings.keys
    if keys is not None and keys.hpke is not None and "border" in network.settings.stores:
        # A job whose documents do not hold is shown without figures: anybody may create one.
        with suppress(PeerError, StoreFault):
            observer.look()
            observer.models = models_of(network, observer.history)
    return observer, observer.look()


def _watch(observer: Observer, seen: JobView) -> None:
    """Shows a job until it is over: painted, or as lines of changes."""
    from domicile.protocol.round import FINAL_PHASES
    from scripts import status as words
    from scripts.live import PlainLines, open_view
    from scripts.patience import patiently

    with open_view(sys.stdout) as view:
        if isinstance(view, PlainLines):
            for line in words.snapshot_lines(seen):
                view.say(line)
            view.catch_up(seen)
        while True:
            view.update(seen)
            if seen.phase in FINAL_PHASES:
                return
            time.sleep(WATCH_S)
            seen = patiently(observer.look, view.say, poll_s=WATCH_S)


def _watch_data(observer: Observer, seen: JobView) -> None:
    """A line of JSON for each change; what else there is to say goes to standard error."""
    from domicile.protocol.round import FINAL_PHASES
    from scripts import status as words
    from scripts.patience import patiently

    told = None
    while True:
        if not words.is_same(seen, told):
            click.echo(words.as_json(seen))
            told = seen
        if seen.phase in FINAL_PHASES:
            return
        time.sleep(WATCH_S)
        seen = patiently(observer.look, partial(click.echo, err=True), poll_s=WATCH_S)


def _row(network: Access, number: int) -> dict[str, object]:
    """What the chain says of a job, whatever its owner published."""
    from scripts.looking import name_of

    job = network.known_job(number)
    state, _ = network.jobs.snapshot(job)
    name, problem = name_of(network, job)
    return {
        "job": number,
        "name": name,
        "problem": problem,
        "phase": state.phase.name.lower(),
        "global_round": state.global_round + 1,
        "global_rounds": network.jobs.parameters_of(job).global_rounds,
    }
