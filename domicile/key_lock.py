"""One key, one daemon: two that act for one account would train, spend and commit twice."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import socket
import struct
import sys
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from domicile.errors import ConfigurationError
from domicile.types import Address


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
            raise _refusal(path, holder) from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._file.close()


class AccountLock:
    """Holds an account on one chain for the life of a daemon, whatever copy of its key file was read. Context manager.

    It is an abstract Unix socket (unix(7)): the system lets go of it however the daemon ends, no file is left behind,
    and daemons under different users or with a private ``/tmp`` meet there all the same. Those in different network
    namespaces do not. Where the system has no such sockets, only the key file is held.
    """

    def __init__(self, path: Path, account: Address, chain_mark: str) -> None:
        """Takes the lock at once. `path` names the key in errors. `chain_mark`: tells chains of one id apart, since the
        keys of development chains are the same everywhere.

        Raises:
            ConfigurationError: another process holds it, or such a socket may not be made.
        """
        self._held = ExitStack()
        if sys.platform != "linux":
            return
        # At most 107 bytes; `ss -xl` shows whose it is.
        name = f"\0domicile-{account}-{hashlib.sha256(chain_mark.encode()).hexdigest()[:32]}"
        try:
            held = self._held.enter_context(socket.socket(socket.AF_UNIX))
            held.bind(name)
            # For whoever is refused to learn the process id; nobody is ever accepted.
            held.listen()
        except OSError as exc:
            self._held.close()
            if exc.errno == errno.EADDRINUSE:
                raise _refusal(path, _listener(name)) from exc
            raise ConfigurationError(
                f"{path}: its account cannot be held ({exc.strerror}); let this process open Unix sockets"
            ) from exc

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None) -> None:
        self._held.close()


def _refusal(path: Path, holder: int | None) -> ConfigurationError:
    other = "another daemon" if holder is None else f"the daemon with process id {holder}"
    return ConfigurationError(
        f"{path}: {other} acts with this key already; end it first, or give this one a key of its own"
    )


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


def _listener(name: str) -> int | None:
    """Process id of whoever listens on a Unix socket, as long as it queues callers."""
    with socket.socket(socket.AF_UNIX) as caller:
        caller.setblocking(False)
        try:
            caller.connect(name)
            told = caller.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        except OSError:
            return None
    # A process outside this container is shown as 0.
    process_id: int = struct.unpack("3i", told)[0]
    return process_id or None
