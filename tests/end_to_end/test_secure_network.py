"""Whole jobs under secure aggregation: what the committee learns is the sum, whoever falls silent or lies."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from aggregator.journal import AggregatorJournal
from domicile.errors import Refused
from domicile.learning.model import ModelMetadata
from domicile.protocol.proposal import NodeExclusion, SurvivorsProposal
from domicile.protocol.round import ExclusionReason, JobPhase, ShardPhase
from domicile.secure_sum.grid import Grid
from domicile.types import JobId, ShardIndex
from node.daemon import NodeDaemon
from node.journal import NodeJournal
from node.training import LocalTrainer
from scripts.sandbox.run import Outcome
from tests.end_to_end.conftest import Arena, SmallNetwork
from tests.end_to_end.test_private_network import PrivateNetwork

pytestmark = [pytest.mark.slow, pytest.mark.timeout(170)]

BOUND = 4.0
"""Above the norm of every update here, so that nothing is clipped and a plain job merges the same."""

MAX_EXAMPLES = 100
BOUNDS = f"max_update_norm = {BOUND}\nsecure = {{ max_examples = {MAX_EXAMPLES} }}"
FLOAT32 = 1e-6
"""What rounding each step to float32 makes of models whose values are about 1."""


@dataclass(kw_only=True)
class SecureNetwork(SmallNetwork):
    """Its job asks for secure aggregation."""

    aggregation: str = "secure"
    bounds: str = BOUNDS


@dataclass(kw_only=True)
class SecurePrivateNetwork(PrivateNetwork):
    """Its job asks for privacy of rows, too."""

    aggregation: str = "secure"
    bounds: str = BOUNDS


class Puppet:
    """A node whose daemon goes step by step in the test's own hands."""

    def __init__(self, field: Arena, name: str) -> None:
        field.processes.kill(name)
        self.party = field.party(name)
        config = field.node_config(name)
        self.daemon = NodeDaemon(config, self.party, NodeJournal(config.journal), LocalTrainer())


def phase_of(outcome: Outcome) -> JobPhase:
    return outcome.observer.history.job_phases[-1].phase


def names_in(outcome: Outcome, key: tuple[int, int, int]) -> tuple[list[str], list[str]]:
    """Survivors of a round, and who answered to them."""
    history, names = outcome.observer.history, outcome.ground.names
    survivors = [names[node] for node in history.survivors[key].nodes]
    return sorted(survivors), sorted(names[event.node] for event in history.unmaskings_of(key))


def global_model(outcome: Outcome, number: int) -> tuple[torch.Tensor, ModelMetadata]:
    values_P = torch.empty(outcome.models.layout.num_parameters)
    return values_P, outcome.models.global_model(number, values_P).metadata


def losses(outcome: Outcome) -> list[int]:
    return [event.loss_micros for event in outcome.observer.history.regional_models.values()]


def test_a_secure_job_of_two_members_agrees_on_the_models_of_the_plain_job_up_to_the_grid(
    arena, small_network, tmp_path: Path
) -> None:
    plain = arena(small_network(global_rounds=2), folder=tmp_path / "plain").run(lambda _: None)
    field = arena(SecureNetwork(global_rounds=2, committee=("agg-1", "agg-2"), quorum=2), folder=tmp_path / "secure")
    secure = field.run(lambda _: None)
    for outcome in (plain, secure):
        assert phase_of(outcome) is JobPhase.COMPLETE
        assert outcome.lineage.verified, outcome.lineage.problems
    for key in ((0, 0, 0), (0, 1, 0)):
        survivors, answered = names_in(secure, key)
        assert survivors == ["a", "b", "c", "d"]
        assert len(answered) >= 3
    step = Grid(max_norm=BOUND, num_nodes=4, weight_units=MAX_EXAMPLES).step
    # Of 40 rows a node trains on 26 at least.
    for number, off in enumerate((step * MAX_EXAMPLES / 26 + FLOAT32, 10 * FLOAT32)):
        (plain_P, plainly), (secure_P, securely) = global_model(plain, number), global_model(secure, number)
        assert float((plain_P - secure_P).abs().max()) <= off
        assert securely.num_examples == plainly.num_examples
        assert securely.test is not None
        assert plainly.test is not None
        assert (securely.test.count, securely.test.correct) == (plainly.test.count, plainly.test.correct)
        assert securely.test.loss_sum == pytest.approx(plainly.test.loss_sum, abs=1e-4)
    assert losses(secure) == pytest.approx(losses(plain), abs=5)


def test_nodes_may_fall_silent_before_they_commit_and_after(arena) -> None:
    field = arena(SecureNetwork(nodes=("a", "b", "c", "d", "e"), global_rounds=1, window_s=10))
    silent: list[Puppet] = []

    def silence(view) -> None:
        if len(view.shards[0].members) == 5 and not silent:
            field.processes.kill("e")
            silent.append(Puppet(field, "d"))
        if silent and view.phase is JobPhase.TRAINING and "d" not in view.shards[0].committed:
            silent[0].daemon.step()

    outcome = field.run(silence)
    assert phase_of(outcome) is JobPhase.COMPLETE
    assert outcome.lineage.verified, outcome.lineage.problems
    assert names_in(outcome, (0, 0, 0)) == (["a", "b", "c", "d"], ["a", "b", "c"])
    assert outcome.lineage.models[-1].from_regions[0].rounds[-1].excluded == ()


@pytest.mark.chaos
def test_a_round_with_answers_below_the_threshold_fails_and_the_job_goes_on_with_the_next(arena) -> None:
    field = arena(SecureNetwork(nodes=("a", "b", "c", "d"), global_rounds=1, window_s=6))
    silent: dict[str, Puppet] = {}

    def silence(view) -> None:
        shard = view.shards[0]
        if len(shard.members) == 4 and not silent:
            silent.update({name: Puppet(field, name) for name in ("c", "d")})
        if not silent or view.phase is not JobPhase.TRAINING:
            return
        for name, puppet in silent.items():
            # In the round that is tried anew they do all that is to be done.
            if shard.regional_round == 1 or name not in shard.committed:
                puppet.daemon.step()

    outcome = field.run(silence)
    assert phase_of(outcome) is JobPhase.COMPLETE
    assert outcome.lineage.verified, outcome.lineage.problems
    assert names_in(outcome, (0, 0, 0)) == (["a", "b", "c", "d"], ["a", "b"])
    assert (0, 0, 0) not in outcome.observer.history.regional_models
    assert len(names_in(outcome, (0, 0, 1))[1]) >= 3


@pytest.mark.chaos
def test_a_member_that_lies_about_survivors_is_outvoted(arena) -> None:
    field = arena(SecureNetwork(global_rounds=1, window_s=10, committee=("agg-1", "agg-2", "agg-3"), quorum=2))
    field.processes.kill("agg-2")
    liar = field.liar("agg-2")
    victim = field.ground.addresses["a"]
    lies: list[SurvivorsProposal] = []

    def lie(view) -> None:
        shard = view.shards[0]
        if view.phase is not JobPhase.TRAINING or shard.phase is not ShardPhase.AGGREGATING or lies:
            return
        proposal = SurvivorsProposal(
            global_round=view.global_round,
            regional_round=shard.regional_round,
            commitments=liar.jobs.commitments_of(JobId(1), ShardIndex(0)),
            excluded=(NodeExclusion(node=victim, reason=ExclusionReason.MALFORMED),),
        )
        try:
            liar.sender.act(liar.board.vote_survivors(JobId(1), ShardIndex(0), proposal))
        except Refused:
            return
        lies.append(proposal)

    outcome = field.run(lie)
    assert phase_of(outcome) is JobPhase.COMPLETE
    assert outcome.lineage.verified, outcome.lineage.problems
    assert outcome.observer.history.survivors[0, 0, 0].proposal not in lies
    assert names_in(outcome, (0, 0, 0))[0] == ["a", "b", "c", "d"]


def test_privacy_of_rows_and_secure_sums_work_side_by_side(arena) -> None:
    outcome = arena(SecurePrivateNetwork(global_rounds=2)).run(lambda _: None)
    assert phase_of(outcome) is JobPhase.COMPLETE
    assert outcome.lineage.verified, outcome.lineage.problems
    assert losses(outcome) == [0, 0]
    assert len(outcome.observer.history.survivors) == 2


@pytest.mark.chaos
def test_garbage_is_left_out_of_the_sum_and_spoiled_shares_or_masks_fail_the_round_alone(
    arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    field = arena(SecureNetwork(global_rounds=3, window_s=10))
    bad: list[Puppet] = []

    def spoil(view) -> None:
        shard = view.shards[0]
        if len(shard.members) == 4 and not bad:
            bad.append(Puppet(field, "d"))
        if not bad or view.phase is not JobPhase.TRAINING or shard.regional_round or "d" in shard.committed:
            return
        with monkeypatch.context() as patch:
            SPOILERS[view.global_round](patch)
            bad[0].daemon.step()

    outcome = field.run(spoil)
    assert phase_of(outcome) is JobPhase.COMPLETE
    assert outcome.lineage.verified, outcome.lineage.problems
    history = outcome.observer.history
    assert names_in(outcome, (0, 0, 0))[0] == ["a", "b", "c"]
    assert [one.reason for one in history.survivors[0, 0, 0].excluded] == [ExclusionReason.MALFORMED]
    assert {key for key in history.regional_models if key[1]} == {(0, 1, 1), (0, 2, 1)}
    member = AggregatorJournal(field.ground.party_folder("agg-1") / "journal.sqlite")
    named = {(one.global_round, one.subject, one.reason) for one in member.left_out(JobId(1)) if not one.regional_round}
    member.close()
    vandal = field.ground.addresses["d"]
    assert named == {(0, vandal, "MALFORMED"), (1, vandal, "BAD_SHARES")}
    log = (field.ground.party_folder("agg-1") / "log.jsonl").read_text(encoding="utf-8")
    assert "a survivor's masks or values are garbage" in log


def _no_sheet(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("domicile.secure_sum.masking.deal_sheet", lambda *_: os.urandom(500))


def _spoiled_shares(patch: pytest.MonkeyPatch) -> None:
    """Every column is sealed under a key that its holder does not have."""
    patch.setattr("domicile.secure_sum.seeds.PairSecrets.column_key", lambda *_: os.urandom(32))


def _spoiled_masks(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("domicile.secure_sum.masking.Masks.apply", lambda *_: None)


SPOILERS: dict[int, Callable[[pytest.MonkeyPatch], None]] = {0: _no_sheet, 1: _spoiled_shares, 2: _spoiled_masks}
