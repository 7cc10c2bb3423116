"""The zip file that is handed to support: made once, for its owner alone, and never in the place of another file."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from domicile.errors import ConfigurationError

CONTENTS_NAME = "contents.txt"
CONTENTS = """Made by `domicile doctor --bundle`; read it before you send it.

findings.json       what the doctor found; text that may quote the data is left out
configuration.json  the configuration; of URLs only host and port
chain.json          what the chain shows of this account
journal.json        what the journal holds, without digests and figures
log.jsonl           the end of the log: known events and fields, frames of tracebacks
versions.json       of Python, of this software and of the packages that it needs

Accounts of others and digests are cut to their first eight digits. Key files, passwords, rows of data and the
environment are never looked at for this file.
"""


@dataclass(frozen=True, kw_only=True, slots=True)
class Package:
    """What became of the file. `without_log`: why one that was made holds no log."""

    file: Path
    changed: bool
    without_log: str | None = None

    def data(self) -> dict[str, Any]:
        return {**asdict(self), "file": str(self.file)}

    def lines(self) -> Iterator[str]:
        if not self.changed:
            yield f"{self.file} was made already and stays as it is; for a new one, name another file, or remove it"
            return
        if self.without_log is not None:
            yield (
                f"no log is in it: {self.without_log}; name the daemon's log with --log (under systemd, `journalctl "
                "--unit UNIT --output cat` writes it) and another file for the bundle"
            )
        yield f"{self.file} is for support; read it before you send it"


def check_place(file: Path) -> None:
    """Whether the file can be made there, or is there already.

    Raises:
        ConfigurationError: neither.
    """
    if not file.absolute().parent.is_dir():
        raise ConfigurationError(f"--bundle: {file} lies in no folder that exists; name another file")
    if file.exists() and not _is_package(file):
        raise ConfigurationError(f"--bundle: {file} exists already and is no bundle; name another file")


def _is_package(file: Path) -> bool:
    """Of whatever version: by the first line of its contents."""
    try:
        with zipfile.ZipFile(file) as found:
            text = found.read(CONTENTS_NAME).decode()
    except (OSError, KeyError, UnicodeDecodeError, zipfile.BadZipFile):
        return False
    return text.splitlines()[:1] == CONTENTS.splitlines()[:1]


def write_package(file: Path, members: Mapping[str, str]) -> None:
    """Writes texts, by their names in the file.

    Raises:
        ConfigurationError: the file exists already, or cannot be written.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as exc:
        raise ConfigurationError(f"--bundle: {file} cannot be made ({exc.strerror}); name another file") from exc
    with os.fdopen(descriptor, "wb") as target, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as package:
        for name, text in members.items():
            package.writestr(name, text)
