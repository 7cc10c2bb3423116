"""Whole jobs: as they should go, with a node lost, with liars, and with the law changing in the middle."""

from __future__ import annotations

import os

import pytest
import torch

from aggregator.journal import AggregatorJournal
from domicile.chain.contracts import Jurisdictions, Nodes
from domicile.errors import Refused
from domicile.protocol.eligibility import Safeguard
from domicile.protocol.jurisdiction import Tier
from domicile.protocol.proposal import RegionalProposal
from domicile.protocol.round import NO_LOSS, ExclusionReason, JobPhase, ShardPhase
from domicile.types import Digest, JobId
from node.daemon import NodeDaemon
from node.journal import NodeJournal
from node.training import LocalTrainer
from scripts.sandbox.finish import build_report
from tests.end_to_end.bad_node import BadNode

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def final_phase(outcome):
    return outcome.observer.history.job_phases[-1].phase


def excluded(outcome):
    """``(global round, node, reason)`` of every accepted regional model."""
    history = outcome.observer.history
    return [
        (key[1], outcome.ground.names[one.node], one.reason)
        for key, accepted in history.regional_models.items()
        for one in history.regional_tally(key, accepted.payload).proposal.excluded
    ]


def test_a_job_goes_on_without_a_node_that_is_lost(arena, small_network):
    field = arena(small_network(global_rounds=3, window_s=5))
    killed = []

    def lose_one(view) -> None:
        if view.global_round == 1 and not killed:
            field.processes.kill("d")
            killed.append("d")

    outcome = field.run(lose_one)
    assert final_phase(outcome) is JobPhase.COMPLETE
    assert outcome.lineage.verified, outcome.lineage.problems
    last = outcome.lineage.models[-1].from_regions[0].rounds[-1]
    assert sorted(outcome.ground.names[node] for node, _ in last.included) == ["a", "b", "c"]


def test_garbage_is_left_out_with_its_reason_and_the_round_goes_on(arena, small_network):
    field = arena(small_network(global_rounds=6, window_s=20))
    bad = []

    def make(models, key) -> Digest:
        region, zeros = bad[0].party.region, torch.zeros(models.layout.num_parameters)
        return [
            lambda: region.put_bytes(os.urandom(3000)),
            lambda: bad[0].sealed(models, key, delta_P=zeros + float("nan")),
            lambda: bad[0].sealed(models, key, recipients=[models.history.created.owner]),
            lambda: Digest(os.urandom(32)),
            lambda: bad[0].sealed(models, (0, key[1], key[2] + 1)),
            lambda: bad[0].sealed(models, key, sender=field.ground.addresses["a"]),
        ][key[1]]()

    def misbehave(view) -> None:
        joined = "d" in view.shards[0].members
        if joined and not bad:
            field.processes.kill("d")
            bad.append(BadNode(field.party("d")))
        if bad:
            bad[0].commit_once(view, make)

    outcome = field.run(misbehave)
    assert final_phase(outcome) is JobPhase.COMPLETE
    assert outcome.lineage.verified, outcome.lineage.problems
    reasons = [reason for _, name, reason in excluded(outcome) if name == "d"]
    assert reasons == [
        ExclusionReason.UNOPENABLE,
        ExclusionReason.NOT_FINITE,
        ExclusionReason.UNOPENABLE,
        ExclusionReason.UNAVAILABLE,
        ExclusionReason.UNOPENABLE,
        ExclusionReason.UNOPENABLE,
    ]


def test_a_lying_committee_member_is_outvoted(arena, small_network):
    field = arena(small_network(global_rounds=2, window_s=6, committee=("agg-1", "agg-2", "agg-3"), quorum=2))
    field.processes.kill("agg-2")
    liar = field.liar("agg-2")
    lies: list[bytes] = []

    def lie(view) -> None:
        shard = view.shards[0]
        if view.phase is not JobPhase.TRAINING or shard.phase is not ShardPhase.AGGREGATING:
            return
        model = Digest(os.urandom(32))
        proposal = RegionalProposal(
            global_round=view.global_round,
            regional_round=shard.regional_round,
            commitments=liar.jobs.commitments_of(JobId(1), 0),
            model=model,
            payload=liar.region.put_bytes(b"nothing of the kind"),
            loss_micros=1,
            excluded=(),
        )
        try:
            liar.sender.act(liar.jobs.vote_regional(JobId(1), 0, proposal))
        except Refused:
            return
        lies.append(model)

    outcome = field.run(lie)
    assert lies
    assert final_phase(outcome) is JobPhase.COMPLETE
    assert outcome.lineage.verified, outcome.lineage.problems
    accepted = {event.model for event in outcome.observer.history.regional_models.values()}
    assert not accepted & set(lies)


@pytest.mark.chaos
def test_an_update_is_left_out_when_its_place_turns_prohibited_before_the_merge(arena, small_network):
    field = arena(small_network(global_rounds=2, window_s=20))
    held = {}

    def change_the_law(view) -> None:
        shard = view.shards[0]
        if {"c", "d"} <= set(shard.members) and not held:
            for name in ("c", "d"):
                field.processes.kill(name)
                config = field.node_config(name)
                party = field.party(name)
                held[name] = NodeDaemon(config, party, NodeJournal(config.journal), LocalTrainer())
        if not held or view.phase is not JobPhase.TRAINING:
            return
        if "d" not in shard.committed and "banned" not in held:
            held["d"].step()
        elif "banned" not in held:
            governor = field.governor()
            places = Jurisdictions(field.ground.chain, field.ground.deployment)
            governor.act(places.set_guardian(governor.address, True))
            governor.act(places.tighten("FR", Tier.PROHIBITED, Digest(b"\1" * 32)))
            held["banned"] = True
        else:
            held["d"].step()
            held["c"].step()

    outcome = field.run(change_the_law)
    assert (0, "d", ExclusionReason.INELIGIBLE) in excluded(outcome)
    assert final_phase(outcome) is JobPhase.COMPLETE
    assert outcome.lineage.verified, outcome.lineage.problems
    assert ("d", "commit", "TIER_FORBIDS") in outcome.refusals
    last = outcome.lineage.models[-1].from_regions[0].rounds[-1]
    assert sorted(outcome.ground.names[node] for node, _ in last.included) == ["a", "b", "c"]


@pytest.mark.chaos
def test_a_key_card_that_is_changed_to_nothing_locks_out_its_owner_alone(arena, small_network):
    field = arena(small_network(global_rounds=2, window_s=5, committee=("agg-1", "agg-2"), quorum=1))
    changed = []

    def change(view) -> None:
        if len(view.shards[0].members) == 4 and not changed:
            for party in (field.party("d"), field.liar("agg-2")):
                party.sender.act(party.nodes.update_key_card(Digest(os.urandom(32)), Safeguard.NONE))
                changed.append(party.sender.address)

    outcome = field.run(change)
    assert final_phase(outcome) is JobPhase.COMPLETE
    assert outcome.lineage.verified, outcome.lineage.problems
    last = outcome.lineage.models[-1].from_regions[0].rounds[-1]
    assert sorted(outcome.ground.names[node] for node, _ in last.included) == ["a", "b", "c"]
    journals = {name: NodeJournal(field.node_config(name).journal) for name in "abcd"}
    sizes = {update.sealed_bytes for journal in journals.values() for update in journal.updates(JobId(1))}
    assert len(sizes) == 1
    assert {one.recipient for one in journals["a"].locked_out(JobId(1))} == {changed[1]}
    assert all("nobody can seal to this party" in one.reason for one in journals["d"].skipped(JobId(1)))
    assert journals["d"].skipped(JobId(1))
    member = AggregatorJournal(field.ground.party_folder("agg-1") / "journal.sqlite")
    assert {one.recipient for one in member.locked_out(JobId(1))} == set(changed)
    for journal in (*journals.values(), member):
        journal.close()


def test_a_shard_with_too_few_contributors_exports_nothing(arena, small_network):
    field = arena(small_network(nodes=("a", "b", "c"), global_rounds=1, window_s=4, min_nodes=2, max_retries=0))
    killed = []

    def lose_one(view) -> None:
        if "c" in view.shards[0].members and not killed:
            field.processes.kill("c")
            killed.append("c")

    outcome = field.run(lose_one)
    history = outcome.observer.history
    assert final_phase(outcome) is JobPhase.FAILED
    assert [event.loss_micros for event in history.regional_models.values()] == [NO_LOSS]
    assert history.exports == {}
    assert outcome.lineage.verified, outcome.lineage.problems


def test_a_job_that_the_contract_does_not_let_start_is_cancelled_and_its_report_tells_why(arena, small_network):
    field = arena(small_network(nodes=("a", "b", "c"), global_rounds=1))
    governor, nodes = field.governor(), Nodes(field.ground.chain, field.ground.deployment)
    for name in ("b", "c"):
        governor.act(nodes.suspend(field.ground.addresses[name], Digest(b"\1" * 32)))
    outcome = field.run(lambda _: None)
    report = build_report(outcome)
    assert report.job.phase == "cancelled"
    assert [(one.node, one.action, one.reason) for one in report.refusals] == [
        ("b", "join", "SUSPENDED"),
        ("c", "join", "SUSPENDED"),
    ]
    assert report.nodes == report.rounds == []
    assert report.lineage.verified, report.lineage.problems
