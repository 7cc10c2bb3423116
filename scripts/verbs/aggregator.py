"""``domicile aggregator``: a committee member of the network, from its keys to its daemon."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from scripts.options import FILE


@click.group("aggregator")
def group() -> None:
    """The daemon of a committee member."""


@group.command()
@click.argument("config", type=FILE)
def run(config: Path) -> None:
    """Run an aggregator by its configuration file. SIGTERM finishes the act in progress and leaves.

    Exit codes: 0 asked to leave, 2 the configuration is wrong, 70 an error of ours.

    Example: domicile aggregator run aggregator.toml
    """
    from aggregator.daemon import main

    sys.exit(main(config))
