"""A history and the contract's state of the same block tell the same phases and rounds."""

from __future__ import annotations

from itertools import groupby

import pytest

from domicile.chain.events import JobCreated, JobEvent, read_events
from domicile.errors import LineageError
from domicile.history import JobHistory, history_of
from domicile.types import JobId
from tests.lineage.conftest import Stage


def test_a_history_tells_the_state_of_its_block_and_none_before_a_change_of_phase(stage: Stage) -> None:
    read = read_events(stage.chain, stage.deployment, stage.deployment.first_block, stage.chain.block_number())
    histories: dict[JobId, JobHistory] = {}
    num_changes = 0
    for block, told in groupby(read, key=lambda event: event.block):
        for event in told:
            if isinstance(event, JobCreated):
                histories[event.job] = JobHistory(created=event)
            elif isinstance(event, JobEvent):
                histories[event.job].apply(event)
        for job, history in histories.items():
            assert history.tells(*stage.jobs.at(block).snapshot(job))
            if block > history.created.block:
                num_changes += not history.tells(*stage.jobs.at(block - 1).snapshot(job))
    assert num_changes > 20


def test_a_record_without_its_creation_is_no_history(stage: Stage) -> None:
    read = read_events(stage.chain, stage.deployment, stage.deployment.first_block, stage.chain.block_number())
    created, *others = [event for event in read if isinstance(event, JobEvent) and event.job == 1]
    assert history_of([created, *others]).created == created
    for record in (others, []):
        with pytest.raises(LineageError, match="does not begin with its job's creation"):
            history_of(record)
