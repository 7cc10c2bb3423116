"""Every verb and kind of wrong input, one row an error: one line that names cause and mend, its exit code, and nothing
is written or sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from domicile.types import JobId
from scripts.attestation_file import write_file
from tests.verbs import job_ground
from tests.verbs.job_ground import Region
from tests.verbs.merged_round import make_model
from tests.verbs.network_ground import GOVERNOR, NODE, OFFICE, OTHER, Network, domicile
from tests.verbs.party_ground import BERLIN, CLINIC, MEMBER, config, signed, written_request
from tests.verbs.wrong_input import attestation, dataset, job, machine, network, party
from tests.verbs.wrong_input.desk import NOWHERE, VERBS, Desk, Row, verb_of

ROWS = (*machine.ROWS, *network.ROWS, *party.ROWS, *attestation.ROWS, *dataset.ROWS)
SENDERS = (GOVERNOR, OFFICE, NODE, OTHER, BERLIN, CLINIC, MEMBER)


def led_astray(parties: Network) -> dict[str, Path]:
    """Access files of an endpoint where nobody is, and with the deployment of another chain."""
    governor, deployment = parties.access("governor"), parties.folder / "deployment.json"
    other = parties.document("elsewhere.json", deployment.read_text(encoding="utf-8").replace("31337", "11155111"))
    found = {}
    for name, old, new in (("GONE", parties.rpc_url, NOWHERE), ("ELSEWHERE", str(deployment), str(other))):
        text = governor.read_text(encoding="utf-8")
        assert old in text
        found[name] = governor.with_name(f"{name}.toml")
        found[name].write_text(text.replace(old, new), encoding="utf-8")
    return found


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where somebody types: a file that is nothing, an empty one, and a folder with nothing in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DOMICILE_PASSWORD", raising=False)
    (tmp_path / "file").write_text("this is nothing", encoding="utf-8")
    (tmp_path / "empty").touch()
    (tmp_path / "folder").mkdir()
    return tmp_path


@pytest.fixture
def desk(parties: Network, here: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    """The governor's."""
    monkeypatch.setenv("DOMICILE_ACCESS", str(parties.access("governor")))
    asked = written_request(parties)
    write_file(here / "request.json", asked)
    write_file(here / "signature.json", signed(parties, asked, BERLIN))
    names = {
        **led_astray(parties),
        "RPC": parties.rpc_url,
        "OTHER": parties.access("other"),
        "OTHER_KEY": parties.folder / "other" / "account.json",
        "PASSWORD": parties.folder / "password",
        "BERLIN": parties.access("berlin"),
        "CLINIC": config(parties),
        "MEMBER": config(parties, "member"),
        "REQUEST": "request.json",
        "SIGNATURE": "signature.json",
    }
    accounts = [one.address for one in SENDERS]
    return Desk(folders=(here, parties.folder), chain=parties.chain, accounts=accounts, names=names)


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
def test_what_is_wrong_is_told_in_one_line_and_nothing_is_written_or_sent(row: Row, desk: Desk) -> None:
    desk.refuses(row)


@pytest.fixture(scope="module")
def region_with_jobs(settled_region: Region) -> Iterator[Region]:
    """One job that nobody has joined, and one with a model."""
    with job_ground.as_new(settled_region) as region:
        for number in (1, 2):
            told = region.orders("--again")
            assert (told.code, told.data["job"]) == (0, number), told.err
        make_model(region, JobId(2), job_ground.DIGEST)
        yield region


@pytest.fixture
def owners_desk(region_with_jobs: Region, here: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    region = region_with_jobs
    monkeypatch.setenv("DOMICILE_ACCESS", str(region.access))
    names = {
        "GONE": job_ground.write_access(region, "guest", NOWHERE, bare=True),
        "SPEC": region.spec,
        "NODE": region.config("berlin"),
        "MEMBER": region.config("eu-agg"),
    }
    accounts = [one.address for one in (job_ground.OWNER, *job_ground.PARTIES.values())]
    return Desk(folders=(here, region.folder), chain=region.chain, accounts=accounts, names=names)


@pytest.mark.parametrize("row", job.ROWS, ids=[row[0] for row in job.ROWS])
def test_what_is_wrong_about_a_job_is_told_in_one_line_and_nothing_is_written_or_sent(
    row: Row, owners_desk: Desk
) -> None:
    owners_desk.refuses(row)


SAYS_LINES_OF_JSON_ALWAYS = ("node run", "aggregator run")


@pytest.mark.parametrize("verb", VERBS)
def test_each_verb_has_a_row_an_example_exit_codes_and_json(verb: str) -> None:
    assert verb in {verb_of(command.split()) for command, _, _ in (*ROWS, *job.ROWS)}, "add a row of wrong input"
    told = domicile(*verb.split(), "--help")
    assert told.code == 0
    assert told.out.count("Example: ") == 1
    assert re.search(rf"Example: domicile {verb}\b", told.out)
    assert len(re.findall("Exit codes: 0 ", told.out)) == 1
    assert "--json" in told.out or verb in SAYS_LINES_OF_JSON_ALWAYS
