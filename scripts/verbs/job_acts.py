"""``domicile job create|start|cancel``: what a job's owner does; and ``advance``, which is anyone's."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scripts.options import FILE, access_option, json_option, yes_option
from scripts.telling import confirm, progress, tell

if TYPE_CHECKING:
    from domicile.chain.sender import Sender
    from domicile.types import JobId
    from scripts.access import Access
    from scripts.advancing import Advanced, Phase
    from scripts.order.placing import Placed


@click.command()
@click.argument("spec", type=FILE)
@click.option("--dry-run", is_flag=True, help="Only check, and tell everything that was found.")
@click.option("--again", is_flag=True, help="Create another job even if this very order stands already.")
@access_option
@json_option
def create(spec: Path, dry_run: bool, again: bool, access: Path | None, as_json: bool) -> None:
    """Order the job of the file SPEC: check it, publish its documents, create it.

    Nothing is sent before every check was passed. Repeating the command names the job that stands already.

    Example: domicile job create job.toml --dry-run

    Exit codes: 0 created, or stands already, 2 SPEC or the access file is wrong or the account has no ether for it, 3
    the contract refused, 5 endpoint or store cannot be reached.
    """
    from scripts.access import open_access
    from scripts.order.draft import open_draft
    from scripts.order.placing import place

    network = open_access(access)
    say = partial(progress, as_json)
    say(f"reading {spec}, and the chain")
    draft = open_draft(spec, network)
    placed = place(draft, again=again, dry_run=dry_run, say=say)
    findings = [{"check": one.check, "state": one.state.value, "text": one.text} for one in placed.findings]
    data = {"changed": placed.changed, "job": placed.job, "specification": draft.order.parameters.spec.hex()}
    tell(as_json, data | {"findings": findings}, _lines(placed, dry_run=dry_run))
    placed.require_placeable(str(spec))


def _lines(placed: Placed, *, dry_run: bool) -> list[str]:
    """All findings of a dry run, and of another one what is not well."""
    from scripts.doctor.finding import State

    lines = [one.line() for one in placed.findings if dry_run or one.state is not State.OK]
    if placed.changed:
        job = placed.job
        lines.append(f"job {job} created; nodes can join it now, `domicile job watch {job}` shows it")
    elif placed.job is not None:
        lines.append(f"this very order is job {placed.job} already, which is not over; --again makes another one")
    elif not placed.problems:
        lines.append("nothing speaks against this order; nothing was sent")
    return lines


@click.command()
@click.argument("number", type=int)
@click.option("--wait-members", type=click.IntRange(min=1), help="First wait until every shard has so many members.")
@access_option
@json_option
def start(number: int, wait_members: int | None, access: Path | None, as_json: bool) -> None:
    """End a job's join window early, as its owner.

    Example: domicile job start 1 --wait-members 3

    Exit codes: 0 started, or started before, 2 there is no such job, the access file is wrong or the account has no
    ether for it, 3 the contract refused (not the owner, too few members, or the job is over), 5 the endpoint cannot be
    reached.
    """
    from domicile.protocol.round import JobPhase
    from scripts.access import open_access
    from scripts.starting import gather, started

    network = open_access(access)
    job = network.known_job(number)
    sender = _owner(network, job)
    if wait_members is not None:
        gather(network, job, wait_members, partial(progress, as_json))
    before = network.jobs.snapshot(job)[0].phase
    changed = before is JobPhase.JOINING
    phase = started(network, job, sender).name.lower()
    line = f"job {number} started" if changed else f"job {number} started before: it is {phase}"
    tell(as_json, {"changed": changed, "job": number, "phase": phase}, [line])


@click.command()
@click.argument("number", type=int)
@yes_option
@access_option
@json_option
def cancel(number: int, yes: bool, access: Path | None, as_json: bool) -> None:
    """End a job for good, as its owner. What it made until then stays.

    Example: domicile job cancel 1 --yes

    Exit codes: 0 cancelled, or over before, 2 there is no such job, it was not confirmed, the access file is wrong or
    the account has no ether for it, 3 the contract refused (not the owner), 5 the endpoint cannot be reached.
    """
    from domicile.clock import JobClock
    from domicile.protocol.round import FINAL_PHASES
    from scripts.access import open_access

    network = open_access(access)
    job = network.known_job(number)
    state, _ = network.jobs.snapshot(job)
    if state.phase in FINAL_PHASES:
        phase = state.phase.name.lower()
        tell(as_json, {"changed": False, "job": number, "phase": phase}, [f"job {number} is over already: {phase}"])
        return
    sender = _owner(network, job)
    confirm(f"Cancel job {number}, which is {state.phase.name.lower()}? Nobody can take that back.", yes=yes)
    sender.act(network.jobs.cancel(job), JobClock(state.collect_window_s))
    tell(as_json, {"changed": True, "job": number, "phase": "cancelled"}, [f"job {number} cancelled"])


@click.command()
@click.argument("number", type=int)
@access_option
@json_option
def advance(number: int, access: Path | None, as_json: bool) -> None:
    """End every phase of a job whose deadline has passed: its own, and its shards'. Any account may.

    The daemons do it by themselves; this is for when none of them runs.

    Example: domicile job advance 1

    Exit codes: 0 ended, or nothing to end yet, 2 there is no such job, the access file is wrong or the account has no
    ether for it, 3 the contract refused, 5 the endpoint cannot be reached.
    """
    from scripts import advancing
    from scripts.access import open_access

    network = open_access(access)
    result = advancing.advance(network, network.known_job(number))
    data = {
        "changed": bool(result.ended),
        "job": number,
        "phase": result.now.name.lower(),
        "ended": [{"place": one.place, "phase": one.name, "until_s": one.until_s} for one in result.ended],
        "until_s": result.until_s,
    }
    tell(as_json, data, _advance_lines(number, result))


def _advance_lines(number: int, result: Advanced) -> list[str]:
    from scripts.wording import moment

    phase = result.now.name.lower()
    lines = [f"job {number}: {_phase_name(one)} ended, which was over at {moment(one.until_s)}" for one in result.ended]
    if result.until_s is None:
        lines.append(f"job {number} is over: {phase}")
        return lines
    if not lines:
        lines.append(f"job {number}: nothing to end yet")
    soonest = min(result.open, key=lambda one: one.until_s)
    left_s = soonest.until_s - result.now_s
    lines.append(
        f"job {number} is {phase}; {_phase_name(soonest)} lasts until {moment(soonest.until_s)}, {left_s} s more"
    )
    return lines


def _phase_name(phase: Phase) -> str:
    return f"{phase.name} in {phase.place}" if phase.place else f"{phase.name} as a whole"


def _owner(network: Access, job: JobId) -> Sender:
    """Who acts, if that is the job's owner: else the contract's refusal would come only after all waiting and asking.

    Raises:
        NotOwner: it is not.
    """
    from domicile.protocol.refusals import NotOwner

    sender = network.sender()
    if network.jobs.owner_of(job) != sender.address:
        raise NotOwner(account=sender.address)
    return sender
