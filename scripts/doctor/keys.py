"""Key files and the password that opens them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path

from scripts.doctor.case import Case
from scripts.doctor.finding import Finding, ok, problem


def key_files(case: Case) -> Iterator[Finding]:
    """Whether the files are there, readable by this user, and by nobody else."""
    files = {"keys.account": case.keys.account, "keys.hpke": case.keys.hpke}
    if case.keys.password_file is not None:
        files["keys.password_file"] = case.keys.password_file
    wrong = [complaint for key, path in files.items() if (complaint := _complaint(key, path)) is not None]
    yield from map(problem, wrong)
    if not wrong:
        yield ok(f"{len(files)} files, readable by their owner alone")


def _complaint(key: str, path: Path) -> str | None:
    try:
        mode = path.stat().st_mode
    except OSError as exc:
        return f"{key}: {path} cannot be looked at ({exc.strerror}); correct the path"
    if not stat.S_ISREG(mode) or not os.access(path, os.R_OK):
        return f"{key}: {path} cannot be read by this user; run the doctor as the user who runs the daemon"
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        return f"{key}: {path} can be read by others than its owner; run chmod 600 on it"
    return None


def account(case: Case) -> Iterator[Finding]:
    """Which account the key file names, without the password: all that is asked of the chain is asked about it."""
    yield ok(f"{case.address}, by its key file")


def password(case: Case) -> Iterator[Finding]:
    """Whether the password opens both keys."""
    opened, recipient = case.signer.address, case.hpke.recipient_id.hex()
    if opened == case.address:
        yield ok(f"it opens both keys; the account is {opened}, the HPKE key {recipient}")
    else:
        yield problem(
            f"{case.keys.account} names {case.address}, but holds the key of {opened}; restore it from a copy"
        )
