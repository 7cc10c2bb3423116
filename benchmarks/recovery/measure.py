"""One job of the example's hospitals; in each global round somebody is killed and what follows is timed.

Every clock starts at the SIGKILL. It strikes who has something to do: a node as its round opens, a committee member as
all updates lie ready. A restart follows at once; what a service manager waits before it comes on top.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from aggregator.step import rank
from domicile.chain.devnet import Devnet
from domicile.history import Histories
from domicile.party import Party
from domicile.protocol.round import JobPhase, ShardPhase
from domicile.registration import ensure_registered
from domicile.types import JobId, ShardIndex
from scripts.network_file import AggregatorEntry, CommitteeEntry
from scripts.ordering import order_job, prepare
from scripts.sandbox.bring_up import Ground, bring_up
from scripts.sandbox.plan import Plan, load_plan
from scripts.sandbox.processes import Processes
from scripts.sandbox.run import open_owner, order_of

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "diagnosis"
WINDOW_S = 60
SHARD = 0
COMMITTEE = ("eu-1", "eu-2", "eu-3")
NODE = "de"
LOOK_S = 0.01
LOG_RESOLUTION_S = 0.001
ACTS = frozenset({"evaluated", "sealed", "committed", "merged", "voted", "exported"})
"""Events of a daemon's log that tell of an act in a job."""

COLD = """
import importlib, json, sys
from datetime import UTC, datetime
from scripts.main import main
importlib.import_module("scripts.command")
importlib.import_module(sys.argv[1] + ".daemon")
print(json.dumps({"time": datetime.now(UTC).isoformat(), "event": "imported"}), flush=True)
main()
"""
"""The command line, which says when everything is imported."""

NUM_ROUNDS = 6


@dataclass(frozen=True, kw_only=True)
class Restart:
    """Seconds from the SIGKILL to the first act of the process that follows.

    `ending_s`: until the killed one was gone. A forked process has imported everything before. `first_act_s` is with
    the catching up, for which another process took `catching_up_s` just after.
    """

    role: str
    how: str
    ending_s: float
    imports_s: float
    opening_s: float
    first_act_s: float
    catching_up_s: float

    @property
    def seconds(self) -> float:
        return self.ending_s + self.imports_s + self.opening_s + self.first_act_s


@dataclass(frozen=True, kw_only=True)
class Figures:
    """`agreed_s`: from the last update to the accepted model with all members up; `failover_s`: from the SIGKILL of the
    first in turn, just after the last update, to the accepted model.
    """

    restarts: tuple[Restart, ...]
    agreed_s: float
    failover_s: float


@dataclass(frozen=True, kw_only=True)
class Scene:
    """The network while its job runs."""

    ground: Ground
    processes: Processes
    owner: Party
    job: JobId

    def await_phase(self, global_round: int, phase: ShardPhase) -> float:
        """Wall-clock time at which the shard was first seen so far in a global round."""
        while True:
            state, shards = self.owner.jobs.snapshot(self.job)
            if state.phase is JobPhase.FAILED or shards[SHARD].phase is ShardPhase.STALLED:
                raise RuntimeError("the job did not go on before everything was measured")
            if (state.global_round, shards[SHARD].phase) >= (global_round, phase):
                return time.time()
            time.sleep(LOOK_S)

    def await_event(self, name: str, events: frozenset[str], since_s: float) -> float:
        """Wall-clock time of a daemon's first log line of these events since then.

        Raises:
            RuntimeError: it did not come within a window.
        """
        while time.time() < since_s + WINDOW_S:
            for line in self.log_of(name).read_text(encoding="utf-8").splitlines():
                entry: dict[str, Any] = json.loads(line) if line.endswith("}") else {"event": None}
                if entry["event"] in events:
                    at_s = datetime.fromisoformat(entry["time"]).timestamp()
                    if at_s >= since_s - LOG_RESOLUTION_S:
                        return at_s
            time.sleep(LOOK_S)
        raise RuntimeError(f"{name}: none of {', '.join(sorted(events))} within a window of {WINDOW_S} s")

    def histories(self) -> Histories:
        """All that the chain tells, read anew."""
        histories = Histories(self.ground.chain, self.ground.deployment)
        histories.update()
        return histories

    def voters(self, global_round: int) -> list[str]:
        """Who voted for the shard's accepted model, which is the only one of its global round."""
        history = self.histories().jobs[self.job]
        key = (ShardIndex(SHARD), global_round, 0)
        tally = history.regional_tally(key, history.regional_models[key].payload)
        return [self.ground.names[account] for account in tally.voters]

    def start(self, name: str, role: str) -> None:
        self.processes.start(name, role, self.config_of(name, role), self.log_of(name))

    def log_of(self, name: str) -> Path:
        return self.ground.party_folder(name) / "log.jsonl"

    def config_of(self, name: str, role: str) -> Path:
        return self.ground.party_folder(name) / f"{role}.toml"


def measure() -> Figures:
    """Runs the job once."""
    with running(NUM_ROUNDS) as scene:
        agreed_s = _time_agreement(scene, 0)
        restarts = (
            _restart_node(scene, 1, _forked),
            _restart_node(scene, 2, _cold),
            _restart_member(scene, 3, _forked),
            _restart_member(scene, 4, _cold),
        )
        return Figures(restarts=restarts, agreed_s=agreed_s, failover_s=fail_over(scene, 5))


@contextmanager
def running(global_rounds: int) -> Iterator[Scene]:
    """The network with its job, which has just been started."""
    plan = _plan(global_rounds)
    with (
        tempfile.TemporaryDirectory(prefix="domicile-recovery-") as folder,
        Devnet(block_time_s=plan.network.block_time_s) as devnet,
        Processes() as processes,
    ):
        ground = bring_up(plan, devnet.rpc_url, processes, Path(folder), lambda _: None)
        owner = open_owner(ground)
        ensure_registered(owner)
        job = order_job(owner, prepare(order_of(plan, ground)))
        scene = Scene(ground=ground, processes=processes, owner=owner, job=job)
        admitted = sum(place in plan.job.shards for place in plan.home.values()) - len(plan.network.aggregators)
        while sum(shard.num_members for shard in owner.jobs.snapshot(job)[1]) < admitted:
            time.sleep(LOOK_S)
        owner.sender.act(owner.jobs.start(job))
        yield scene


def _plan(global_rounds: int) -> Plan:
    """The example with a European committee of three, two of whom are enough."""
    plan = load_plan(EXAMPLE)
    rounds = plan.job.rounds.model_copy(
        update={"global_rounds": global_rounds, "regional_max": 1, "collect_window_s": WINDOW_S}
    )
    committees = plan.network.committees | {"EU": CommitteeEntry(members=COMMITTEE, quorum=2)}
    third = AggregatorEntry(name=COMMITTEE[2], jurisdiction="DE")
    network = plan.network.model_copy(
        update={"committees": committees, "aggregators": (*plan.network.aggregators, third)}
    )
    job = plan.job.model_copy(update={"rounds": rounds})
    return replace(plan, network=network, job=job, home=plan.home | {third.name: plan.home["eu-1"]})


Start = Callable[[Scene, str, str], AbstractContextManager[str]]


@contextmanager
def _forked(scene: Scene, name: str, role: str) -> Iterator[str]:
    scene.start(name, role)
    yield "forked"


@contextmanager
def _cold(scene: Scene, name: str, role: str) -> Iterator[str]:
    """A program of its own, which ends with the measurement: a forked one takes its place."""
    command = [sys.executable, "-c", COLD, role, "run", str(scene.config_of(name, role))]
    with scene.log_of(name).open("ab") as out:
        program = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        yield "cold"
    finally:
        program.kill()
        program.wait()
        scene.start(name, role)


def _restart_node(scene: Scene, global_round: int, start: Start) -> Restart:
    scene.await_phase(global_round, ShardPhase.COLLECTING)
    return _time_restart(scene, NODE, "node", start)


def _restart_member(scene: Scene, global_round: int, start: Start) -> Restart:
    """Without two of three there is no quorum, so that the round waits for who comes back."""
    _, timed, other = COMMITTEE
    scene.await_phase(global_round - 1, ShardPhase.REPORTED)
    scene.processes.kill(other)
    scene.await_phase(global_round, ShardPhase.AGGREGATING)
    restart = _time_restart(scene, timed, "aggregator", start)
    scene.start(other, "aggregator")
    return restart


def _time_restart(scene: Scene, name: str, role: str, start: Start) -> Restart:
    killed_s = time.time()
    scene.processes.kill(name)
    began_s = time.time()
    with start(scene, name, role) as how:
        imported_s = scene.await_event(name, frozenset({"imported"}), began_s) if how == "cold" else began_s
        started_s = scene.await_event(name, frozenset({"started"}), imported_s)
        acted_s = scene.await_event(name, ACTS, started_s)
        began = time.monotonic()
        scene.histories()
        catching_up_s = time.monotonic() - began
    return Restart(
        role=role,
        how=how,
        ending_s=began_s - killed_s,
        imports_s=imported_s - began_s,
        opening_s=started_s - imported_s,
        first_act_s=acted_s - started_s,
        catching_up_s=catching_up_s,
    )


def _time_agreement(scene: Scene, global_round: int) -> float:
    closed_s = scene.await_phase(global_round, ShardPhase.AGGREGATING)
    return scene.await_phase(global_round, ShardPhase.MATURE) - closed_s


def fail_over(scene: Scene, global_round: int) -> float:
    """Seconds from the SIGKILL of the first in turn, who has all updates before it, to the accepted model.

    Raises:
        RuntimeError: it had voted already, so that nobody had to take over.
    """
    first = next(name for place, name in enumerate(COMMITTEE) if rank(place, len(COMMITTEE), global_round) == 0)
    scene.await_phase(global_round, ShardPhase.AGGREGATING)
    killed_s = time.time()
    scene.processes.kill(first)
    seconds = scene.await_phase(global_round, ShardPhase.MATURE) - killed_s
    if first in scene.voters(global_round):
        raise RuntimeError(f"{first} had voted before it was killed")
    return seconds
