"""``domicile doctor``: the command."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import click


@click.command("doctor")
@click.argument("config", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--rounds", type=click.IntRange(min=1), default=10, show_default=True, help="Rounds to have gas for.")
@click.option(
    "--disk-rounds", type=click.IntRange(min=1), default=10, show_default=True, help="Rounds to have disk space for."
)
@click.option(
    "--password-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The password, where the file that CONFIG names is only there while the daemon runs.",
)
@click.option("--json", "as_json", is_flag=True, help="Print data instead of text.")
@click.option(
    "--bundle",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also write a zip file for support, no secrets in.",
)
@click.option(
    "--log",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="The daemon's log, for the bundle (log.jsonl beside CONFIG).",
)
def command(
    config: Path,
    rounds: int,
    disk_rounds: int,
    password_file: Path | None,
    as_json: bool,
    bundle: Path | None,
    log: Path | None,
) -> None:
    """Examine a node or an aggregator by its configuration file: what keeps it from its work, and the mend.

    Nothing is changed or sent, and the daemon may run meanwhile. Each line is one finding: ok, warning, problem, or
    skipped because of a problem above. A bundle that is there already stays as it is.

    Example: domicile doctor node.toml --rounds 50

    Exit codes: 0 no problem, 1 a problem was found, 2 the doctor cannot run (CONFIG or an option is wrong).
    """
    from scripts.doctor.bundle import ensure_bundle
    from scripts.doctor.case import Case, load_config
    from scripts.doctor.examination import examine
    from scripts.doctor.finding import State
    from scripts.doctor.package import check_place

    if bundle is not None:
        check_place(bundle)
    case = Case(
        file=config,
        config=load_config(config, half_filled=True),
        rounds=rounds,
        disk_rounds=disk_rounds,
        password_file=password_file,
    )
    findings = []
    for finding in examine(case):
        findings.append(finding)
        if not as_json:
            click.echo(finding.line())
    made = None if bundle is None else ensure_bundle(bundle, case, findings, log or config.parent / "log.jsonl")
    problems = sum(one.state is State.PROBLEM for one in findings)
    if as_json:
        told = [{"check": one.check, "state": one.state.value, "text": one.text} for one in findings]
        about = {} if made is None else {"bundle": made.data()}
        click.echo(json.dumps({"role": case.role, "problems": problems, "findings": told, **about}))
    elif made is not None:
        click.echo("\n".join(made.lines()))
    sys.exit(1 if problems else 0)
