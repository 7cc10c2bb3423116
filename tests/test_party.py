"""Which stores a party may be given."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import pytest

from domicile.clock import DEFAULT_CLOCK, JobClock
from domicile.errors import ConfigurationError, StoreFault
from domicile.party import Party, PartySettings, open_party
from domicile.settings import load_settings
from tests.storage.kubo_fake import KuboFake


@pytest.fixture
def daemons() -> Iterator[tuple[KuboFake, KuboFake]]:
    with KuboFake(peer_id="12D3KooWRegion") as region, KuboFake(peer_id="12D3KooWBorder") as border:
        yield region, border


@dataclass
class Door:
    """A chain or a store that keeps the clock it was told."""

    clock: JobClock = DEFAULT_CLOCK

    def follow(self, clock: JobClock) -> None:
        self.clock = clock


@pytest.mark.parametrize("places", [("chain", "border", "region"), ("chain", "border")])
def test_chain_and_stores_are_waited_for_by_one_clock(places: tuple[str, ...]) -> None:
    doors = {place: Door() for place in places}
    party = Party(**{field.name: doors.get(field.name) for field in fields(Party)})  # type: ignore[arg-type]
    party.follow(JobClock(7))
    assert {door.clock for door in doors.values()} == {JobClock(7)}


def open_with(tmp_path: Path, *, region: str, border: str) -> None:
    """Opens a party from a file; all of it but the stores is missing, which is noticed only after them."""
    file = tmp_path / "party.toml"
    file.write_text(
        f"""
name = "a"
journal = "{tmp_path}/journal.sqlite"
[chain]
rpc_url = "http://127.0.0.1:1"
deployment = "{tmp_path}/deployment.json"
[keys]
account = "{tmp_path}/account.json"
hpke = "{tmp_path}/hpke.json"
password_file = "{tmp_path}/password"
[stores]
region = "{region}"
border = "{border}"
"""
    )
    open_party(load_settings(file, PartySettings))


def test_one_store_under_two_names_is_refused(tmp_path: Path, daemons: tuple[KuboFake, KuboFake]) -> None:
    kubo = daemons[0]
    for name in ("folder", "x"):
        (tmp_path / name).mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    for region, border in (
        (f"dir:{tmp_path}/folder", f"dir:{tmp_path}/folder"),
        (f"dir:{tmp_path}/folder", f"dir:{tmp_path}/x/../folder/"),
        (f"dir:{tmp_path}/folder", f"dir:{tmp_path}/link"),
        (kubo.url, kubo.url),
        (kubo.url, f"{kubo.url}/"),
        (kubo.url, f"HTTP://localhost:{kubo.port}"),
    ):
        with pytest.raises(ConfigurationError, match="name two different stores"):
            open_with(tmp_path, region=region, border=border)


def test_two_daemons_and_a_daemon_beside_a_folder_are_two_stores(
    tmp_path: Path, daemons: tuple[KuboFake, KuboFake]
) -> None:
    region, border = daemons
    (tmp_path / "folder").mkdir()
    for second in (border.url, f"dir:{tmp_path}/folder"):
        with pytest.raises(ConfigurationError, match="password_file"):
            open_with(tmp_path, region=region.url, border=second)


def test_a_daemon_that_cannot_be_asked_is_a_fault(tmp_path: Path, daemons: tuple[KuboFake, KuboFake]) -> None:
    region, border = daemons
    border.stop()
    with pytest.raises(StoreFault, match="start the daemon"):
        open_with(tmp_path, region=region.url, border=border.url)


def test_a_folder_that_is_away_is_no_new_store(tmp_path: Path, daemons: tuple[KuboFake, KuboFake]) -> None:
    kubo, folder = daemons[0].url, tmp_path / "disk" / "border"
    with pytest.raises(StoreFault, match=r"stores\.border: store .*/border: is not there; bring it back"):
        open_with(tmp_path, region=kubo, border=f"dir:{folder}")
    assert not folder.parent.exists()
    folder.mkdir(parents=True)
    (folder / "letter").touch()
    with pytest.raises(ConfigurationError, match=r"stores\.border: .* is no store, and not empty"):
        open_with(tmp_path, region=kubo, border=f"dir:{folder}")
    assert [one.name for one in folder.iterdir()] == ["letter"]


def test_an_empty_folder_and_one_that_is_being_made_become_stores(
    tmp_path: Path, daemons: tuple[KuboFake, KuboFake]
) -> None:
    (tmp_path / "begun" / "blocks" / "00").mkdir(parents=True)
    (tmp_path / "empty").mkdir()
    for name in ("begun", "empty", "empty"):
        with pytest.raises(ConfigurationError, match="password_file"):
            open_with(tmp_path, region=daemons[0].url, border=f"dir:{tmp_path}/{name}")
        assert (tmp_path / name / "lock").exists()
