"""The output folder: one sandbox at a time, and no folder of anybody else is ever emptied."""

from __future__ import annotations

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from domicile.errors import ConfigurationError

MARKER = ".domicile-sandbox"
"""Lies in every output folder of ours, and is locked for as long as a sandbox uses it."""


@contextmanager
def claimed(out: Path) -> Iterator[None]:
    """Empties the folder, or makes it, and holds it until the end of the block.

    Raises:
        ConfigurationError: another sandbox uses it, it holds other things, or it cannot be made.
    """
    if out.exists() and not (out.is_dir() and ((out / MARKER).exists() or not any(out.iterdir()))):
        raise ConfigurationError(f"{out}: not empty and not made by a sandbox; name another folder with --out")
    try:
        out.mkdir(parents=True, exist_ok=True)
        marker = (out / MARKER).open("a")
    except OSError as exc:
        raise ConfigurationError(f"{out}: cannot be made ({exc.strerror}); name another folder with --out") from exc
    with marker:
        try:
            fcntl.flock(marker, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as exc:
            raise ConfigurationError(
                f"{out}: another sandbox is running there; end it or name another folder with --out"
            ) from exc
        _empty(out)
        yield


def _empty(out: Path) -> None:
    for entry in out.iterdir():
        if entry.name == MARKER:
            continue
        try:
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        except OSError as exc:
            raise ConfigurationError(
                f"{entry}: cannot be removed ({exc.strerror}); remove it or name another folder with --out"
            ) from exc
