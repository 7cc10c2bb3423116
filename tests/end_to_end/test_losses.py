"""Losses that last for rounds, and the loss of everything at once: the job goes on, and who comes back takes part."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import pytest

from domicile.protocol.round import JobPhase, ShardPhase
from scripts.view import JobView
from tests.end_to_end.story import Keeper, Story, Teller, collecting, until

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

NUM_AWAY = 3
"""Full global rounds in which somebody takes no part."""

LOST_IN = 1
BACK_IN = LOST_IN + NUM_AWAY + 1
"""Global rounds in which somebody leaves and comes back."""

LAST = BACK_IN + 1


def final_phase(outcome):
    return outcome.observer.history.job_phases[-1].phase


def models(outcome):
    return {number: event.model for number, event in outcome.observer.history.global_models.items()}


def participants(outcome):
    """Names of those whose update counted, by shard and global round."""
    history, names = outcome.observer.history, outcome.ground.names
    return {key[:2]: {names[one.node] for one in history.commits_of(key)} for key in history.regional_models}


class Patience:
    """Passes the time that a shard would wait for whoever is gone, once everybody else has committed."""

    def __init__(self, keeper: Keeper, present: Sequence[set[str]]) -> None:
        self._keeper = keeper
        self._present = present

    def look(self, view: JobView) -> None:
        waiting = [shard for shard in view.shards if shard.phase is ShardPhase.COLLECTING]
        settled = all(
            shard.phase in {ShardPhase.REPORTED, ShardPhase.STALLED}
            or (shard in waiting and set(shard.committed) == present)
            for shard, present in zip(view.shards, self._present, strict=True)
        )
        if view.phase is JobPhase.TRAINING and waiting and settled:
            deadline_s = max(shard.deadline_s for shard in waiting)
            if self._keeper.field.ground.chain.timestamp() < deadline_s:
                self._keeper.pass_time(deadline_s)


def test_a_node_and_a_shard_that_are_gone_for_three_rounds_come_back_while_the_global_committee_is_one_short(
    arena, small_network
):
    field = arena(
        small_network(
            us_nodes=("u", "v", "w"),
            global_committee=("global-1", "global-2", "global-3"),
            global_quorum=2,
            global_rounds=LAST + 1,
            window_s=60,
            max_retries=0,
            extra_job="min_shards = 1",
        )
    )
    keeper = Keeper(field)
    keeper.kill("global-2")
    gone = ("d", "w")
    patience = Patience(keeper, [{"a", "b", "c"}, {"u", "v"}])

    def story() -> Story:
        yield from until(collecting(LOST_IN))
        for name in gone:
            keeper.kill(name)
        while (view := (yield)).global_round < BACK_IN:
            patience.look(view)
        for name in gone:
            keeper.start(name)

    teller = Teller(story())
    outcome = field.run(teller)
    assert teller.over
    assert final_phase(outcome) is JobPhase.COMPLETE
    assert outcome.lineage.verified, outcome.lineage.problems
    took_part = participants(outcome)
    everybody = {0: {"a", "b", "c", "d"}, 1: {"u", "v", "w"}}
    # Whether a kill reaches the round that it falls into depends on the instant.
    for number in (0, BACK_IN, LAST):
        assert {shard: took_part[shard, number] for shard in everybody} == everybody
    away = range(LOST_IN + 1, BACK_IN)
    assert len(away) == NUM_AWAY
    for number in away:
        assert took_part[0, number] == {"a", "b", "c"}
        assert (1, number) not in took_part
        assert list(outcome.observer.history.exports[number]) == [0]
    stalled = {one.global_round for one in outcome.observer.history.shard_phases if one.phase is ShardPhase.STALLED}
    assert set(away) <= stalled <= {LOST_IN, *away}
    absent = field.ground.addresses["global-2"]
    tallies = outcome.observer.history.global_tallies.values()
    assert absent not in {voter for round_ in tallies for tally in round_.values() for voter in tally.voters}


def test_everything_killed_at_once_ends_with_the_same_participants_and_models_as_a_calm_job(arena, small_network):
    nodes = ("a", "b", "c")
    field = arena(small_network(nodes=nodes, global_rounds=3, window_s=120))
    calm = field.run(lambda _: None)
    everything = (*nodes, "agg-1", "global-1")
    struck: set[tuple[int, JobPhase, ShardPhase]] = set()

    def kill_everything(view) -> None:
        moment = (view.global_round, view.phase, view.shards[0].phase)
        if view.phase in {JobPhase.TRAINING, JobPhase.MERGING} and moment not in struck:
            struck.add(moment)
            for name in everything:
                field.processes.kill(name)
            assert field.processes.alive() == set()
            for name in everything:
                field.start(name)

    killed = field.run(kill_everything)
    assert {global_round for global_round, _, _ in struck} == {0, 1, 2}
    assert final_phase(killed) is JobPhase.COMPLETE
    assert killed.lineage.verified, killed.lineage.problems
    assert participants(killed) == participants(calm) == {key: set(nodes) for key in product([0], range(3))}
    assert models(killed) == models(calm)
    assert len(models(killed)) == 3
    history = killed.observer.history
    for key, commits in history.commits.items():
        assert sorted(killed.ground.names[one.node] for one in commits) == sorted(nodes)
        assert history.regional_tally(key, history.regional_models[key].payload).proposal.excluded == ()
    keeper = Keeper(field)
    for name in nodes:
        sealed = [line["global_round"] for line in keeper.logged(name, "sealed") if line["job"] == killed.job]
        assert len(sealed) == len(set(sealed)), "trained twice"
