"""The command line: its verbs, and what becomes of an error."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from domicile import __version__
from domicile.exit_code import guarded
from scripts.doctor.command import command as doctor
from scripts.options import FOLDER, NEW_FILE, NEW_FOLDER, json_option
from scripts.usage import CommandLine
from scripts.verbs import (
    access,
    aggregator,
    attest,
    attester,
    audit,
    clearance,
    dataset,
    deploy,
    devnet,
    job,
    jurisdiction,
    node,
    role,
)

CURVE_SEEDS_MAX = 100


@click.group(cls=CommandLine, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """One model, many jurisdictions. The data stays home, and anyone can check that it did."""


@cli.command()
@click.argument("folder", type=FOLDER)
@click.option("--json", "json_file", type=NEW_FILE, help="Also write the report as data.")
@click.option("--out", type=NEW_FOLDER, help="Output folder (FOLDER/out, or FOLDER/out-no-privacy).")
@click.option("--keep", is_flag=True, help="Leave the network up when the job is done, until Ctrl-C.")
@click.option("--no-privacy", is_flag=True, help="Leave out the privacy that the job asks for, to compare with.")
@click.option(
    "--curve",
    "curve_seeds",
    type=click.IntRange(0, CURVE_SEEDS_MAX),
    default=0,
    metavar="SEEDS",
    help="Also show the accuracy over ε, each from so many seeds.",
)
def sandbox(
    folder: Path, json_file: Path | None, out: Path | None, keep: bool, no_privacy: bool, curve_seeds: int
) -> None:
    """Run a network and a job from FOLDER/network.toml and FOLDER/job.toml on this machine.

    Example: domicile sandbox examples/diagnosis --json report.json

    Exit codes: 0 the job completed, its lineage holds and everything was written, 1 it did not, 2 a file is wrong,
    130 interrupted.
    """
    from scripts.sandbox.finish import finish_with
    from scripts.sandbox.run import run_sandbox

    target = out or folder / ("out-no-privacy" if no_privacy else "out")
    code = run_sandbox(
        folder,
        target,
        keep=keep,
        json_file=json_file,
        finish=finish_with(target, json_file),
        privacy_left_out=no_privacy,
        curve_seeds=curve_seeds,
    )
    sys.exit(code)


@cli.group()
def task() -> None:
    """The code that trains."""


@task.command("digest")
@click.argument("use")
@click.option("--folder", type=FOLDER, default=Path(), help="Where the file of FILE.py:Name lies.")
@json_option
def show_digest(use: str, folder: Path, as_json: bool) -> None:
    """Print the digest by which an operator approves a task.

    Example: domicile task digest mine.py:Mine

    Exit codes: 0 printed, 2 there is no such task, or its file cannot be read.
    """
    from domicile.learning.task import task_digest
    from scripts.telling import tell

    digest = task_digest(use, folder=folder)
    tell(as_json, {"use": use, "digest": digest}, [digest])


for module in (devnet, access, role, jurisdiction, attester, attest, dataset, node, aggregator, job, audit):
    cli.add_command(module.group)
for command in (deploy.command, clearance.clear, clearance.suspend, doctor):
    cli.add_command(command)


def run() -> None:
    """Runs the command of this process; errors become their exit code."""

    def serve() -> int:
        cli(prog_name="domicile")
        return 0

    sys.exit(guarded(serve))
