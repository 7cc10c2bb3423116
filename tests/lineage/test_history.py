"""A history and the contract's state of the same block tell the same phases and rounds."""

from __future__ import annotations

from itertools import groupby
from typing import Self

import pytest

from domicile.chain.client import RETRY_PAUSES_S, Chain, Head
from domicile.chain.contracts import Nodes
from domicile.chain.events import JobCreated, JobEvent, SurvivorsVote, read_events
from domicile.errors import ChainFault, LineageError
from domicile.history import Histories, JobHistory, history_of
from domicile.types import JobId
from tests.lineage.conftest import EU, Stage


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


def test_the_founders_of_a_job_are_its_members_and_their_key_cards_at_its_start(stage: Stage) -> None:
    histories = Histories(stage.chain, stage.deployment)
    histories.update()
    num_found = 0
    for job, history in histories.jobs.items():
        if history.founders is None:
            assert not history.shard_phases
            continue
        block = history.founders.block
        jobs, nodes = stage.jobs.at(block), Nodes(stage.chain.at(block), stage.deployment)
        joined = [event.node for event in history.membership if event.block <= block]
        expected: dict[int, dict[str, bytes]] = {}
        for node in joined:
            member = jobs.member_of(job, node)
            if member.joined:
                expected.setdefault(member.shard, {})[node] = nodes.key_card_of(node)
        assert history.founders.cards == expected
        num_found += sum(map(len, expected.values()))
    assert num_found >= 3


MASKED = JobId(5)


def test_a_history_tells_the_survivors_of_each_masked_round_and_who_answered_to_them(stage: Stage) -> None:
    told = read_events(stage.chain, stage.deployment, stage.deployment.first_block, stage.chain.block_number())
    history = history_of(event for event in told if isinstance(event, JobEvent) and event.job == MASKED)
    first, second = (EU, 0, 0), (EU, 0, 1)
    assert history.survivors.keys() == {first, second}
    nodes = {name: stage.address(name) for name in ("e1", "e2", "e3", "e4")}
    committee = [stage.address("ce1"), stage.address("ce2")]
    for key, left_out, voters in ((first, ["e4"], committee), (second, [], committee[::-1])):
        agreed = history.survivors[key]
        survivors = [address for name, address in nodes.items() if name not in left_out]
        assert agreed.nodes == tuple(sorted(survivors, key=str.lower))
        assert [one.node for one in agreed.excluded] == [nodes[name] for name in left_out]
        tally = history.survivors_tallies[key][agreed.proposal_id]
        assert (tally.proposal, tally.voters) == (agreed.proposal, voters)
        assert agreed.proposal.commitments == history.running_hash(key, stage.deployment)
    answered = [[one.node for one in history.unmaskings_of(key)] for key in (first, second, (EU, 1, 0))]
    assert answered == [[nodes[name] for name in names] for names in (("e1", "e2", "e3", "e4"), ("e3", "e2", "e1"), ())]


def test_survivors_without_a_vote_for_them_are_a_fault_of_the_endpoint(stage: Stage) -> None:
    told = read_events(stage.chain, stage.deployment, stage.deployment.first_block, stage.chain.block_number())
    of_job = [event for event in told if isinstance(event, JobEvent) and event.job == MASKED]
    with pytest.raises(ChainFault, match="without the vote for them"):
        history_of(event for event in of_job if not isinstance(event, SurvivorsVote))


class Hasty(Chain):
    """Its newest block is `newest`, for which it answers a few times from the state of the next, as anvil does while it
    mines.
    """

    def __init__(self, rpc_url: str, newest: int, num_hasty: int) -> None:
        super().__init__(rpc_url)
        self.newest = newest
        self.num_hasty = num_hasty

    def head(self) -> Head:
        return Chain.head(super().at(self.newest))

    def at(self, block: int) -> Self:
        self.num_hasty -= 1
        return super().at(block if self.num_hasty < 0 else block + 1)


@pytest.mark.parametrize("num_hasty", [0, 1, len(RETRY_PAUSES_S)])
def test_a_state_that_is_ahead_of_the_record_is_asked_for_again(stage: Stage, num_hasty: int) -> None:
    job = JobId(1)
    record = Histories(stage.chain, stage.deployment)
    record.update()
    last_change = record.jobs[job].job_phases[-1]
    histories = Histories(Hasty(stage.rpc_url, last_change.block - 1, num_hasty), stage.deployment)
    state, _ = histories.snapshot(job, histories.update)
    assert state.phase is not last_change.phase
    assert state.phase is histories.jobs[job].job_phases[-1].phase


def test_an_endpoint_that_never_agrees_with_itself_is_a_fault_of_the_chain(stage: Stage) -> None:
    job = JobId(1)
    record = Histories(stage.chain, stage.deployment)
    record.update()
    hasty = Hasty(stage.rpc_url, record.jobs[job].job_phases[-1].block - 1, len(RETRY_PAUSES_S) + 1)
    histories = Histories(hasty, stage.deployment)
    with pytest.raises(ChainFault, match="not what its events tell"):
        histories.snapshot(job, histories.update)
