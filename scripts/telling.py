"""What a verb says when it is done: text for people, or one line of JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping

import click

from domicile.errors import ConfigurationError
from domicile.text import printable


def tell(as_json: bool, data: Mapping[str, object], lines: Iterable[str]) -> None:
    """Prints a verb's result. `data` of a verb that acts says with `changed` whether it had anything to do."""
    if as_json:
        click.echo(json.dumps(data))
        return
    for line in lines:
        click.echo(printable(line))


def progress(as_json: bool, line: str) -> None:
    """Says on standard error what takes a while; nothing where data is asked for."""
    if not as_json:
        click.echo(printable(line), err=True)


def confirm(question: str, *, yes: bool) -> None:
    """Asks before something that cannot be taken back.

    Raises:
        ConfigurationError: the answer is no, or there is nobody to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{question} Nobody is there to answer; repeat the command with --yes")
    # Data alone goes to standard output.
    if not click.confirm(question, err=True):
        raise ConfigurationError("not confirmed; nothing was done")
