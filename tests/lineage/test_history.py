"""Histories over a chain that forgets: reorganised, or killed and back without its last blocks."""

from __future__ import annotations

from copy import deepcopy

import pytest

from domicile.chain.sender import Sender
from domicile.history import Histories
from domicile.types import JobId
from tests.lineage.conftest import Stage

RUNNING = JobId(4)


@pytest.mark.parametrize("blocks_since", [0, 9])
def test_what_a_chain_has_forgotten_is_forgotten_in_the_same_objects(stage: Stage, blocks_since: int) -> None:
    histories = Histories(stage.chain, stage.deployment)
    histories.update()
    history = histories.jobs[RUNNING]
    before = deepcopy(history)
    snapshot = stage.chain.request("evm_snapshot")
    # A sender of its own, since the stage's would not hear that the chain forgets what it sent.
    Sender(stage.chain, stage.signers["e3"]).act(stage.jobs.commit(RUNNING, 0, 0, stage.digest()))
    assert histories.update()
    assert history != before
    stage.chain.request("evm_revert", snapshot)
    for _ in range(blocks_since):
        stage.chain.request("evm_mine")
    assert histories.update()
    assert history == before
    assert histories.jobs[RUNNING] is history
