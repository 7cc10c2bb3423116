"""What support needs and may see, in one zip file.

Never in it: key files, passwords, rows of data or counts of them, values of the environment.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import re
import sqlite3
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from domicile import __version__
from domicile.errors import ConfigurationError, DomicileError
from domicile.party import PASSWORD_VARIABLE
from scripts.doctor.case import Case
from scripts.doctor.finding import Finding
from scripts.doctor.logs import log_tail
from scripts.doctor.masking import Masker, masked_url, secrets_of_url
from scripts.doctor.summary import journal_summary
from scripts.status import plain

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


def write_bundle(file: Path, case: Case, findings: Sequence[Finding], log_file: Path) -> None:
    """Writes the file, which only its owner may read.

    Raises:
        ConfigurationError: it exists already, or cannot be written.
    """
    masker = Masker(_secrets(case), own_address=_or_none(lambda: case.address))
    members = {
        "contents.txt": CONTENTS,
        "findings.json": _json([_shown(one, masker) for one in findings]),
        "configuration.json": _json(_configuration(case)),
        "chain.json": _json(masker.every(_chain_view(case))),
        "journal.json": _json(_journal(case, masker)),
        "log.jsonl": _log(log_file, masker),
        "versions.json": _json(_versions()),
    }
    left = next((name for name, text in members.items() if masker.finds(text.encode())), None)
    if left is not None:
        raise RuntimeError(f"a secret would have been left in {left}; nothing was written")
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as exc:
        raise ConfigurationError(f"--bundle: {file} cannot be made ({exc.strerror}); name another file") from exc
    with os.fdopen(descriptor, "wb") as target, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, text in members.items():
            bundle.writestr(name, text)


def _secrets(case: Case) -> list[str]:
    """What must not be in the file, wherever it would have come from."""
    locations = (case.config.chain.rpc_url, case.config.stores.border, case.config.stores.region or "")
    urls = [one for one in locations if "://" in one]
    passwords = [_or_none(lambda: case.password), os.environ.get(PASSWORD_VARIABLE)]
    return [*(secret for url in urls for secret in secrets_of_url(url)), *(one for one in passwords if one)]


def _or_none(ask: Callable[[], str]) -> str | None:
    try:
        return ask()
    except DomicileError:
        return None


def _json(value: Any) -> str:
    return json.dumps(plain(value), indent=1, ensure_ascii=False) + "\n"


def _shown(finding: Finding, masker: Masker) -> dict[str, str]:
    text = "kept on this machine, since it may quote the data" if finding.private else masker.text(finding.text)
    return {"check": finding.check, "state": finding.state.value, "text": text}


def _configuration(case: Case) -> dict[str, Any]:
    shown = case.config.model_dump(mode="json")
    shown["chain"]["rpc_url"] = masked_url(shown["chain"]["rpc_url"])
    shown["stores"] = {
        key: masked_url(location) if location is not None and "://" in location else location
        for key, location in shown["stores"].items()
    }
    return {"role": case.role, **shown}


def _chain_view(case: Case) -> dict[str, Any]:
    try:
        address = case.address
        return {
            "chain_id": case.chain.chain_id(),
            "block": case.chain.block_number(),
            "timestamp": case.chain.timestamp(),
            "contracts": case.deployment.event_sources(),
            "account": address,
            "balance_wei": int(case.chain.request("eth_getBalance", address, "latest"), 16),
            "key_card": case.nodes.key_card_of(address),
            "standing": asdict(case.standing),
            "jobs": [{"job": own.job, "shards": own.shards, "state": asdict(own.state)} for own in case.own_jobs],
        }
    except DomicileError as exc:
        return {"error": str(exc)}


def _journal(case: Case, masker: Masker) -> dict[str, Any]:
    if not case.config.journal.exists():
        return {"error": "there is none yet"}
    try:
        return journal_summary(case.config.journal, masker)
    except sqlite3.DatabaseError as exc:
        return {"error": f"{type(exc).__name__}: {exc}"}


def _log(file: Path, masker: Masker) -> str:
    try:
        return log_tail(file, masker)
    except OSError as exc:
        return json.dumps({"error": f"{file.name}: {exc.strerror}; name the log with --log"}) + "\n"


def _versions() -> dict[str, Any]:
    needed = (re.split(r"[^\w.-]", one)[0] for one in importlib.metadata.requires("domicile") or () if ";" not in one)
    packages = {name: importlib.metadata.version(name) for name in needed}
    return {"domicile": __version__, "python": platform.python_version(), "system": platform.platform(), **packages}
