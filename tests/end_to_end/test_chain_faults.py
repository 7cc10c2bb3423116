"""A job survives its chain's faults: same participants, nothing twice, and a record that holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from domicile.chain.client import Chain
from domicile.chain.sender import GWEI
from domicile.history import Histories
from domicile.protocol.round import JobPhase
from domicile.types import JobId
from node.journal import NodeJournal
from scripts.sandbox.run import Outcome
from tests.end_to_end.story import Story, Teller, until
from tests.faults.endpoint import FaultyEndpoint

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

ROOT = Path(__file__).resolve().parents[2]
WINDOW_S = 40
"""Nobody waits for its end where all commit; it is there for loaded machines."""

OUTAGE_S = 8.0
STALE_BLOCKS = 10
SLOW_CALL_S = 2.0
"""As an overloaded endpoint far away may take; a round's calls must still fit the window."""

JOIN_SPREAD_S = 120
"""Between the joins of two nodes lies the start of a process, and nothing like the five minutes that a clock is off."""

JOB = JobId(1)


@pytest.fixture
def behind() -> Iterator[Callable[[Any, dict[str, str]], FaultyEndpoint]]:
    """Puts daemons, by name and role, behind one endpoint of their own; they start anew for it."""
    with ExitStack() as stack:

        def put(field: Any, roles: dict[str, str]) -> FaultyEndpoint:
            endpoint = stack.enter_context(FaultyEndpoint(field.ground.rpc_url, seed=5))
            for name, role in roles.items():
                field.processes.kill(name)
                folder = field.ground.party_folder(name)
                config = folder / f"{role}.toml"
                config.write_text(config.read_text().replace(field.ground.rpc_url, endpoint.url))
                field.processes.start(name, role, config, folder / "log.jsonl")
            return endpoint

        yield put


def told(field: Any, name: str, event: str) -> list[dict[str, Any]]:
    """What a daemon logged of one kind."""
    lines = (field.ground.party_folder(name) / "log.jsonl").read_text().splitlines()
    return [one for one in map(json.loads, lines) if one["event"] == event]


def moment(line: dict[str, Any]) -> float:
    """When a daemon wrote a line of its log, by its own clock."""
    return datetime.fromisoformat(line["time"]).timestamp()


def assert_whole(outcome: Outcome, names: str = "abcd") -> None:
    """The job is complete, with everybody in every round, one commit each, and its record holds."""
    history = outcome.observer.history
    assert history.job_phases[-1].phase is JobPhase.COMPLETE
    assert outcome.lineage.verified, outcome.lineage.problems
    for commits in history.commits.values():
        assert sorted(outcome.ground.names[one.node] for one in commits) == sorted(names)
    for model in outcome.lineage.models:
        for part in (part for region in model.from_regions for part in region.rounds):
            assert sorted(outcome.ground.names[node] for node, _ in part.included) == sorted(names)


class Outage:
    """An endpoint that fails from the second round on for some seconds; `num_answered` requests meanwhile."""

    def __init__(self, endpoint: FaultyEndpoint, kind: str, seconds: float) -> None:
        self._endpoint = endpoint
        self._kind = kind
        self._seconds = seconds
        self._stack = ExitStack()
        self._until_s = 0.0
        self.over = False
        self.num_answered = 0

    def __call__(self, view: Any) -> None:
        if view.phase is JobPhase.TRAINING and view.global_round >= 1 and not self._until_s:
            self._until_s = time.monotonic() + self._seconds
            self.num_answered -= self._endpoint.num_asked
            if self._kind == "gone":
                self._stack.enter_context(self._endpoint.gone())
            elif self._kind == "slow":
                self._endpoint.delay_s = SLOW_CALL_S
            else:
                self._endpoint.go_back(STALE_BLOCKS)
        elif self._until_s and not self.over and time.monotonic() >= self._until_s:
            self.over = True
            self.num_answered += self._endpoint.num_asked
            self._endpoint.frozen_at = None
            self._endpoint.delay_s = 0.0
            self._stack.close()


@pytest.mark.parametrize("kind", ["gone", "stale"])
def test_an_endpoint_that_is_gone_or_stale_for_a_while_costs_nobody_its_round(arena, small_network, behind, kind):
    field = arena(small_network(global_rounds=3, window_s=WINDOW_S))
    outage = Outage(behind(field, {"a": "node", "agg-1": "aggregator"}), kind, OUTAGE_S)
    outcome = field.run(outage)
    assert outage.over
    assert_whole(outcome)
    causes = [one["cause"] for name in ("a", "agg-1") for one in told(field, name, "fault")]
    assert any(("cannot be reached" if kind == "gone" else "was read already") in cause for cause in causes)


@pytest.mark.timeout(600)
def test_an_endpoint_that_is_gone_for_a_minute_costs_nobody_its_round(arena, small_network, behind):
    field = arena(small_network(global_rounds=3, window_s=160))
    outage = Outage(behind(field, {"a": "node", "agg-1": "aggregator"}), "gone", 60.0)
    outcome = field.run(outage)
    assert outage.over
    assert_whole(outcome)


@pytest.mark.parametrize(("fault", "value"), [("delay_s", 0.2), ("failing_share", 0.2)])
def test_an_endpoint_that_is_slow_or_fails_one_call_in_five_costs_nobody_its_round(
    arena, small_network, behind, fault, value
):
    field = arena(small_network(global_rounds=2, window_s=WINDOW_S))
    endpoint = behind(field, {"a": "node", "agg-1": "aggregator"})
    setattr(endpoint, fault, value)
    outcome = field.run(lambda _: None)
    assert_whole(outcome)
    assert endpoint.num_failed > 10 or fault == "delay_s"


def test_an_endpoint_that_takes_two_seconds_a_call_for_a_while_costs_nobody_its_round(arena, small_network, behind):
    field = arena(small_network(global_rounds=3, window_s=WINDOW_S))
    outage = Outage(behind(field, {"a": "node", "agg-1": "aggregator"}), "slow", 6 * SLOW_CALL_S)
    outcome = field.run(outage)
    assert outage.over
    assert outage.num_answered > 4, "nobody asked while the endpoint was slow"
    assert_whole(outcome)


def test_commits_that_are_lost_held_back_or_too_dear_for_a_while_are_made_once_each(arena, small_network, behind):
    field = arena(small_network(global_rounds=3, window_s=WINDOW_S))
    endpoint = behind(field, {"a": "node"})
    done: set[str] = set()

    def noticed() -> bool:
        causes = [one["cause"] for name in ("a", "agg-1") for one in told(field, name, "fault")]
        return any("max_fee_gwei" in cause for cause in causes)

    def lose(view) -> None:
        shard = view.shards[0]
        if "lost" not in done and "a" in shard.members:
            done.add("lost")
            endpoint.num_to_swallow = 1
        committed = "a" in shard.committed
        if "held" not in done and committed and view.global_round == 0:
            done.add("held")
            endpoint.num_to_hold = 1
        if "dear" not in done and committed and view.global_round == 1:
            done.add("dear")
            endpoint.release()
        if "dear" in done and not noticed():
            field.ground.chain.request("anvil_setNextBlockBaseFeePerGas", hex(500 * GWEI))

    outcome = field.run(lose)
    assert done == {"lost", "held", "dear"}
    assert (endpoint.num_to_swallow, endpoint.num_to_hold) == (0, 0)
    assert_whole(outcome)
    assert len(told(field, "a", "committed")) == 3
    assert noticed()


@contextmanager
def no_blocks(chain: Chain) -> Iterator[None]:
    """anvil that takes blocks away while it mines one is left with numbers that have no block, for good: nobody mines
    meanwhile. Afterwards a block comes each second.
    """
    chain.request("evm_setIntervalMining", 0)
    number = -1
    while number != (number := chain.block_number()):
        time.sleep(1.0)
    yield
    chain.request("evm_setIntervalMining", 1)


def take_away(chain: Chain, commits: Callable[[], list[Any]]) -> bytes:
    """Replaces the block of an account's only commit, and all later ones, by empty ones; returns the lost digest.

    No block before it: there the job was started, which its owner does once.
    """
    with no_blocks(chain):
        (lost,) = commits()
        if chain.block_number() == lost.block:
            chain.request("anvil_mine", "0x1")
        head = chain.block_number()
        chain.request("anvil_reorg", head - lost.block + 1, [])
        assert commits() == []
        assert len(chain.timestamps_of(range(lost.block, head + 1))) == head - lost.block + 1, "anvil left a gap"
    digest: bytes = lost.digest
    return digest


def test_a_commit_that_a_reorganisation_took_away_is_made_again_and_nothing_is_trained_anew(arena, small_network):
    field = arena(small_network(global_rounds=2, window_s=120))
    taken: list[bytes] = []

    def commits_of_c() -> list[Any]:
        histories = Histories(field.ground.chain, field.ground.deployment)
        histories.update()
        own = field.ground.addresses["c"]
        return [one for one in histories.jobs[JOB].commits_of((0, 0, 0)) if one.node == own]

    def story() -> Story:
        # As long as d is dead, the round stays open.
        yield from until(lambda view: {"c", "d"} <= set(view.shards[0].members))
        field.processes.kill("d")
        yield from until(lambda view: view.phase is JobPhase.TRAINING and "c" in view.shards[0].committed)
        taken.append(take_away(field.ground.chain, commits_of_c))
        field.start("d")

    teller = Teller(story())
    outcome = field.run(teller)
    assert teller.over
    assert_whole(outcome)
    journal = NodeJournal(field.node_config("c").journal)
    assert next(one.digest for one in journal.updates(JOB)) == taken[0]
    assert len(journal.updates(JOB)) == 2
    journal.close()
    final = outcome.observer.history.commits_of((0, 0, 0))
    assert [one.digest for one in final if outcome.ground.names[one.node] == "c"] == taken
    for name in "abcd":
        assert len(told(field, name, "sealed")) == 2
    # Whoever looked at none of the lost blocks has nothing to take back.
    assert any(told(field, name, "reorganised") for name in ("a", "b", "c", "agg-1", "global-1"))


SHIFTED = """
import time
real, real_ns = time.time, time.time_ns
time.time = lambda: real() + {seconds}
time.time_ns = lambda: real_ns() + {seconds} * 10**9
"""


@pytest.mark.parametrize("seconds", [-300, 300], ids=["late", "early"])
def test_a_node_whose_clock_is_five_minutes_off_takes_part_in_every_round(arena, small_network, tmp_path, seconds):
    field = arena(small_network(global_rounds=2, window_s=WINDOW_S))
    field.processes.kill("a")
    (tmp_path / "shifted").mkdir()
    (tmp_path / "shifted" / "sitecustomize.py").write_text(SHIFTED.format(seconds=seconds))
    folder = field.ground.party_folder("a")
    with (folder / "log.jsonl").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "scripts.main", "node", "run", str(folder / "node.toml")],
            cwd=ROOT,
            env=os.environ | {"PYTHONPATH": f"{tmp_path / 'shifted'}{os.pathsep}{ROOT}"},
            stdout=log,
            stderr=log,
        )
        try:
            outcome = field.run(lambda _: None)
        finally:
            process.kill()
            process.wait()
    assert_whole(outcome)
    shift_s = moment(told(field, "a", "joined")[0]) - moment(told(field, "b", "joined")[0])
    assert abs(shift_s - seconds) < JOIN_SPREAD_S, "the clock was not off"
