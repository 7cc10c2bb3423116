"""``domicile job``: what a network's jobs are doing, and what they made."""

from __future__ import annotations

import json
import sys
import time
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from domicile.types import JobId
from scripts.access import Access, open_access
from scripts.options import access_option, json_option

WATCH_S = 0.5


@click.group("job")
def group() -> None:
    """Look at jobs, and take out what they made."""


@group.command("list")
@access_option
@json_option
def list_jobs(access: Path | None, as_json: bool) -> None:
    """List the jobs of a network.

    Example: domicile job list --access out/access.toml
    """
    from domicile.text import printable

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
    """
    from scripts import status as words

    _, seen = _first_look(open_access(access), number)
    click.echo(words.as_json(seen) if as_json else "\n".join(words.snapshot_lines(seen)))


@group.command()
@click.argument("number", type=int)
@access_option
@json_option
def watch(number: int, access: Path | None, as_json: bool) -> None:
    """Show a job until it is over; with --json, a line for each change.

    Example: domicile job watch 1
    """
    from domicile.errors import Interrupted
    from scripts.interruption import CAUSE, Interruption

    observer, seen = _first_look(open_access(access), number)
    try:
        with Interruption():
            _watch(observer, seen, as_json=as_json)
    except KeyboardInterrupt:
        raise Interrupted(CAUSE) from None


def _first_look(network: Access, number: int) -> tuple[Any, Any]:
    """An observer of a job and what it sees; with figures, for the holder of keys."""
    from domicile.errors import PeerError, StoreFault

    observer = _observer(network, number)
    if network.settings.keys is not None and network.settings.keys.hpke is not None:
        # A job whose documents do not hold is shown without figures: anybody may create one.
        with suppress(PeerError, StoreFault):
            observer.look()
            observer.models = _models(network, observer.history)
    return observer, observer.look()


def _watch(observer: Any, seen: Any, *, as_json: bool) -> None:
    """Shows a job until it is over: painted, as lines of changes, or as lines of JSON."""
    from domicile.protocol.round import FINAL_PHASES
    from scripts import status as words
    from scripts.live import PlainLines, open_view

    if as_json:
        told = None
        while True:
            if not words.is_same(seen, told):
                click.echo(words.as_json(seen))
                told = seen
            if seen.phase in FINAL_PHASES:
                return
            time.sleep(WATCH_S)
            seen = observer.look()
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
            seen = observer.look()


@group.command()
@click.argument("number", type=int)
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True, help="File to write.")
@access_option
@json_option
def export(number: int, out: Path, access: Path | None, as_json: bool) -> None:
    """Write a job's newest global model as a safetensors file, and tell who took part in the rounds that made it.

    The digest that is printed is the file's sha-256 and stands on chain.

    Example: domicile job export 1 --out model.safetensors
    """
    import torch

    from domicile.errors import ConfigurationError
    from domicile.learning.model import save_model
    from domicile.text import printable
    from scripts.outputs import check_output_file
    from scripts.participating import participation_lines
    from scripts.status import plain

    check_output_file(out, "--out")
    network = open_access(access)
    observer = _observer(network, number)
    rounds = observer.participation()
    history = observer.history
    newest = history.newest_global_round
    if newest is None:
        raise ConfigurationError(f"job {number}: no global model yet; `domicile job status {number}` tells why")
    rounds = tuple(one for one in rounds if one.global_round <= newest)
    models = _models(network, history)
    values_P = torch.empty(models.layout.num_parameters)
    file = models.global_model(newest, values_P)
    try:
        save_model(file, values_P, out)
    except OSError as exc:
        raise ConfigurationError(f"--out: {out} cannot be written ({exc.strerror}); name another file") from exc
    digest = history.global_models[newest].model
    if as_json:
        told = {"job": number, "global_round": newest, "model": digest, "file": str(out)}
        click.echo(json.dumps(plain(told | {"participation": [asdict(one) for one in rounds]})))
        return
    click.echo(f"{digest.hex()}  {out}")
    for line in participation_lines(rounds):
        click.echo(printable(line))


@group.command()
@click.argument("number", type=int)
@access_option
@json_option
def lineage(number: int, access: Path | None, as_json: bool) -> None:
    """Replay a job's record from the chain and check every payload that is still stored.

    Exit codes: 0 everything holds, 4 something does not (it is named).

    Example: domicile job lineage 1
    """
    from domicile.errors import LineageError
    from domicile.lineage import verify_lineage
    from scripts.status import plain

    network = open_access(access)
    job = network.known_job(number)
    found = verify_lineage(network.chain, network.deployment, job, network.stores())
    names = network.settings.names
    if as_json:
        click.echo(json.dumps(plain(asdict(found))))
    else:
        _print_lineage(found, names)
    if not found.verified:
        raise LineageError(f"job {number}: the record does not hold: {found.problems[0]}")


def _models(network: Access, history: Any) -> Any:
    """The job's models, for the holder of the keys that the access file names."""
    from domicile.exchange import fetch_spec
    from domicile.models import open_job_models

    party = network.party()
    spec = fetch_spec(party.border, history.created.parameters.spec)
    return open_job_models(party, history.created.job, history, spec)


def _print_lineage(found: Any, names: dict[str, str]) -> None:
    """People count rounds from 1."""
    from domicile.text import printable
    from scripts.participating import participation_lines
    from scripts.viewing import named
    from scripts.wording import counted

    for model in found.models:
        click.echo(f"global round {model.global_round + 1}: model {model.model.hex()}")
        for region in model.from_regions:
            told = f"{counted(region.contributors, 'contributor')}, model {region.model.hex()}"
            click.echo(f"  from {printable(region.jurisdiction)}: {told}")
            for part in region.rounds:
                told = ", ".join(f"{names.get(node, node)} {digest.hex()[:16]}" for node, digest in part.included)
                click.echo(printable(f"    regional round {part.regional_round + 1}: {told}"))
                for node, reason in part.excluded:
                    click.echo(printable(f"      left out: {names.get(node, node)} ({reason.name})"))
    rounds = [named(one, lambda account: names.get(account, account)) for one in found.participation]
    for line in participation_lines(rounds):
        click.echo(printable(line))
    for problem in found.problems:
        click.echo(printable(f"PROBLEM {problem}"))
    for remark in found.remarks:
        click.echo(printable(f"remark: {remark}"))
    verdict = "holds" if found.verified else "DOES NOT HOLD"
    read = counted(found.payloads_checked, "payload")
    click.echo(
        f"the record {verdict}: {counted(found.num_checks, 'check')}, {read} read, "
        f"{found.payloads_gone} no longer stored"
    )


def _row(network: Access, number: int) -> dict[str, object]:
    """What the chain says of a job, whatever its owner published: anybody may create one."""
    job = network.known_job(number)
    state, _ = network.jobs.snapshot(job)
    name, problem = _name_of(network, job)
    return {
        "job": number,
        "name": name,
        "problem": problem,
        "phase": state.phase.name.lower(),
        "global_round": state.global_round + 1,
        "global_rounds": network.jobs.parameters_of(job).global_rounds,
    }


def _name_of(network: Access, job: JobId) -> tuple[str, str | None]:
    """A job's name, or an empty one and why its specification does not tell."""
    from domicile.errors import PeerError, StoreFault
    from domicile.exchange import fetch_spec
    from domicile.storage.store import open_store

    border = open_store(network.border)
    try:
        return fetch_spec(border, network.jobs.parameters_of(job).spec).name, None
    except (PeerError, StoreFault) as exc:
        return "", str(exc)


def _observer(network: Access, number: int) -> Any:
    from domicile.types import Address
    from scripts.observing import Observer

    job = network.known_job(number)
    name, problem = _name_of(network, job)
    names = {Address(address): label for address, label in network.settings.names.items()}
    return Observer(network.chain, network.deployment, job, name if problem is None else f"({problem})", names)
