"""Losses that last for rounds, and the loss of everything at once: the job goes on, and who comes back takes part."""

from __future__ import annotations

from itertools import product

import pytest

from domicile.protocol.round import JobPhase, ShardPhase

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(180)]

LOST_IN = 1
BACK_IN = 4
"""Global rounds in which somebody leaves and comes back."""

LAST = BACK_IN + 1


def final_phase(outcome):
    return outcome.observer.history.job_phases[-1].phase


def participants(outcome):
    """Names of those whose update counted, by shard and global round."""
    history, names = outcome.observer.history, outcome.ground.names
    return {key[:2]: {names[one.node] for one in history.commits_of(key)} for key in history.regional_models}


def test_a_node_and_a_shard_that_are_gone_for_rounds_come_back_while_the_global_committee_is_one_short(
    arena, small_network
):
    field = arena(
        small_network(
            us_nodes=("u", "v", "w"),
            global_committee=("global-1", "global-2", "global-3"),
            global_quorum=2,
            global_rounds=LAST + 1,
            window_s=6,
            max_retries=0,
            extra_job="min_shards = 1",
        )
    )
    field.processes.kill("global-2")
    gone, back = {"d", "w"}, set()

    def lose_and_find(view) -> None:
        if view.global_round == LOST_IN and not back and gone <= field.processes.alive():
            for name in gone:
                field.processes.kill(name)
        elif view.global_round == BACK_IN and not back:
            back.update(gone)
            for name in gone:
                field.start(name)

    outcome = field.run(lose_and_find)
    assert final_phase(outcome) is JobPhase.COMPLETE
    assert outcome.lineage.verified, outcome.lineage.problems
    took_part = participants(outcome)
    everybody = {0: {"a", "b", "c", "d"}, 1: {"u", "v", "w"}}
    # Whether a kill or a return reaches the round that it falls into depends on the instant.
    for number in (0, LAST):
        assert {shard: took_part[shard, number] for shard in everybody} == everybody
    for number in range(LOST_IN + 1, BACK_IN):
        assert took_part[0, number] == {"a", "b", "c"}
        assert (1, number) not in took_part
        assert list(outcome.observer.history.exports[number]) == [0]
    stalled = {one.global_round for one in outcome.observer.history.shard_phases if one.phase is ShardPhase.STALLED}
    assert set(range(LOST_IN + 1, BACK_IN)) <= stalled
    absent = field.ground.addresses["global-2"]
    tallies = outcome.observer.history.global_tallies.values()
    assert absent not in {voter for round_ in tallies for tally in round_.values() for voter in tally.voters}


def test_everything_killed_at_once_goes_on_with_the_same_participants(arena, small_network):
    nodes = ("a", "b", "c")
    field = arena(small_network(nodes=nodes, global_rounds=3, window_s=60))
    everything = (*nodes, "agg-1", "global-1")
    struck: set[tuple[int, ShardPhase]] = set()

    def kill_everything(view) -> None:
        moment = (view.global_round, view.shards[0].phase)
        if view.phase is JobPhase.TRAINING and view.global_round == 1 and moment not in struck:
            struck.add(moment)
            for name in everything:
                field.processes.kill(name)
            assert field.processes.alive() == set()
            for name in everything:
                field.start(name)

    outcome = field.run(kill_everything)
    assert struck
    assert final_phase(outcome) is JobPhase.COMPLETE
    assert outcome.lineage.verified, outcome.lineage.problems
    assert participants(outcome) == {key: set(nodes) for key in product([0], range(3))}
