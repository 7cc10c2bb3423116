"""Files that a command is told to write: looked at before anything starts, and written one by one."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from domicile.errors import ConfigurationError, PeerError, StoreFault


def check_output_file(path: Path, option: str, *, made: Path | None = None) -> None:
    """Whether a file can be written later on; nothing is written. `made` is a folder that will be there by then.

    Raises:
        ConfigurationError: it cannot.
    """
    if path.is_dir():
        raise ConfigurationError(f"{option}: {path} is a folder; name a file")
    folder = path.absolute().parent
    if folder == made:
        return
    if not folder.is_dir():
        raise ConfigurationError(f"{option}: there is no folder {folder}; make it or name another file")
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise ConfigurationError(f"{option}: {path} cannot be written; name another file")


def write_private(path: Path, text: str) -> None:
    """Writes a file whole or not at all, for its owner alone.

    Raises:
        OSError: it cannot be written.
    """
    beside = path.with_name(f".{path.name}.new")
    with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        # What an interrupted run left there may be open to others.
        os.fchmod(file.fileno(), 0o600)
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def write_each(outputs: Sequence[tuple[Path, Callable[[], object]]]) -> set[Path]:
    """Writes each output by itself, so that one that fails takes no other with it; returns those that are there."""
    written = set()
    for path, write in outputs:
        try:
            write()
            written.add(path)
        except OSError as exc:
            print(f"domicile: {path}: cannot be written ({exc.strerror}); name another place", file=sys.stderr)
        except (PeerError, StoreFault) as exc:
            print(f"domicile: {path}: {exc}", file=sys.stderr)
    return written
