"""``domicile audit``: what a job tells of those whose rows it learned from, measured."""

from __future__ import annotations

import sys
from dataclasses import asdict
from functools import partial
from pathlib import Path

import click

from scripts.options import FILE, NEW_FILE, Above, json_option

PAGE = "leakage.html"


@click.group("audit")
def group() -> None:
    """Measure what a job leaks."""


@group.command()
@click.argument("number", type=int)
@click.option("--config", type=FILE, required=True, help="Configuration of a member whose rows the job was trained on.")
@click.option("--out", type=NEW_FILE, default=Path(PAGE), help=f"Page to write (./{PAGE}); it is written over.")
@click.option("--shadows", type=click.IntRange(4, 4096), default=64, help="Shadow models of each round, even (64).")
@click.option("--canaries", type=click.IntRange(0, 1_000_000), default=1000, help="Canaries at least (1000); 0: none.")
@click.option("--confidence", type=Above(0.9999), default=0.95, help="Of bounds and intervals (0.95).")
@click.option("--seed", type=click.IntRange(0, (1 << 32) - 1), default=0, help="The same seed, the same figures (0).")
@json_option
def leakage(
    number: int, config: Path, out: Path, shadows: int, canaries: int, confidence: float, seed: int, as_json: bool
) -> None:
    """Attack a job's models with a member's own rows: who was in, how far its ε is from refuted, pictures from updates.

    Nothing is sent. The page and the data hold figures and public pictures, and no row.

    Example: domicile audit leakage 1 --config node.toml

    Exit codes: 0 measured, and nothing contradicts the job's claim, 1 a claim is refuted, 2 the configuration or an
    option is wrong, or there is no such job, model or membership, 4 the job's documents do not hold or a shadow model
    diverges, 5 endpoint or store cannot be reached.
    """
    import torch

    from domicile.errors import ConfigurationError
    from scripts.leakage.audit import Asked, audit_leakage
    from scripts.leakage.page import render_page
    from scripts.leakage.telling import lines_of
    from scripts.outputs import check_output_file
    from scripts.status import plain
    from scripts.telling import progress, tell

    check_output_file(out, "--out")
    if shadows % 2:
        raise ConfigurationError(
            f"--shadows: {shadows} is odd, and each row goes into half of them; take {shadows + 1}"
        )
    # Of so many small trainings, threads that wait for one another cost more than they do.
    torch.set_num_threads(1)
    asked = Asked(num_shadows=shadows, num_canaries=canaries, confidence=confidence, seed=seed)
    report = audit_leakage(config, number, asked, partial(progress, as_json))
    try:
        out.write_text(render_page(report), encoding="utf-8")
    except OSError as exc:
        raise ConfigurationError(f"--out: {out} cannot be written ({exc.strerror}); name another file") from exc
    tell(
        as_json, plain(asdict(report)) | {"holds": report.holds, "file": str(out)}, [*lines_of(report), f"page: {out}"]
    )
    sys.exit(0 if report.holds else 1)
