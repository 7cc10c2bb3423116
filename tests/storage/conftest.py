"""Both kinds of store, so that one test class holds for each."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from domicile.storage.cid import cid_of
from domicile.storage.store import BlockStore, open_store
from domicile.types import Digest
from tests.storage.kubo_daemon import kubo_daemon
from tests.storage.kubo_fake import KuboFake

DAEMON_VARIABLE = "DOMICILE_KUBO_API"
"""URL of a daemon kept for tests: they collect what is not pinned there."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A store, and a hand that reaches behind it."""

    store: BlockStore
    location: str
    lose: Callable[[Digest], None]
    """Takes away a block that is not pinned."""

    replace: Callable[[Digest, bytes], None] | None
    """Puts other bytes where a block was; `None` for a real daemon, which cannot be made to lie."""

    vanish: Callable[[], None] | None
    """Takes the whole store away; `None` for a real daemon, which other tests use too."""


DAEMON_URL = os.environ.get(DAEMON_VARIABLE)
PROGRAM = shutil.which("ipfs")
KINDS = ["embedded", "fake Kubo", *(["Kubo"] if DAEMON_URL or PROGRAM else [])]
"""A real daemon comes in addition to the fake one, which alone can be made to lie."""


@pytest.fixture(scope="session")
def real_kubo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a real daemon: the one that the environment names, or one of our own."""
    if DAEMON_URL:
        yield DAEMON_URL
        return
    assert PROGRAM
    with kubo_daemon(PROGRAM, tmp_path_factory.mktemp("kubo")) as url:
        yield url


@pytest.fixture
def fake() -> Iterator[KuboFake]:
    with KuboFake() as fake:
        yield fake


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Each kind of store in turn."""
    match request.param:
        case "embedded":
            return _embedded(tmp_path / "store")
        case "Kubo":
            return _real_kubo(request.getfixturevalue("real_kubo"))
        case _:
            return _fake_kubo(request.getfixturevalue("fake"))


@pytest.fixture(params=KINDS[1:])
def rpc(request: pytest.FixtureRequest) -> str:
    """URL of each kind of daemon in turn."""
    if request.param == "Kubo":
        return str(request.getfixturevalue("real_kubo"))
    fake: KuboFake = request.getfixturevalue("fake")
    return fake.url


@pytest.fixture
def store(place: Place) -> BlockStore:
    return place.store


def _embedded(folder: Path) -> Place:
    def block(digest: Digest) -> Path:
        return folder / "blocks" / digest.hex()[:2] / digest.hex()

    location = f"dir:{folder}"
    return Place(
        store=open_store(location),
        location=location,
        lose=lambda digest: block(digest).unlink(),
        replace=lambda digest, other: void(block(digest).write_bytes(other)),
        vanish=lambda: void(folder.rename(folder.with_name("moved"))),
    )


def _fake_kubo(fake: KuboFake) -> Place:
    return Place(
        store=open_store(fake.url),
        location=fake.url,
        lose=lambda digest: void(fake.blocks.pop(digest)),
        replace=fake.blocks.__setitem__,
        vanish=fake.stop,
    )


def _real_kubo(url: str) -> Place:
    store = open_store(url)
    store.collect()

    def lose(digest: Digest) -> None:
        requests.post(f"{url}/api/v0/block/rm", params={"arg": cid_of(digest)}, timeout=10).raise_for_status()

    return Place(store=store, location=url, lose=lose, replace=None, vanish=None)


def void(_result: object) -> None:
    """Lets a function with a result stand where none is wanted."""
