"""Members that drop out of a round in the middle of it: an attestation that lapses, a training that diverges."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

from domicile.chain.account import Signer
from domicile.chain.client import Chain
from domicile.participation import Absence
from domicile.protocol.attestation import Attestation
from domicile.protocol.eligibility import Refusal
from domicile.protocol.refusals import NotEligible
from domicile.protocol.round import ExclusionReason, JobPhase, ShardPhase
from domicile.types import Digest, JobId, JurisdictionCode
from node.daemon import NodeDaemon
from node.journal import NodeJournal
from node.training import LocalTrainer
from scripts.sandbox.bring_up import ATTESTER
from scripts.sandbox.keys import sandbox_secret
from tests.end_to_end.conftest import SmallNetwork

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

VALID_S = 200
WINDOW_S = 600
"""Seconds of the chain's clock, which the test moves on."""


class LapsingNode:
    """A member in the test's own hands, attested anew for a short time. MUST be made while the job is joining."""

    def __init__(self, field, name: str, place: str) -> None:
        config = field.node_config(name)
        field.processes.kill(name)
        self.party = field.party(name)
        self.daemon = NodeDaemon(config, self.party, NodeJournal(config.journal), LocalTrainer())
        self.valid_until_s = field.ground.chain.timestamp() + VALID_S
        attestation = Attestation(
            node=self.party.sender.address,
            jurisdiction=JurisdictionCode(place),
            assurance=0,
            evidence=Digest(os.urandom(32)),
            valid_from_s=self.valid_until_s - 2 * VALID_S,
            valid_until_s=self.valid_until_s,
            nonce=self.party.nodes.standing_of(self.party.sender.address).nonce,
        )
        document = self.party.nodes.typed_data(attestation)
        signers = sorted(
            (Signer.from_key(sandbox_secret(7, f"{ATTESTER}-{number}", "account")) for number in range(3)),
            key=lambda one: one.address.lower(),
        )
        quorum = self.party.nodes.standing_of(self.party.sender.address).quorum
        signatures = [one.sign_typed_data(document) for one in signers[:quorum]]
        field.governor().act(self.party.nodes.attest(attestation, signatures))
        while not self.party.jobs.member_of(JobId(1), self.party.sender.address).joined:
            self.daemon.step()


def move_clock(chain: Chain, until_s: int) -> None:
    chain.request("evm_setNextBlockTimestamp", until_s)
    chain.request("evm_mine")


def test_an_attestation_that_lapses_stops_a_commit_and_takes_one_out_of_the_merge(arena, small_network):
    field = arena(small_network(nodes=("a", "b", "c", "d", "e"), global_rounds=1, window_s=WINDOW_S))
    chain = field.ground.chain
    lapsing: dict[str, LapsingNode] = {}
    refused: list[Refusal] = []

    def let_time_pass(view) -> None:
        shard = view.shards[0]
        if not lapsing:
            lapsing.update(d=LapsingNode(field, "d", "FR"), e=LapsingNode(field, "e", "DE"))
        if view.phase is not JobPhase.TRAINING or shard.phase is not ShardPhase.COLLECTING or refused:
            return
        if "d" not in shard.committed:
            lapsing["d"].daemon.step()
        elif {"a", "b", "c"} <= set(shard.committed):
            move_clock(chain, max(one.valid_until_s for one in lapsing.values()))
            lapsing["e"].daemon.step()
            with pytest.raises(NotEligible) as exc:
                lapsing["e"].party.sender.act(lapsing["e"].party.jobs.commit(JobId(1), 0, 0, Digest(b"\1" * 32)))
            refused.append(exc.value.reason)
            move_clock(chain, shard.deadline_s)

    outcome = field.run(let_time_pass)
    history = outcome.observer.history
    assert refused == [Refusal.ATTESTATION_EXPIRED]
    assert ("e", "commit", "ATTESTATION_EXPIRED") in outcome.refusals
    assert history.job_phases[-1].phase is JobPhase.COMPLETE
    assert outcome.lineage.verified, outcome.lineage.problems
    (accepted,) = history.regional_models.items()
    key, model = accepted
    left_out = history.regional_tally(key, model.payload).proposal.excluded
    assert [(outcome.ground.names[one.node], one.reason) for one in left_out] == [("d", ExclusionReason.INELIGIBLE)]
    included = outcome.lineage.models[-1].from_regions[0].rounds[-1].included
    assert sorted(outcome.ground.names[node] for node, _ in included) == ["a", "b", "c"]
    assert {outcome.ground.names[event.node] for event in history.commits_of(key)} == {"a", "b", "c", "d"}
    (told,) = outcome.observer.participation()[0].shards[0].rounds
    assert {one.node: (one.cause, one.reason) for one in told.left_out} == {
        "d": (Absence.EXCLUDED, "ineligible"),
        "e": (Absence.REFUSED, "attestation_expired"),
    }


class SteepNetwork(SmallNetwork):
    """Inputs are not standardised, and those of node ``d`` are so large that its training diverges."""

    def write(self, folder: Path) -> Path:
        super().write(folder)
        job = folder / "job.toml"
        job.write_text(job.read_text().replace('target = "y"', 'target = "y"\nstandardize = false'), encoding="utf-8")
        with (folder / "d.csv").open(newline="", encoding="utf-8") as file:
            header, *rows = csv.reader(file)
        with (folder / "d.csv").open("w", newline="", encoding="utf-8") as file:
            csv.writer(file).writerows([header, *([f"{float(x1) * 1e30}", x2, y] for x1, x2, y in rows)])
        return folder


def test_a_training_that_diverges_gives_up_its_rounds_once_each_and_the_node_lives(arena):
    field = arena(SteepNetwork(global_rounds=2, window_s=4))
    outcome = field.run(lambda _: None)
    assert outcome.observer.history.job_phases[-1].phase is JobPhase.COMPLETE
    assert field.processes.ended() == {}
    journal = NodeJournal(field.node_config("d").journal)
    skipped = [one for one in journal.skipped(outcome.job) if one.act == "train"]
    journal.close()
    assert [(one.global_round, one.regional_round) for one in skipped] == [(0, 0), (1, 0)]
    assert all("learning_rate" in one.reason for one in skipped)
    lines = (field.ground.party_folder("d") / "log.jsonl").read_text().splitlines()
    told = [line for line in map(json.loads, lines) if line["event"] == "given_up" and line["act"] == "train"]
    assert len(told) == len(skipped)
    last = outcome.lineage.models[-1].from_regions[0].rounds[-1]
    assert sorted(outcome.ground.names[node] for node, _ in last.included) == ["a", "b", "c"]
