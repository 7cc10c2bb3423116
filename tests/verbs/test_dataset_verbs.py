"""The verbs of a dataset's owner, against a real chain: safe to repeat, exact, and refused by name."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from domicile.chain.account import Signer
from domicile.chain.contracts import Budgets, Jobs
from domicile.chain.sender import Sender
from domicile.protocol.budget import Budget
from domicile.protocol.eligibility import Safeguard, Sensitivity
from domicile.protocol.jurisdiction import Tier
from domicile.protocol.refusals import BudgetExceeded
from domicile.protocol.round import Committee, JobParameters, ShardParameters
from domicile.types import DatasetId, JobId, JurisdictionCode, ShardIndex
from scripts.documents import salted_digest
from tests.verbs.network_ground import DIGEST, GOVERNOR, OFFICE, OTHER, Network
from tests.verbs.party_ground import CLINIC, attest, written_request

ASKED = Budget(epsilon_micros=1_500_000, delta_attos=4 * 10**12)
GRANT = ("--epsilon", "4", "--delta", "1e-5", "--days", 30)


@pytest.fixture
def network(parties: Network) -> Network:
    """The clinic may join jobs in DE, and its data is there."""
    attest(parties, written_request(parties))
    parties.document("rows.csv", "x,y\n1,2\n")
    return parties


def registered(network: Network, who: str = "office") -> int:
    told = network.does("dataset", "register", network.folder / "rows.csv", "--holder", CLINIC.address, who=who)
    assert told.code == 0, told.err
    number: int = told.data["dataset"]
    return number


def granted(network: Network) -> int:
    number = registered(network)
    assert network.does("dataset", "grant", number, *GRANT, who="office").code == 0
    return number


def job_for(network: Network, asked: Budget = ASKED) -> JobId:
    """A job of the governor's in DE, open for joining."""
    jobs, committee = Jobs(network.chain, network.deployment), Committee(members=(GOVERNOR.address,), quorum=1)
    parameters = JobParameters(
        spec=DIGEST,
        join_window_s=10**6,
        collect_window_s=10**3,
        global_rounds=1,
        min_regional_rounds=1,
        max_regional_rounds=1,
        patience=1,
        min_delta_micros=0,
        max_retries=0,
        min_nodes=2,
        min_contributors=3,
        min_shards=1,
        sensitivity=Sensitivity.PUBLIC,
        max_tier=Tier.OPEN,
        safeguards=Safeguard.NONE,
        epsilon_micros=asked.epsilon_micros,
        delta_attos=asked.delta_attos,
        denied=(),
    )
    shard = ShardParameters(jurisdiction=JurisdictionCode("DE"), committee=committee)
    Sender(network.chain, GOVERNOR).act(jobs.create_job(parameters, [shard], committee))
    return JobId(jobs.num_jobs())


def acts(network: Network, signer: Signer, function: str, job: JobId, *arguments: object) -> None:
    Sender(network.chain, signer).act(getattr(Jobs(network.chain, network.deployment), function)(job, *arguments))


def standing(network: Network, number: int) -> dict[str, object]:
    [one] = network.does("dataset", "status", number, who="other").data["datasets"]
    found: dict[str, object] = one
    return found


def test_registering_keeps_the_salt_and_a_repetition_finds_it(network: Network) -> None:
    data = network.folder / "rows.csv"
    first = network.does("dataset", "register", data, "--holder", CLINIC.address, who="office")
    assert (first.code, first.data["changed"], first.data["holder"]) == (0, True, CLINIC.address)
    kept = Path(first.data["kept"])
    assert kept.stat().st_mode & 0o77 == 0
    told = json.loads(kept.read_text())
    assert salted_digest(bytes.fromhex(told["salt"]), told["data"]).hex() == first.data["commitment"] == kept.stem
    before = network.chain.block_number()
    again = network.does("dataset", "register", data, "--holder", CLINIC.address, who="office")
    assert again.data == {**first.data, "changed": False}
    assert network.chain.block_number() == before
    changed = network.document("more.csv", "x,y\n1,3\n")
    assert network.does("dataset", "register", changed, "--holder", CLINIC.address, who="office").data["dataset"] == 2


def test_a_commitment_that_somebody_else_registered_is_not_taken_for_ones_own(network: Network) -> None:
    data = network.folder / "rows.csv"
    arguments = ("dataset", "register", data, "--holder", OTHER.address)
    first = network.does(*arguments, who="office").data
    kept = Path(first["kept"])
    copied = network.folder / "other" / "datasets" / kept.name
    copied.parent.mkdir(exist_ok=True)
    copied.write_bytes(kept.read_bytes())
    told = network.tells(*arguments, who="other")
    assert (told.code, told.err.count("\n")) == (2, 1)
    assert f"{OFFICE.address} registered this commitment, as dataset {first['dataset']}; delete {copied}" in told.err
    copied.unlink()
    assert network.does(*arguments, who="other").data["dataset"] == first["dataset"] + 1


def test_a_folder_is_registered_by_the_names_and_contents_of_its_files(network: Network) -> None:
    folder = network.folder / "images"
    (folder / "a").mkdir(parents=True, exist_ok=True)
    (folder / "a" / "1.png").write_bytes(b"1")
    arguments = ("dataset", "register", folder, "--holder", CLINIC.address)
    first = network.does(*arguments, who="office").data
    assert network.does(*arguments, who="office").data == {**first, "changed": False}
    (folder / "a" / "1.png").rename(folder / "a" / "2.png")
    assert network.does(*arguments, who="office").data["dataset"] == first["dataset"] + 1


def test_a_grant_is_exact_the_last_one_counts_and_it_can_be_withdrawn(network: Network) -> None:
    number = registered(network)
    figures = ("--epsilon", "0.000001", "--delta", "1e-18", "--until", "2100-01-01")
    first = network.does("dataset", "grant", number, *figures, who="office")
    assert (first.code, first.data["changed"]) == (0, True)
    assert first.data["granted"] == {"epsilon_micros": 1, "delta_attos": 1}
    assert first.data["until_s"] == datetime(2100, 1, 2, tzinfo=UTC).timestamp()
    assert network.does("dataset", "grant", number, *figures, who="office").data["changed"] is False
    assert network.does("dataset", "grant", number, *GRANT, who="office").data["remaining"] == {
        "epsilon_micros": 4_000_000,
        "delta_attos": 10**13,
    }
    withdrawn = network.tells("dataset", "grant", number, "--withdraw", who="office")
    assert withdrawn.out == f"dataset {number} grants nothing any more; epsilon 0, delta 0 are left\n"
    assert network.does("dataset", "grant", number, "--withdraw", who="office").data["changed"] is False


def test_what_jobs_reserved_and_spent_is_told_to_anyone_until_nothing_is_left(network: Network) -> None:
    number = granted(network)
    dataset, shard = DatasetId(number), ShardIndex(0)
    jobs = [job_for(network) for _ in range(3)]
    for job in jobs[:2]:
        acts(network, CLINIC, "join", job, shard, dataset)
    with pytest.raises(BudgetExceeded) as refused:
        acts(network, CLINIC, "join", jobs[2], shard, dataset)
    assert (refused.value.remaining_epsilon_micros, refused.value.remaining_delta_attos) == (10**6, 2 * 10**12)
    assert standing(network, number)["remaining"] == {"epsilon_micros": 10**6, "delta_attos": 2 * 10**12}
    acts(network, GOVERNOR, "cancel", jobs[0])
    spent = ("--node", CLINIC.address, "--epsilon", "0.25", "--delta", "4e-6")
    returned = network.does("dataset", "return", jobs[0], *spent, who="office")
    assert (returned.code, returned.data["returned"]) == (0, {"epsilon_micros": 1_250_000, "delta_attos": 0})
    assert network.does("dataset", "return", jobs[0], *spent, who="office").data["changed"] is False
    acts(network, CLINIC, "leave", jobs[1])
    told = network.tells("dataset", "status", who="other").out
    assert f"job {jobs[0]} spent epsilon 0.25, delta 4e-06" in told
    assert f"job {jobs[1]} spent epsilon 0, delta 0" in told
    assert "left    epsilon 3.75, delta 6e-06" in told


def test_no_dataset_is_told_in_words(network: Network) -> None:
    assert network.tells("dataset", "status", who="other").out == "no dataset is registered yet\n"


def test_the_contracts_refusals_reach_the_user_by_name(network: Network) -> None:
    number = granted(network)
    job = job_for(network)
    over = network.tells("dataset", "grant", number, *GRANT[:4], "--until", "2001-01-01", who="office")
    assert (over.code, over.err.count("\n")) == (2, 1)
    assert "--until: that day was over at 2001-01-02 00:00:00 UTC; name a later one" in over.err
    stranger = network.tells("dataset", "grant", number, *GRANT, "--delta", "2e-5", who="other")
    assert (stranger.code, stranger.err.count("\n")) == (3, 1)
    assert f"NotDatasetOwner (dataset {number}, account {OTHER.address})" in stranger.err
    spent = ("--node", CLINIC.address, "--epsilon", "0", "--delta", "0")
    nothing = network.tells("dataset", "return", job, *spent, who="office")
    assert (nothing.code, nothing.err.count("\n")) == (3, 1)
    assert f"NothingReserved (job {job}, node {CLINIC.address})" in nothing.err
    acts(network, CLINIC, "join", job, ShardIndex(0), DatasetId(number))
    running = network.tells("dataset", "return", job, *spent, who="office")
    assert (running.code, running.err.count("\n")) == (3, 1)
    assert f"ReservationInUse (job {job}, node {CLINIC.address}, phase JOINING)" in running.err
    acts(network, CLINIC, "leave", job)
    assert Budgets(network.chain, network.deployment).dataset_at(DatasetId(number)).owner == OFFICE.address
