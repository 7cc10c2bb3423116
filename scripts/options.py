"""Options that verbs share."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import click

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
NEW_FILE = click.Path(dir_okay=False, path_type=Path)
NEW_FOLDER = click.Path(file_okay=False, path_type=Path)


class Above(click.FloatRange):
    """A number above 0. Of click's own ranges, ``nan`` is in every one."""

    def __init__(self, most: float | None = None) -> None:
        super().__init__(0, most, min_open=True)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Raises:
        click.BadParameter: it is no number, or not in the range.
        """
        found = super().convert(value, param, ctx)
        if not math.isfinite(found):
            self.fail(f"{value} is not finite.", param, ctx)
        return found


access_option = click.option(
    "--access", type=NEW_FILE, help="How to reach the network (else $DOMICILE_ACCESS, else ./access.toml)."
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print data instead of text.")
yes_option = click.option("--yes", is_flag=True, help="Do not ask before it is done.")
PASSWORD_OPTION = "--password-file"  # noqa: S105 - the name of the option, not a password

password_file_option = click.option(
    PASSWORD_OPTION,
    type=FILE,
    help="File that holds the password (else $DOMICILE_PASSWORD, else it is asked for).",
)
