"""``domicile job join|leave``: what a node's operator does, also while its daemon runs."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from scripts.options import FILE, json_option, yes_option
from scripts.telling import confirm, progress, tell

config_option = click.option("--config", type=FILE, required=True, help="The node's configuration file.")


@click.command()
@click.argument("number", type=int)
@config_option
@click.option("--shard", help="Jurisdiction of the shard, else the first one that takes this node.")
@json_option
def join(number: int, config: Path, shard: str | None, as_json: bool) -> None:
    """Make a node a member of a job. Its daemon then takes part, whatever its jobs.join says.

    The job's documents are checked first, as the daemon does it: task approved, data fits.

    Example: domicile job join 1 --config node.toml --shard EU

    Exit codes: 0 joined, or joined before, 2 the configuration is wrong or does not fit the job, or the account has no
    ether for it, 3 no shard takes this node (each reason is named), 4 the job's documents do not hold, 5 endpoint or
    store cannot be reached.
    """
    from scripts.membership import Membership

    with Membership.open(config, number) as membership:
        joined = membership.join(shard, partial(progress, as_json))
    before = "" if joined.changed else " already"
    lines = [f"{joined.account} is a member of job {number}{before}, in shard {joined.shard}"]
    if joined.declined is not None:
        lines.append(
            f"its daemon declined the job before ({joined.declined}); restart the daemon, so that it looks anew"
        )
    data = {"changed": joined.changed, "job": number, "shard": joined.shard, "account": joined.account}
    tell(as_json, data, lines)


@click.command()
@click.argument("number", type=int)
@config_option
@yes_option
@json_option
def leave(number: int, config: Path, yes: bool, as_json: bool) -> None:
    """Take a node out of a job. Its daemon does not join it again by itself.

    While a job is joining, `domicile job join` takes the node back in; later nobody can join.

    Example: domicile job leave 1 --config node.toml

    Exit codes: 0 left, or left before, 2 there is no such job, it was not confirmed, the configuration is wrong or the
    account has no ether for it, 3 the contract refused (it committed in this round, or the job is merging), 5 the
    endpoint cannot be reached.
    """
    from domicile.protocol.round import FINAL_PHASES, JobPhase
    from scripts.membership import Membership

    with Membership.open(config, number) as membership:
        if membership.is_final_to_leave():
            confirm(f"Leave job {number}? It has started, so that this node cannot join it again.", yes=yes)
        left = membership.leave()
    if left.was_member:
        told = f"{left.account} left job {number}"
    elif left.phase in FINAL_PHASES:
        told = f"job {number} is over: {left.phase.name.lower()}; there is nothing to leave"
    else:
        told = f"{left.account} is no member of job {number}"
    if left.phase is JobPhase.JOINING:
        told += ", and does not join it by itself"
    tell(as_json, {"changed": left.changed, "job": number, "account": left.account}, [told])
