"""What a party is to do in its job, as its status tells it from one act to the next."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from aggregator.journal import GLOBAL, AggregatorJournal, StoredPayload
from domicile.chain.devnet import Devnet
from domicile.protocol.proposal import GlobalProposal, RegionalProposal
from domicile.types import JobId, ShardIndex
from node.journal import NodeJournal, SealedUpdate, Skipped
from tests.verbs.job_ground import DIGEST, HOSPITALS, PARTIES, REGION, Region, as_new, commit, settle
from tests.verbs.network_ground import domicile

JOB = JobId(1)
EUROPEANS = [name for name, place in HOSPITALS.items() if REGION[place] == "EU"]


@pytest.fixture(scope="module")
def settled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Region]:
    with Devnet() as devnet:
        yield settle(tmp_path_factory.mktemp("region"), devnet)


@pytest.fixture
def region(settled: Region) -> Iterator[Region]:
    with as_new(settled):
        settled.orders()
        settled.gather(JOB)
        yield settled


def status(region: Region, name: str) -> list[str]:
    path = region.config(name)
    told = domicile(path.stem, "status", path)
    assert (told.code, told.err) == (0, "")
    return told.out.splitlines()


def doing(region: Region, name: str) -> str:
    """In its shard."""
    path = region.config(name)
    told = domicile(path.stem, "status", path, "--json")
    (job,) = told.data["jobs"]
    (shard,) = job["shards"].values()
    return str(shard["doing"])


def journal_of(region: Region, name: str) -> Path:
    return region.config(name).parent / "journal.sqlite"


def test_a_node_trains_seals_commits_and_waits(region: Region) -> None:
    assert doing(region, "berlin") == "nothing to do"
    region.does("start", JOB)
    assert doing(region, "berlin").startswith("is to train and commit until 20")
    with closing(NodeJournal(journal_of(region, "berlin"))) as journal:
        journal.record_update(
            JOB, SealedUpdate(global_round=0, regional_round=0, digest=DIGEST, num_steps=1, sealed_bytes=1)
        )
    assert doing(region, "berlin").startswith("trained and sealed its update, is to commit it until 20")
    commit(region, "berlin", JOB)
    assert doing(region, "berlin") == "committed its update of this round, waits for the others"


@pytest.mark.parametrize("act", ["train", "store"])
def test_a_node_that_gave_up_an_update_sits_the_round_out_and_says_why(region: Region, act: str) -> None:
    region.does("start", JOB)
    with closing(NodeJournal(journal_of(region, "berlin"))) as journal:
        journal.record_skipped(JOB, Skipped(act=act, global_round=0, regional_round=0, reason="the loss is not finite"))
    assert doing(region, "berlin") == "sits this round out"
    assert f"  gave up to {act} in round 1.1: the loss is not finite" in status(region, "berlin")


def vote(region: Region, member: str, shard: int) -> None:
    """What a committee member does once it has merged the first round."""
    proposal = RegionalProposal(
        global_round=0,
        regional_round=0,
        commitments=region.jobs.commitments_of(JOB, ShardIndex(shard)),
        model=DIGEST,
        payload=DIGEST,
        loss_micros=1_000,
        excluded=(),
    )
    region.acts(member, region.jobs.vote_regional(JOB, ShardIndex(shard), proposal))


def test_a_committee_member_waits_merges_votes_and_exports(region: Region) -> None:
    region.does("start", JOB)
    assert doing(region, "eu-agg").startswith("waits for updates until 20")
    for name in EUROPEANS:
        commit(region, name, JOB)
    assert doing(region, "eu-agg").startswith("is to merge and vote until 20")
    vote(region, "eu-agg", 0)
    assert doing(region, "eu-agg").startswith("is to export the model until 20")
    assert doing(region, "paris") == "committed its update of this round, waits for the others"


def test_the_global_committee_s_turn_comes_when_the_shards_have_exported(region: Region) -> None:
    region.does("start", JOB)
    for name in HOSPITALS:
        commit(region, name, JOB)
    for shard, member in enumerate(("eu-agg", "us-agg")):
        assert "  on the global committee: waits for the shards" in status(region, "world-agg")
        vote(region, member, shard)
        region.acts(member, region.jobs.report_export(JOB, ShardIndex(shard), 0, DIGEST))
    assert "  on the global committee: is to merge and vote until 20" in status(region, "world-agg")[-1]
    proposal = GlobalProposal(
        global_round=0, reports=region.jobs.reports_of(JOB), model=DIGEST, payload=DIGEST, excluded=()
    )
    region.acts("world-agg", region.jobs.vote_global(JOB, proposal))
    assert status(region, "world-agg")[-2:] == [
        "job 1: training, global round 2",
        "  on the global committee: waits for the shards",
    ]
    assert doing(region, "boston").startswith("is to train and commit until 20")


def test_a_global_model_is_told_by_its_global_round_alone(region: Region) -> None:
    with closing(AggregatorJournal(journal_of(region, "world-agg"))) as journal:
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
    assert status(region, "world-agg")[-1] == "  last sealed: global model of round 1"


def test_a_party_that_the_gate_refuses_is_told_so_beside_what_it_is_to_do(region: Region) -> None:
    region.does("start", JOB)
    region.governs(region.nodes.suspend(PARTIES["world-agg"].address, DIGEST))
    line = "  on the global committee: waits for the shards; refused now: suspended, an auditor has suspended it"
    assert any(one.startswith(line) for one in status(region, "world-agg"))


def test_a_party_that_declined_its_job_takes_no_part(region: Region) -> None:
    region.does("start", JOB)
    for name, kind in (("berlin", NodeJournal), ("eu-agg", AggregatorJournal)):
        with closing(kind(journal_of(region, name))) as journal:
            journal.record_declined(JOB, "its task is not approved")
        assert doing(region, name) == "takes no part"
        assert "  stays out: its task is not approved" in status(region, name)


def test_a_job_that_is_over_leaves_nothing_to_do(region: Region) -> None:
    region.does("start", JOB)
    region.does("cancel", JOB, "--yes")
    assert doing(region, "berlin") == "nothing to do"
    assert "  on the global committee: nothing to do" in status(region, "world-agg")


def test_retiring_needs_no_store(region: Region) -> None:
    region.does("cancel", JOB, "--yes")
    region.rewrite(region.config("berlin"), '"dir:../EU"', '"http://127.0.0.1:1"')
    assert domicile("node", "retire", region.config("berlin"), "--yes").code == 0


def test_a_journal_of_another_deployment_tells_nothing_and_is_not_written(region: Region) -> None:
    journal_of(region, "berlin").unlink()
    with closing(NodeJournal(journal_of(region, "berlin"))) as journal:
        journal.bind("the first")
    told = domicile("node", "status", region.config("berlin"), "--json")
    assert (told.code, "belongs to another deployment, the first" in told.data["journal"]) == (0, True)
    left = region.node("leave", JOB, "berlin", "--yes")
    assert (left.code, "belongs to another deployment, the first" in left.err) == (2, True)
    with closing(NodeJournal(journal_of(region, "berlin"))) as journal:
        assert not journal.has_left(JOB)
