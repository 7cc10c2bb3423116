"""A node whose data has a budget: what it joins, and what it says it spent, by itself."""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, replace

import pytest

from domicile.chain.contracts import Budgets
from domicile.chain.devnet import Devnet
from domicile.chain.sender import Sender
from domicile.party import open_party
from domicile.privacy.accountant import Mechanism, composed_epsilon_of, epsilon_of
from domicile.protocol.budget import NOTHING, Budget, budget_of
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
"""Two jobs of one order, of which the second asks for privacy."""

UNPROMISED, OTHERWISE = JobId(3), JobId(4)
"""The documents of each, with a budget that they do not promise."""

HALF = replace(ASKED, epsilon_micros=1_000_000)
PRIVATE = """
[privacy]
epsilon = 2.0
delta = 1e-6
max_grad_norm = 1.0
[data]
stratified = false
[task]
use = "tabular"
[task.options]
standardize = false
missing = "refuse"
"""

LOOKS = 50
STEPS, SAMPLE_RATE, NOISE_MULTIPLIER = 2, 0.8, 9.0
SEALED = SealedUpdate(
    global_round=0,
    regional_round=0,
    digest=Digest(b"\7" * 32),
    num_steps=STEPS,
    sealed_bytes=9,
    sample_rate=SAMPLE_RATE,
    noise_multiplier=NOISE_MULTIPLIER,
)


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    with Devnet() as devnet:
        region = settle(tmp_path_factory.mktemp("region"), devnet)
        assert region.orders().code == 0
        region.rewrite(region.spec, '[task]\nuse = "tabular"\n[task.options]\n', PRIVATE)
        assert region.orders().code == 0
        owner = Sender(region.chain, OWNER)
        for job, reserved in ((WITHOUT, ASKED), (WITH, HALF)):
            copied(region, owner, job, reserved)
        for number, name in enumerate(("berlin", "munich", "paris"), 1):
            owner.act(budgets_of(region).register_dataset(Digest(bytes([number]) * 32), PARTIES[name].address))
            owner.act(budgets_of(region).grant_budget(DatasetId(number), ASKED, 2**40 - 1))
        yield region


def copied(region: Region, owner: Sender, job: JobId, reserved: Budget) -> None:
    """Orders the same again on chain, with another budget."""
    shards = [
        ShardParameters(jurisdiction=JurisdictionCode(code), committee=region.jobs.committee_of(job, ShardIndex(index)))
        for index, code in enumerate(("EU", "US"))
    ]
    parameters = replace(region.jobs.parameters_of(job), **asdict(reserved))
    owner.act(region.jobs.create_job(parameters, shards, region.jobs.global_committee_of(job)))


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


@pytest.mark.parametrize(
    ("job", "told"),
    [
        (UNPROMISED, "the job reserves epsilon 2, delta 1e-06 of each dataset, and its specification has no privacy"),
        (OTHERWISE, "specification promises epsilon 2, delta 1e-06, and the job reserves epsilon 1, delta 1e-06"),
    ],
    ids=["no privacy", "less"],
)
def test_a_job_that_reserves_what_it_does_not_promise_is_declined_by_name(region: Region, job: JobId, told) -> None:
    refused = region.node("join", job, "berlin")
    assert (refused.code, refused.err.count("\n")) == (4, 1)
    assert told in refused.err
    region.rewrite(region.config("berlin"), "join = []", f"join = [{job}]")
    runs(region)
    assert (member(region, job).joined, reserved(region)) == (False, NOTHING)
    with journal_of(region) as journal:
        declined = journal.declined(job)
    assert declined is not None
    assert declined.startswith("BudgetMismatch: ")
    assert told in declined


def test_an_order_puts_its_privacy_into_the_jobs_budget(region: Region) -> None:
    assert budget_of(region.jobs.parameters_of(WITH)) == ASKED
    assert budget_of(region.jobs.parameters_of(WITHOUT)) == NOTHING


def test_the_refusal_above_the_grant_says_what_is_left(region: Region) -> None:
    less = replace(ASKED, epsilon_micros=1_999_999)
    Sender(region.chain, OWNER).act(budgets_of(region).grant_budget(SET, less, 2**40 - 1))
    told = region.node("join", WITH, "berlin")
    assert (told.code, told.err.count("\n")) == (3, 1)
    assert "BudgetExceeded (dataset 1, remaining_epsilon_micros 1999999, remaining_delta_attos 1000000" in told.err
    region.rewrite(region.config("berlin"), "join = []", "join = [2]")
    runs(region)
    with journal_of(region) as journal:
        assert journal.refusals(WITH) == [
            ("join", "BudgetExceeded: epsilon 1.999999, delta 1e-06 are left of dataset 1")
        ]


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


def test_what_sealed_updates_cost_by_the_accountant_is_said_once_and_the_rest_of_epsilon_is_free(
    region: Region,
) -> None:
    """Also after a restart: nothing but the journal tells what was trained, and the rows may be others by then."""
    assert region.node("join", WITH, "berlin").code == 0
    with journal_of(region) as journal:
        journal.record_update(WITH, SEALED)
        journal.record_update(WITH, replace(SEALED, regional_round=1, noise_multiplier=2 * NOISE_MULTIPLIER))
    assert region.does("cancel", WITH, "--yes").code == 0
    runs(region)
    less, more = (Mechanism(sample_rate=SAMPLE_RATE, noise_multiplier=by * NOISE_MULTIPLIER) for by in (1, 2))
    cost = composed_epsilon_of({less: STEPS, more: STEPS}, ASKED.delta)
    assert epsilon_of(less, STEPS, ASKED.delta) < cost < ASKED.epsilon
    assert reserved(region) == Budget(epsilon_micros=math.ceil(cost * 1_000_000), delta_attos=ASKED.delta_attos)
    block = region.chain.block_number()
    sent = region.chain.request("eth_getTransactionCount", BERLIN, "latest")
    runs(region)
    assert region.chain.block_number() > block
    assert region.chain.request("eth_getTransactionCount", BERLIN, "latest") == sent


def spoil_by_update(journal: NodeJournal) -> None:
    journal.record_update(WITH, replace(SEALED, noise_multiplier=None))


def spoil_by_loss(journal: NodeJournal) -> None:
    journal._write("DELETE FROM memberships", ())


@pytest.mark.parametrize("spoil", [spoil_by_update, spoil_by_loss], ids=["noise unknown", "journal lost"])
def test_what_may_have_been_spent_stays_reserved(region: Region, spoil) -> None:
    assert region.node("join", WITH, "berlin").code == 0
    with journal_of(region) as journal:
        spoil(journal)
    assert region.does("cancel", WITH, "--yes").code == 0
    runs(region)
    assert reserved(region) == ASKED
    assert not budgets_of(region).has_returned(WITH, BERLIN)
