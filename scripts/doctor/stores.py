"""The stores of region and border."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from domicile.storage.store import open_blocks
from scripts.doctor.case import Case
from scripts.doctor.finding import Finding, ok, problem

FOLDER = "dir:"


def stores(case: Case) -> Iterator[Finding]:
    """Whether both stores can be used, and are two."""
    locations = {"border": case.config.stores.border}
    if case.config.stores.region is not None:
        locations["region"] = case.config.stores.region
    elif case.role == "node":
        yield problem("stores.region: missing; a node needs the store of its region")
    identities: dict[str, str] = {}
    for key, location in locations.items():
        folder = folder_of(location)
        if folder is not None and (wrong := _complaint(folder)) is not None:
            yield problem(f"stores.{key}: {folder} {wrong}")
        elif folder is not None and not folder.exists():
            identities[key] = str(folder.resolve())
            yield ok(f"stores.{key}: {folder} will be made at the first start")
        else:
            identities[key] = open_blocks(location, create=False).identity()
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
    existing = next(one for one in (folder, *folder.absolute().parents) if one.exists())
    if not existing.is_dir():
        return f"cannot be a folder, since {existing} is a file; name a folder of yours"
    if not os.access(existing, os.R_OK | os.W_OK | os.X_OK):
        return f"cannot be written by this user; give it the right to {existing}, or name a folder of yours"
    return None
