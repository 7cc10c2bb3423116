"""``domicile node``: a data holder of the network, from its keys to its daemon."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from scripts.options import FILE


@click.group("node")
def group() -> None:
    """The daemon of a data holder."""


@group.command()
@click.argument("config", type=FILE)
def run(config: Path) -> None:
    """Run a node by its configuration file. SIGTERM finishes the act in progress and leaves.

    Exit codes: 0 asked to leave, 2 the configuration is wrong, 70 an error of ours.

    Example: domicile node run node.toml
    """
    from node.daemon import main

    sys.exit(main(config))
