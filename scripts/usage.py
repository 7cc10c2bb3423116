"""What a command that is written wrong says: one line, as for every other error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import click
from click.exceptions import NoArgsIsHelpError

from domicile.errors import ConfigurationError


class CommandLine(click.Group):
    """The root of all verbs; click itself would answer with three lines and no name in front."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        with _one_line():
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        with _one_line():
            return super().invoke(ctx)


@contextmanager
def _one_line() -> Iterator[None]:
    try:
        yield
    except NoArgsIsHelpError:
        raise
    except click.UsageError as exc:
        command = "domicile" if exc.ctx is None else exc.ctx.command_path
        raise ConfigurationError(f"{exc.format_message().rstrip('.')}; see `{command} --help`") from exc
