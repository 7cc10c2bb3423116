"""A node whose data has a budget: what it joins, and what it gives back by itself."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, replace

import pytest

from domicile.chain.contracts import Budgets
from domicile.chain.devnet import Devnet
from domicile.chain.sender import Sender
from domicile.party import open_party
from domicile.protocol.budget import NOTHING, Budget
from domicile.protocol.round import Member, ShardParameters
from domicile.settings import load_settings
from domicile.types import DatasetId, Digest, JobId, JurisdictionCode, ShardIndex
from node.config import NodeConfig
from node.daemon import NodeDaemon
from node.journal import NodeJournal, SealedUpdate
from node.training import LocalTrainer
from tests.verbs.job_ground import OWNER, PARTIES, Region, as_new, settle

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

ASKED = Budget(epsilon_micros=2_000_000, delta_attos=10**12)
BERLIN, SET = PARTIES["berlin"].address, DatasetId(1)
WITHOUT, WITH = JobId(1), JobId(2)
"""Two jobs of one order, of which the second has a budget."""

LOOKS = 50
SEALED = SealedUpdate(global_round=0, regional_round=0, digest=Digest(b"\7" * 32), num_steps=2, sealed_bytes=9)


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    with Devnet() as devnet:
        region = settle(tmp_path_factory.mktemp("region"), devnet)
        assert region.orders().code == 0
        shards = [
            ShardParameters(
                jurisdiction=JurisdictionCode(code), committee=region.jobs.committee_of(WITHOUT, ShardIndex(index))
            )
            for index, code in enumerate(("EU", "US"))
        ]
        parameters = replace(region.jobs.parameters_of(WITHOUT), **asdict(ASKED))
        owner = Sender(region.chain, OWNER)
        owner.act(region.jobs.create_job(parameters, shards, region.jobs.global_committee_of(WITHOUT)))
        for number, name in enumerate(("berlin", "munich", "paris"), 1):
            owner.act(budgets_of(region).register_dataset(Digest(bytes([number]) * 32), PARTIES[name].address))
            owner.act(budgets_of(region).grant_budget(DatasetId(number), ASKED, 2**40 - 1))
        yield region


@pytest.fixture
def region(settled: Region) -> Iterator[Region]:
    with as_new(settled):
        settled.rewrite(settled.config("berlin"), "[jobs]", f"dataset = {SET}\n[jobs]")
        yield settled
        shutil.rmtree(settled.folder / "berlin" / "journal.sqlite-outbox", ignore_errors=True)


def budgets_of(region: Region) -> Budgets:
    return Budgets(region.chain, region.deployment)


def reserved(region: Region) -> Budget:
    return budgets_of(region).dataset_at(SET).reserved


def member(region: Region, job: JobId = WITH) -> Member:
    return region.jobs.member_of(job, BERLIN)


@contextmanager
def journal_of(region: Region) -> Iterator[NodeJournal]:
    with closing(NodeJournal(region.folder / "berlin" / "journal.sqlite")) as journal:
        yield journal


def runs(region: Region) -> None:
    """The node's daemon looks until it has nothing to do."""
    config = load_settings(region.config("berlin"), NodeConfig)
    with journal_of(region) as journal:
        daemon = NodeDaemon(config, open_party(config), journal, LocalTrainer())
        for _ in range(LOOKS):
            daemon.step()
            region.pass_time(1)


def test_a_job_without_a_budget_is_refused_by_name(region: Region) -> None:
    told = region.node("join", WITHOUT, "berlin")
    assert (told.code, told.err.count("\n")) == (3, 1)
    assert "NoBudget (job 1)" in told.err
    assert not member(region, WITHOUT).joined


def test_a_node_without_a_dataset_is_refused_in_a_job_with_a_budget(region: Region) -> None:
    told = region.node("join", WITH, "munich")
    assert (told.code, told.err.count("\n")) == (3, 1)
    assert "DatasetRequired (job 2)" in told.err


def test_the_refusal_above_the_grant_says_what_is_left(region: Region) -> None:
    less = replace(ASKED, epsilon_micros=1_999_999)
    Sender(region.chain, OWNER).act(budgets_of(region).grant_budget(SET, less, 2**40 - 1))
    told = region.node("join", WITH, "berlin")
    assert (told.code, told.err.count("\n")) == (3, 1)
    assert "BudgetExceeded (dataset 1, remaining_epsilon_micros 1999999, remaining_delta_attos 1000000" in told.err


def test_a_daemon_joins_with_its_dataset_and_gives_back_what_it_never_touched(region: Region) -> None:
    region.rewrite(region.config("berlin"), "join = []", "join = [1, 2]")
    runs(region)
    assert (member(region).joined, member(region).dataset, reserved(region)) == (True, SET, ASKED)
    assert not member(region, WITHOUT).joined
    with journal_of(region) as journal:
        assert journal.refusals(WITHOUT) == [("join", "NoBudget")]
    assert region.does("cancel", WITH, "--yes").code == 0
    runs(region)
    assert reserved(region) == NOTHING
    assert budgets_of(region).has_returned(WITH, BERLIN)


def test_a_node_that_left_after_the_start_gives_back_too(region: Region) -> None:
    assert region.node("join", WITH, "berlin").code == 0
    for number, name in ((2, "munich"), (3, "paris")):
        region.acts(name, region.jobs.join(WITH, ShardIndex(0), DatasetId(number)))
    assert region.does("start", WITH).code == 0
    assert region.node("leave", WITH, "berlin", "--yes").code == 0
    assert reserved(region) == ASKED
    region.rewrite(region.config("berlin"), "join = []", "join = [2]")
    runs(region)
    assert reserved(region) == NOTHING


def spoil_by_update(journal: NodeJournal) -> None:
    journal.record_update(WITH, SEALED)


def spoil_by_loss(journal: NodeJournal) -> None:
    journal._write("DELETE FROM memberships", ())


@pytest.mark.parametrize("spoil", [spoil_by_update, spoil_by_loss], ids=["sealed", "journal lost"])
def test_what_may_have_been_spent_stays_reserved(region: Region, spoil) -> None:
    assert region.node("join", WITH, "berlin").code == 0
    with journal_of(region) as journal:
        spoil(journal)
    assert region.does("cancel", WITH, "--yes").code == 0
    runs(region)
    assert reserved(region) == ASKED
    assert not budgets_of(region).has_returned(WITH, BERLIN)
