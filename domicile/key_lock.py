"""One key, one daemon: two that act for one account would train, spend and commit twice."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from domicile.errors import ConfigurationError


class KeyLock:
    """Holds an account's key file for the life of a daemon, on this machine. The system lets go of it however the
    daemon ends. Context manager.
    """

    def __init__(self, path: Path) -> None:
        """Takes the lock at once.

        Raises:
            ConfigurationError: another process holds it, or the file cannot be read.
        """
        try:
            self._file = path.open("rb")
        except OSError as exc:
            raise ConfigurationError(f"{path} cannot be read ({exc.strerror}); name the account's keystore") from exc
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as exc:
            holder = _holder(os.fstat(self._file.fileno()))
            self._file.close()
            if not isinstance(exc, BlockingIOError):
                raise ConfigurationError(f"{path} cannot be locked ({exc.strerror}); keep it on a local disk") from exc
            other = "another daemon" if holder is None else f"the daemon with process id {holder}"
            raise ConfigurationError(
                f"{path}: {other} acts with this key already; end it first, or give this one a key of its own"
            ) from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()


def _holder(file: os.stat_result) -> int | None:
    """Process id of whoever locked a file, where the system tells (Linux: ``/proc/locks``)."""
    place = f"{os.major(file.st_dev):02x}:{os.minor(file.st_dev):02x}:{file.st_ino}"
    try:
        lines = Path("/proc/locks").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    found = [line.split() for line in lines if "FLOCK" in line and place in line.split()]
    # A process outside this container is shown as none.
    return next((int(fields[4]) for fields in found if fields[1] != "->" and int(fields[4]) > 0), None)
