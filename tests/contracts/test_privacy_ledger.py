"""Budgets of datasets: refusals first, then what is reserved, and what returns."""

from __future__ import annotations

import pytest

from tests.contracts.cast import TRAINING, Cast
from tests.contracts.ground import Job, Receipt, refused, word

ASKED = {"epsilonMicros": 1_000_003, "deltaAttos": 7}
NO_ONE = "0x" + "00" * 20


def register(cast: Cast, holder: str, number: int = 1) -> int:
    """A dataset of the job owner's, who in these tests owns the data too."""
    receipt = cast.ground.budgets.send(cast.owner, "registerDataset", word(number), holder)
    dataset: int = receipt.event("DatasetRegistered")["dataset"]
    return dataset


def grant(cast: Cast, dataset: int, epsilon: int = 2_500_000, delta: int = 20, valid_s: int = 10**6) -> Receipt:
    until = cast.ground.chain.now + valid_s
    return cast.ground.budgets.send(cast.owner, "grantBudget", dataset, epsilon, delta, until)


def reserved(cast: Cast, dataset: int) -> tuple[int, int]:
    held = cast.ground.budgets.call("datasetAt", dataset)["reserved"]
    return held["epsilonMicros"], held["deltaAttos"]


def give_back(cast: Cast, sender: str, job: Job, node: str, epsilon: int, delta: int) -> Receipt:
    return cast.ground.budgets.send(sender, "returnBudget", job.id, node, epsilon, delta)


@pytest.fixture
def dataset(cast: Cast) -> int:
    """Granted, of the first European node."""
    number = register(cast, cast.europe[0])
    grant(cast, number)
    return number


def training(cast: Cast, dataset: int, **changes: object) -> Job:
    """A job that trains with three European nodes, each with a dataset."""
    job = cast.job(**ASKED, **changes)
    job.join(cast.europe[0], 0, dataset)
    for number, node in enumerate(cast.europe[1:], 2):
        another = register(cast, node, number)
        grant(cast, another)
        job.join(node, 0, another)
    job.send(cast.owner, "start")
    return job


def test_a_dataset_has_one_commitment_one_holder_and_a_number(cast: Cast) -> None:
    budgets, node = cast.ground.budgets, cast.europe[0]
    assert refused(lambda: budgets.send(node, "registerDataset", bytes(32), node)) == ("ZeroCommitment", ())
    assert refused(lambda: budgets.send(node, "registerDataset", word(1), NO_ONE)) == ("ZeroHolder", ())
    assert refused(lambda: budgets.call("datasetAt", 1)) == ("UnknownDataset", (1,))
    told = budgets.send(cast.owner, "registerDataset", word(1), node).event("DatasetRegistered")
    assert told == {"dataset": 1, "owner": cast.owner, "holder": node, "commitment": word(1)}
    assert refused(lambda: register(cast, cast.europe[1])) == ("DatasetAlreadyRegistered", (1,))
    assert register(cast, node, number=2) == 2
    assert (budgets.call("numDatasets"), budgets.call("datasetOf", word(2)), budgets.call("datasetOf", word(3))) == (
        2,
        2,
        0,
    )


def test_only_the_owner_grants_and_the_last_grant_counts(cast: Cast) -> None:
    dataset, holder = register(cast, cast.europe[0]), cast.europe[0]
    budgets = cast.ground.budgets
    assert refused(lambda: budgets.send(holder, "grantBudget", dataset, 1, 1, 1)) == (
        "NotDatasetOwner",
        (dataset, holder),
    )
    assert refused(lambda: budgets.send(cast.owner, "grantBudget", 9, 1, 1, 1)) == ("UnknownDataset", (9,))
    grant(cast, dataset, 5, 6)
    until = cast.ground.chain.now + 10**6
    assert grant(cast, dataset, 2**48 - 1, 2**56 - 1).event("BudgetGranted") == {
        "dataset": dataset,
        "epsilonMicros": 2**48 - 1,
        "deltaAttos": 2**56 - 1,
        "validUntil": until,
    }
    assert budgets.call("datasetAt", dataset) == {
        "owner": cast.owner,
        "holder": holder,
        "granted": {"epsilonMicros": 2**48 - 1, "deltaAttos": 2**56 - 1},
        "reserved": {"epsilonMicros": 0, "deltaAttos": 0},
        "validUntil": until,
    }


def test_nobody_but_the_jobs_contract_reserves_and_gives_back(cast: Cast, dataset: int) -> None:
    holder, budgets = cast.europe[0], cast.ground.budgets
    for sender in (holder, cast.owner):
        answer = refused(lambda: budgets.send(sender, "reserve", dataset, holder, 1, 1))  # noqa: B023
        assert answer == ("NotJobs", (sender,))
        answer = refused(lambda: budgets.send(sender, "giveBack", dataset, 1, holder, 0, 0))  # noqa: B023
        assert answer == ("NotJobs", (sender,))
    assert budgets.call("JOBS") == cast.ground.jobs.address


def test_a_job_with_a_budget_takes_no_member_without_its_own_granted_dataset(cast: Cast, dataset: int) -> None:
    job, (node, other, _) = cast.job(**ASKED), cast.europe
    fresh = register(cast, other, number=2)
    assert refused(lambda: job.join(node, 0)) == ("DatasetRequired", (job.id,))
    assert refused(lambda: job.join(node, 0, 99)) == ("UnknownDataset", (99,))
    assert refused(lambda: job.join(other, 0, dataset)) == ("NotHolder", (dataset, other))
    assert refused(lambda: job.join(other, 0, fresh)) == ("GrantOver", (fresh, 0))
    until = cast.ground.chain.now + 10
    grant(cast, dataset, valid_s=10)
    cast.ground.chain.to(until)
    assert refused(lambda: job.join(node, 0, dataset)) == ("GrantOver", (dataset, until))
    assert not job.call("memberOf", node)["joined"]


def test_a_job_without_a_budget_takes_members_as_ever_and_no_dataset(cast: Cast, dataset: int) -> None:
    job = cast.job()
    assert refused(lambda: job.join(cast.europe[0], 0, dataset)) == ("NoBudget", (job.id,))
    job.join(cast.europe[0], 0)
    assert job.call("memberOf", cast.europe[0])["dataset"] == 0
    assert reserved(cast, dataset) == (0, 0)


def test_jobs_add_up_and_the_refusal_above_the_grant_says_what_is_left(cast: Cast, dataset: int) -> None:
    node = cast.europe[0]
    for _ in range(2):
        job = cast.job(**ASKED)
        assert job.join(node, 0, dataset).event("MemberJoined") == {
            "job": job.id,
            "shard": 0,
            "node": node,
            "dataset": dataset,
        }
    assert reserved(cast, dataset) == (2_000_006, 14)
    third = cast.job(**ASKED)
    assert refused(lambda: third.join(node, 0, dataset)) == ("BudgetExceeded", (dataset, 499_994, 6))
    grant(cast, dataset, epsilon=3_000_009, delta=20)
    assert refused(lambda: third.join(node, 0, dataset)) == ("BudgetExceeded", (dataset, 1_000_003, 6))
    grant(cast, dataset, epsilon=3_000_009, delta=21)
    third.join(node, 0, dataset)
    assert reserved(cast, dataset) == (3_000_009, 21)


def test_a_grant_below_what_is_reserved_leaves_nothing(cast: Cast, dataset: int) -> None:
    first, second = cast.job(**ASKED), cast.job(**ASKED)
    first.join(cast.europe[0], 0, dataset)
    grant(cast, dataset, epsilon=5, delta=1)
    assert refused(lambda: second.join(cast.europe[0], 0, dataset)) == ("BudgetExceeded", (dataset, 0, 0))
    assert reserved(cast, dataset) == (1_000_003, 7)


def test_leaving_before_the_start_returns_everything_and_the_node_may_join_again(cast: Cast, dataset: int) -> None:
    job, node = cast.job(**ASKED), cast.europe[0]
    for _ in range(3):
        job.join(node, 0, dataset)
        assert reserved(cast, dataset) == (1_000_003, 7)
        left = job.send(node, "leave")
        assert left.names() == ["MemberLeft", "BudgetReturned"]
        assert left.event("BudgetReturned") == {"dataset": dataset, "job": job.id, "node": node, **ASKED}
        assert reserved(cast, dataset) == (0, 0)
        assert refused(lambda: give_back(cast, node, job, node, 0, 0)) == ("NothingReserved", (job.id, node))


def test_no_reservation_ends_while_its_job_may_still_spend(cast: Cast, dataset: int) -> None:
    node, stranger = cast.europe[0], cast.stranger
    job = training(cast, dataset)
    assert refused(lambda: give_back(cast, node, job, stranger, 0, 0)) == ("NothingReserved", (job.id, stranger))
    assert refused(lambda: give_back(cast, stranger, job, node, 0, 0)) == ("NotDatasetOwner", (dataset, stranger))
    for sender in (node, cast.owner):
        answer = refused(lambda: give_back(cast, sender, job, node, 0, 0))  # noqa: B023
        assert answer == ("ReservationInUse", (job.id, node, TRAINING))
    assert reserved(cast, dataset) == (1_000_003, 7)


@pytest.mark.parametrize("leaves", [True, False], ids=["left", "cancelled"])
def test_who_never_committed_may_get_everything_back(cast: Cast, dataset: int, leaves: bool) -> None:
    job, node = training(cast, dataset), cast.europe[0]
    job.send(*((node, "leave") if leaves else (cast.owner, "cancel")))
    assert reserved(cast, dataset) == (1_000_003, 7)
    told = give_back(cast, node, job, node, 0, 0)
    assert told.event("BudgetReturned") == {"dataset": dataset, "job": job.id, "node": node, **ASKED}
    assert reserved(cast, dataset) == (0, 0)
    assert cast.ground.budgets.call("hasReturned", job.id, node)
    assert refused(lambda: give_back(cast, node, job, node, 0, 0)) == ("NothingReserved", (job.id, node))


def test_what_was_spent_is_at_least_the_share_of_the_rounds_and_at_most_the_budget(cast: Cast, dataset: int) -> None:
    job, node = training(cast, dataset, globalRounds=3, maxRegionalRounds=1, maxRetries=1), cast.europe[0]
    cast.reported(job)
    cast.ground.chain.to(job.state["deadline"])
    job.send(cast.stranger, "advance")
    job.vote_global(cast.eu_committee[0])
    for member in cast.europe:
        job.commit(member)
    job.send(cast.owner, "cancel")
    # Two of the six rounds that retries allow for, rounded up: 333 334.33 and 2.33.
    for epsilon, delta in ((333_334, 3), (333_335, 2), (1_000_004, 7), (1_000_003, 8)):
        answer = refused(lambda: give_back(cast, node, job, node, epsilon, delta))  # noqa: B023
        assert answer == ("InvalidSpending", (333_335, 3))
    told = give_back(cast, cast.owner, job, node, 800_000, 7).event("BudgetReturned")
    assert (told["epsilonMicros"], told["deltaAttos"]) == (200_003, 0)
    assert reserved(cast, dataset) == (800_000, 7)


def test_rounds_of_a_shard_that_opened_again_count_for_no_more_than_all(cast: Cast, dataset: int) -> None:
    job, node = training(cast, dataset, globalRounds=1, maxRegionalRounds=1, maxRetries=1, minShards=1), cast.europe[0]
    cast.collected(job)
    for _ in range(2):
        job.pass_deadline(0)
        job.send(cast.stranger, "advanceShard", 0)
    assert job.shard()["regionalRound"] == 1
    cast.collected(job)
    job.send(cast.owner, "cancel")
    assert refused(lambda: give_back(cast, node, job, node, 1_000_002, 7)) == ("InvalidSpending", (1_000_003, 7))
    give_back(cast, node, job, node, 1_000_003, 7)
    assert reserved(cast, dataset) == (1_000_003, 7)
