"""Whoever comes second at ending a phase was refused nothing."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace

import pytest
from prometheus_client import REGISTRY

from domicile.chain.account import Signer
from domicile.chain.devnet import DEVELOPMENT_MNEMONIC
from domicile.chain.sender import Call, Receipt, Sender
from domicile.clock import DEFAULT_CLOCK, JobClock
from domicile.errors import Overtaken, Refused
from domicile.protocol.round import JobPhase
from domicile.settings import load_settings
from domicile.types import JobId
from node.config import NodeConfig
from node.daemon import NodeDaemon
from node.journal import NodeJournal
from node.training import LocalTrainer
from scripts.access import Access
from scripts.starting import started
from tests.scripts.doctor_ground import Clinic

JOB = JobId(1)
PAST_THE_JOIN_WINDOW_S = 3700


class Outrun(Sender):
    """Before each of its acts, another account does the same."""

    def __init__(self, clinic: Clinic) -> None:
        super().__init__(clinic.chain, clinic.party.sender.signer)
        self._faster = Sender(clinic.chain, Signer.from_mnemonic(DEVELOPMENT_MNEMONIC))

    def act(self, call: Call, clock: JobClock = DEFAULT_CLOCK) -> Receipt:
        self._faster.act(call, clock)
        return super().act(call, clock)


def refusals() -> dict[str, float]:
    return {
        sample.labels["reason"]: sample.value
        for metric in REGISTRY.collect()
        for sample in metric.samples
        if sample.name == "domicile_refusals_total"
    }


def test_a_node_that_another_party_outruns_notes_no_refusal(clinic: Clinic) -> None:
    clinic.pass_time(PAST_THE_JOIN_WINDOW_S)
    before = refusals()
    config = load_settings(clinic.config, NodeConfig)
    with closing(NodeJournal(config.journal)) as journal:
        party = replace(clinic.party, sender=Outrun(clinic))
        daemon = NodeDaemon(config, party, journal, LocalTrainer())
        while clinic.jobs.snapshot(JOB)[0].phase is JobPhase.JOINING:
            daemon.step()
        assert journal.refusals(JOB) == []
    assert refusals() == before


def test_whoever_starts_a_job_that_another_party_advances_is_told_what_became_of_it(clinic: Clinic) -> None:
    clinic.pass_time(PAST_THE_JOIN_WINDOW_S)
    file = clinic.folder / "access.toml"
    chain = f'rpc_url = "{clinic.devnet.rpc_url}"\ndeployment = "deployment.json"'
    file.write_text(f"[chain]\n{chain}\n", encoding="utf-8")
    with pytest.raises(Refused, match=r"^job 1 is failed and will not start any more; create another one$"):
        started(Access(file), JOB, Outrun(clinic))


@pytest.mark.parametrize("cause", ["WindowStillOpen", "NothingToAdvance"])
def test_it_is_told_by_what_follows_whether_that_has_a_window_or_not(clinic: Clinic, cause: str) -> None:
    if cause == "NothingToAdvance":
        clinic.party.sender.act(clinic.jobs.cancel(JOB))
    with pytest.raises(Overtaken, match=f"another party ended this phase first; nothing is left to do .{cause}"):
        clinic.party.sender.act(clinic.jobs.advance(JOB))
