"""The chain comes back from a state that is rounds old, under daemons that run on."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from domicile.history import JobHistory
from domicile.protocol.round import JobPhase
from tests.chaos.network import NODES
from tests.chaos.record import assert_nothing_happened_twice, history_of
from tests.chaos.run import Network, run
from tests.chaos.schedule import CHAIN

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(600)]

GLOBAL_ROUNDS = 6
KEPT_IN, LOST_IN = 1, 4
"""The global rounds of which the chain's older state tells, and in which the newer one is lost."""


class Rollback:
    """Puts a copy aside of the state that the chain keeps on disk, and later starts the chain anew from that copy."""

    def __init__(self, network: Network) -> None:
        assert network.devnet.state is not None
        self._network = network
        self._state = network.devnet.state
        self._older = self._state.with_name("older.json")
        self._round = 0
        self.before: JobHistory | None = None
        self.after: JobHistory | None = None

    def saw(self, global_round: int) -> None:
        self._round = global_round

    def go_on(self) -> None:
        assert not self._network.gave_up(), "a daemon that runs on outlives the chain"
        if self._round == KEPT_IN and not self._older.exists():
            shutil.copyfile(self._state, self._older)
        elif self._round >= LOST_IN and self.before is None:
            self.before = history_of(self._network.ground, self._network.job)
            self._network.kill(CHAIN)
            shutil.copyfile(self._older, self._state)
            self._network.start(CHAIN)
            self.after = history_of(self._network.ground, self._network.job)


def test_a_chain_that_lost_whole_rounds_is_led_through_them_again_with_the_same_updates_and_models(
    tmp_path: Path,
) -> None:
    told: list[Rollback] = []

    def weather(network: Network) -> Rollback:
        told.append(Rollback(network))
        return told[0]

    record = run(tmp_path, weather, GLOBAL_ROUNDS)
    before, after = told[0].before, told[0].after
    assert before is not None
    assert after is not None
    lost = before.global_models.keys() - after.global_models.keys()
    assert len(lost) >= 2
    assert record.phase is JobPhase.COMPLETE
    assert record.lineage.verified, record.lineage.problems
    assert len(record.models) == GLOBAL_ROUNDS
    assert_nothing_happened_twice(record, GLOBAL_ROUNDS)
    assert record.excluded == 0
    for key, commits in before.commits.items():
        assert {one.digest for one in commits} <= {digest for _, digest in record.committed[key]}
    for number in lost:
        assert record.models[number] == before.global_models[number].model.hex()
    assert all(len(names) == len(NODES) / 2 for names in record.participants.values())
