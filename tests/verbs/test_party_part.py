"""What a party is to do in its job, as its status tells it from one act to the next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from aggregator.journal import GLOBAL, AggregatorJournal, StoredPayload, Unmerged
from domicile.types import JobId
from node.journal import NodeJournal, SealedUpdate, Skipped
from tests.verbs.job_ground import DIGEST, HOSPITALS, PARTIES, REGION, Region, as_new, commit
from tests.verbs.merged_round import export, vote, vote_globally

JOB = JobId(1)
EUROPEANS = [name for name, place in HOSPITALS.items() if REGION[place] == "EU"]


@pytest.fixture(scope="module")
def settled_with_a_job(settled_region: Region) -> Iterator[Region]:
    with as_new(settled_region):
        settled_region.orders()
        settled_region.gather(JOB)
        yield settled_region


@pytest.fixture
def gathered(settled_with_a_job: Region) -> Iterator[Region]:
    """All hospitals are members of a job that has not started yet."""
    with as_new(settled_with_a_job):
        yield settled_with_a_job


def doing(region: Region, name: str) -> str:
    """In its shard."""
    (job,) = region.party("status", name).data["jobs"]
    (shard,) = job["shards"].values()
    return str(shard["doing"])


def test_a_node_trains_seals_commits_and_waits(gathered: Region) -> None:
    assert doing(gathered, "berlin") == "nothing to do"
    gathered.does("start", JOB)
    assert doing(gathered, "berlin").startswith("is to train and commit until 20")
    with closing(NodeJournal(gathered.journal_of("berlin"))) as journal:
        journal.record_update(
            JOB, SealedUpdate(global_round=0, regional_round=0, digest=DIGEST, num_steps=1, sealed_bytes=1)
        )
    assert doing(gathered, "berlin").startswith("trained and sealed its update, is to commit it until 20")
    commit(gathered, "berlin", JOB)
    assert doing(gathered, "berlin") == "committed its update of this round, waits for the others"


@pytest.mark.parametrize("act", ["train", "store"])
def test_a_node_that_gave_up_an_update_sits_the_round_out_and_says_why(gathered: Region, act: str) -> None:
    gathered.does("start", JOB)
    with closing(NodeJournal(gathered.journal_of("berlin"))) as journal:
        journal.record_skipped(JOB, Skipped(act=act, global_round=0, regional_round=0, reason="the loss is not finite"))
    assert doing(gathered, "berlin") == "sits this round out"
    assert f"  gave up to {act} in round 1.1: the loss is not finite" in gathered.status_of("berlin")


def test_a_committee_member_waits_merges_votes_and_exports(gathered: Region) -> None:
    gathered.does("start", JOB)
    assert doing(gathered, "eu-agg").startswith("waits for updates until 20")
    for name in EUROPEANS:
        commit(gathered, name, JOB)
    assert doing(gathered, "eu-agg").startswith("is to merge and vote until 20")
    vote(gathered, JOB, 0)
    assert doing(gathered, "eu-agg").startswith("is to export the model until 20")
    assert doing(gathered, "paris") == "committed its update of this round, waits for the others"


def test_the_global_committee_s_turn_comes_when_the_shards_have_exported(gathered: Region) -> None:
    gathered.does("start", JOB)
    for name in HOSPITALS:
        commit(gathered, name, JOB)
    for shard in (0, 1):
        assert "  on the global committee: waits for the shards" in gathered.status_of("world-agg")
        vote(gathered, JOB, shard)
        export(gathered, JOB, shard)
    assert "  on the global committee: is to merge and vote until 20" in gathered.status_of("world-agg")[-1]
    vote_globally(gathered, JOB)
    assert gathered.status_of("world-agg")[-2:] == [
        "job 1: training, global round 2",
        "  on the global committee: waits for the shards",
    ]
    assert doing(gathered, "boston").startswith("is to train and commit until 20")


def test_a_global_model_is_told_by_its_global_round_alone(gathered: Region) -> None:
    with closing(AggregatorJournal(gathered.journal_of("world-agg"))) as journal:
        journal.record_payload(
            JOB,
            StoredPayload(
                shard=GLOBAL,
                global_round=0,
                regional_round=0,
                kind="global",
                model=DIGEST,
                digest=DIGEST,
                sealed_bytes=1,
            ),
        )
    assert gathered.status_of("world-agg")[-1] == "  last sealed: global model of round 1"


def test_a_member_says_why_it_makes_no_model_of_a_round(gathered: Region) -> None:
    gathered.does("start", JOB)
    why = "median against 1 hostile needs 3 contributions (n >= 2f + 1), 2 are usable"
    with closing(AggregatorJournal(gathered.journal_of("eu-agg"))) as journal:
        journal.record_unmerged(JOB, Unmerged(shard=0, global_round=0, regional_round=1, reason=why))
    assert gathered.status_of("eu-agg")[-1] == f"  no model of round 1.2: {why}"


def test_a_party_that_the_gate_refuses_is_told_so_beside_what_it_is_to_do(gathered: Region) -> None:
    gathered.does("start", JOB)
    gathered.governs(gathered.nodes.suspend(PARTIES["world-agg"].address, DIGEST))
    line = "  on the global committee: waits for the shards; refused now: suspended, an auditor has suspended it"
    assert any(one.startswith(line) for one in gathered.status_of("world-agg"))


def test_a_party_that_declined_its_job_takes_no_part(gathered: Region) -> None:
    gathered.does("start", JOB)
    for name, kind in (("berlin", NodeJournal), ("eu-agg", AggregatorJournal)):
        with closing(kind(gathered.journal_of(name))) as journal:
            journal.record_declined(JOB, "its task is not approved")
        assert doing(gathered, name) == "takes no part"
        assert "  stays out: its task is not approved" in gathered.status_of(name)


def test_a_job_that_is_over_leaves_nothing_to_do(gathered: Region) -> None:
    gathered.does("start", JOB)
    gathered.does("cancel", JOB, "--yes")
    assert doing(gathered, "berlin") == "nothing to do"
    assert "  on the global committee: nothing to do" in gathered.status_of("world-agg")


def test_retiring_needs_no_store(gathered: Region) -> None:
    gathered.does("cancel", JOB, "--yes")
    gathered.rewrite(gathered.config("berlin"), '"dir:../EU"', '"http://127.0.0.1:1"')
    assert gathered.party("retire", "berlin", "--yes").code == 0


def test_a_journal_of_another_deployment_tells_nothing_and_is_not_written(gathered: Region) -> None:
    gathered.journal_of("berlin").unlink()
    with closing(NodeJournal(gathered.journal_of("berlin"))) as journal:
        journal.bind("the first")
    told = gathered.party("status", "berlin")
    assert (told.code, "belongs to another deployment, the first" in told.data["journal"]) == (0, True)
    left = gathered.node("leave", JOB, "berlin", "--yes")
    assert (left.code, "belongs to another deployment, the first" in left.err) == (2, True)
    with closing(NodeJournal(gathered.journal_of("berlin"))) as journal:
        assert not journal.has_left(JOB)
