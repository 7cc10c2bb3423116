"""``domicile node``: a data holder, from its keys to its daemon."""

from __future__ import annotations

from pathlib import Path

import click

from scripts.options import NEW_FILE
from scripts.verbs.party import Words, party_group

train_option = click.option(
    "--train", type=NEW_FILE, help="The data to train on: CSV, Parquet, or what the task takes."
)


def _serve(config: Path) -> int:
    from node.daemon import main

    return main(config)


group = party_group(Words(role="node", folder="clinic", num_blanks="three"), "A data holder.", _serve, train_option)
