"""The stores of region and border."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from domicile.errors import DomicileError
from domicile.storage.directory import NO_STORE, NOT_THERE, looks_like_store
from domicile.storage.store import Opening, open_blocks
from scripts.doctor.case import Case
from scripts.doctor.finding import Finding, ok, problem

FOLDER = "dir:"


def stores(case: Case) -> Iterator[Finding]:
    """Whether both stores can be used, and are two."""
    # Its own finding names a border store that is still to be filled in.
    locations = {} if "stores.border" in case.blanks else {"border": case.config.stores.border}
    if case.config.stores.region is not None:
        locations["region"] = case.config.stores.region
    elif case.role == "node":
        yield problem("stores.region: missing; a node needs the store of its region")
    identities: dict[str, str] = {}
    for key, location in locations.items():
        folder = folder_of(location)
        if folder is not None and (wrong := _complaint(folder)) is not None:
            yield problem(f"stores.{key}: {folder} {wrong}")
            continue
        try:
            identities[key] = open_blocks(location, Opening.LOOK).identity()
        except DomicileError as exc:
            yield problem(f"stores.{key}: {exc}")
        else:
            yield ok(f"stores.{key}: reachable")
    if len(set(identities.values())) < len(identities):
        yield problem(
            "region and border are the same store, so that everything in the region could be read outside; name two "
            "different stores"
        )


def folder_of(location: str) -> Path | None:
    """The folder of an embedded store."""
    return Path(location.removeprefix(FOLDER)) if location.startswith(FOLDER) else None


def _complaint(folder: Path) -> str | None:
    if not folder.exists():
        return NOT_THERE
    if not folder.is_dir():
        return "is a file; name a folder of yours"
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return "cannot be written by this user; give it the right to, or name a folder of yours"
    return None if looks_like_store(folder) else NO_STORE
