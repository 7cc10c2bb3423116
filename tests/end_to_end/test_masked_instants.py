"""SIGKILL at every instant at which a daemon holds a mask, an answer or a vote that must not be made twice."""

from __future__ import annotations

from collections import Counter

import pytest

from domicile.protocol.round import JobPhase
from node.journal import NodeJournal
from tests.end_to_end.instants import MASKED_INSTANTS, DyingProcesses
from tests.end_to_end.test_instants import logged
from tests.end_to_end.test_secure_network import SecureNetwork

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(170)]

DOOM = {
    "a": ["answer sealed, not journaled", "answer sent to the board"],
    "b": ["answer journaled, not stored"],
    "c": ["masked, not journaled", "answer stored, not on the board"],
    "agg-1": ["summed, no vote for survivors", "unmasked, not merged"],
    "agg-2": ["vote for survivors sent"],
}


def test_every_instant_of_a_masked_round_has_its_victim() -> None:
    assert sorted(instant for instants in DOOM.values() for instant in instants) == sorted(MASKED_INSTANTS)


def test_a_secure_job_whose_daemons_are_killed_at_every_instant_masks_and_answers_nothing_twice(arena) -> None:
    processes = DyingProcesses()
    # Of three holders two must answer, so that no round ends without one of those who are killed on the way.
    network = SecureNetwork(
        nodes=("a", "b", "c"), committee=("agg-1", "agg-2"), quorum=2, global_rounds=2, window_s=100
    )
    field = arena(network, processes)
    for name, instants in DOOM.items():
        processes.doom(name, instants)
    killed = field.run(lambda _: processes.revive())

    history, job = killed.observer.history, killed.job
    assert {name: processes.ahead(name) for name in DOOM if processes.ahead(name)} == {}
    assert history.job_phases[-1].phase is JobPhase.COMPLETE
    assert killed.lineage.verified, killed.lineage.problems
    nodes = {field.ground.addresses[name]: name for name in "abc"}
    for key in ((0, 0, 0), (0, 1, 0)):
        assert sorted(nodes[node] for node in history.survivors[key].nodes) == ["a", "b", "c"]
    for address, name in nodes.items():
        journal = NodeJournal(field.ground.party_folder(name) / "journal.sqlite")
        answers = {(one.global_round, one.regional_round): one.digest for one in journal.answers(job)}
        journal.close()
        for kind in ("sealed", "answered"):
            lines = [line for line in logged(field.ground, name) if line["event"] == kind]
            rounds = Counter((line["global_round"], line["regional_round"]) for line in lines)
            assert all(number == 1 for number in rounds.values()), (name, kind, rounds)
        for key in history.unmaskings:
            for event in history.unmaskings_of(key):
                assert event.node != address or event.digest == answers[key[1:]]
