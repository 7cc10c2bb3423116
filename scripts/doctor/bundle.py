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
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from domicile import __version__
from domicile.errors import DomicileError
from domicile.party import PASSWORD_VARIABLE
from scripts.doctor.case import Case
from scripts.doctor.finding import Finding
from scripts.doctor.logs import log_tail
from scripts.doctor.masking import Masker, masked_url
from scripts.doctor.package import CONTENTS, CONTENTS_NAME, Package, write_package
from scripts.doctor.summary import journal_summary
from scripts.status import plain


def ensure_bundle(file: Path, case: Case, findings: Sequence[Finding], log_file: Path) -> Package:
    """Makes the file, unless it is there: it may have been sent, and is not to change behind its reader's back.

    Raises:
        ConfigurationError: it cannot be written.
    """
    if file.exists():
        return Package(file=file, changed=False)
    masker = Masker(_secrets(case), own_address=_or_none(lambda: case.address))
    log, without_log = _log(log_file, masker)
    members = {
        CONTENTS_NAME: CONTENTS,
        "findings.json": _json([_shown(one, masker) for one in findings]),
        "configuration.json": _json(_configuration(case)),
        "chain.json": _json(masker.every(_chain_view(case))),
        "journal.json": _json(_journal(case, masker)),
        "log.jsonl": log,
        "versions.json": _json(_versions()),
    }
    left = next((name for name, text in members.items() if masker.finds(text.encode())), None)
    if left is not None:
        raise RuntimeError(f"a secret would have been left in {left}; nothing was written")
    write_package(file, members)
    return Package(file=file, changed=True, without_log=without_log)


def _secrets(case: Case) -> list[str]:
    """What must not be in the file, wherever it would have come from."""
    passwords = [_or_none(lambda: case.password), os.environ.get(PASSWORD_VARIABLE)]
    return [*case.url_secrets, *(one for one in passwords if one)]


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


def _log(file: Path, masker: Masker) -> tuple[str, str | None]:
    """The end of the log, or why there is none."""
    try:
        text = log_tail(file, masker)
    except OSError as exc:
        text, cause = "", f"{file.name}: {exc.strerror}"
    else:
        cause = f"{file.name} is empty"
    return (text, None) if text else (json.dumps({"error": cause}) + "\n", cause)


def _versions() -> dict[str, Any]:
    needed = (re.split(r"[^\w.-]", one)[0] for one in importlib.metadata.requires("domicile") or () if ";" not in one)
    packages = {name: importlib.metadata.version(name) for name in needed}
    return {"domicile": __version__, "python": platform.python_version(), "system": platform.platform(), **packages}
