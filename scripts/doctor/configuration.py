"""The configuration file itself: filled in, and closed to others where it holds a secret."""

from __future__ import annotations

import stat
from collections.abc import Iterator

from domicile.errors import ConfigurationError
from scripts.doctor.case import Case
from scripts.doctor.finding import Finding, ok, problem


def configuration(case: Case) -> Iterator[Finding]:
    """Whether every field is filled in, and nobody else reads a token out of a URL."""
    for key in case.blanks:
        yield problem(f"{key}: still empty; fill in")
    is_open, holds_secret = _is_open(case), bool(case.url_secrets)
    if is_open and holds_secret:
        yield problem(
            f"{case.file}: a URL in it holds a password or a token, and others than its owner can read it; run chmod "
            "600 on it"
        )
    elif is_open:
        yield ok(f"{case.file}, readable by others, holds no secret")
    else:
        yield ok(f"{case.file}, readable by its owner alone")


def _is_open(case: Case) -> bool:
    try:
        return bool(case.file.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
    except OSError as exc:
        raise ConfigurationError(f"{case.file} cannot be looked at ({exc.strerror}); correct the path") from exc
