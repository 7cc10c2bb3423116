"""One job on a real network of processes, in any weather."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from domicile.chain.devnet import Devnet
from domicile.errors import ChainFault, Fault
from domicile.protocol.round import FINAL_PHASES
from domicile.registration import ensure_registered
from domicile.types import JobId
from scripts.ordering import order_job, prepare
from scripts.sandbox.bring_up import Ground, bring_up
from scripts.sandbox.plan import Plan, load_plan
from scripts.sandbox.processes import Processes
from scripts.sandbox.run import open_owner, order_of
from tests.chaos.network import GLOBAL_ROUNDS, NODES, write_network
from tests.chaos.record import Record, record_of
from tests.chaos.schedule import CHAIN

LOOK_S = 0.1
LIMIT_S = 480.0


@dataclass(kw_only=True)
class Network:
    """Chain and daemons, each of which can be struck and comes back."""

    devnet: Devnet
    processes: Processes
    ground: Ground
    job: JobId
    kills: Counter[str] = field(default_factory=Counter)
    down: set[str] = field(default_factory=set)

    def kill(self, target: str) -> None:
        if target == CHAIN:
            self.devnet.kill()
        else:
            self.processes.kill(target)

    def start(self, target: str) -> None:
        if target == CHAIN:
            self.devnet.start()
        else:
            role = "node" if target in NODES else "aggregator"
            folder = self.ground.party_folder(target)
            self.processes.start(target, role, folder / f"{role}.toml", folder / "log.jsonl")
        self.down.discard(target)

    def gave_up(self) -> list[str]:
        """Daemons that ended because the chain was not there when they started; nothing else may end one."""
        ended = {name: code for name, code in self.processes.ended().items() if name not in self.down}
        wrong = {name: code for name, code in ended.items() if code != Fault.exit_code}
        assert not wrong, "ended by themselves: " + "; ".join(
            f"{name} with exit code {code}, saying: {self._last_words(name)}" for name, code in wrong.items()
        )
        return list(ended)

    def _last_words(self, name: str) -> str:
        """The last line of a daemon's log: why it ended, or the last that it did."""
        lines = (self.ground.party_folder(name) / "log.jsonl").read_text(encoding="utf-8").split("\n")
        return next((line for line in reversed(lines) if line.strip()), "nothing")


class Weather(Protocol):
    """What befalls a network while its job runs."""

    def saw(self, global_round: int) -> None:
        """Takes note of the round that the job is in."""

    def go_on(self) -> None:
        """Does everything whose time has come."""


def run(folder: Path, weather: Callable[[Network], Weather], global_rounds: int = GLOBAL_ROUNDS) -> Record:
    """Brings the network up, runs its job to the end in some weather, and takes everything down."""
    plan = load_plan(write_network(folder / "network", global_rounds))
    devnet = Devnet(block_time_s=plan.network.block_time_s, state=folder / "chain.json")
    with devnet, Processes() as processes:
        ground = bring_up(plan, devnet.rpc_url, processes, folder, lambda _: None)
        network = Network(devnet=devnet, processes=processes, ground=ground, job=_start_job(plan, ground))
        started = time.monotonic()
        _live_through(network, weather(network))
        return record_of(plan, ground, network.job, network.kills, time.monotonic() - started)


def _start_job(plan: Plan, ground: Ground) -> JobId:
    """The job once every node has joined it."""
    owner = open_owner(ground)
    ensure_registered(owner)
    job = order_job(owner, prepare(order_of(plan, ground)))
    while sum(shard.num_members for shard in owner.jobs.snapshot(job)[1]) < len(NODES):
        time.sleep(LOOK_S)
    owner.sender.act(owner.jobs.start(job))
    return job


def _live_through(network: Network, weather: Weather) -> None:
    """Returns when the job has ended and everything is up again."""
    jobs = open_owner(network.ground).jobs
    deadline = time.monotonic() + LIMIT_S
    ended = False
    while not ended or network.down:
        weather.go_on()
        with contextlib.suppress(ChainFault):
            state = jobs.snapshot(network.job)[0]
            weather.saw(state.global_round)
            ended = state.phase in FINAL_PHASES
        assert time.monotonic() < deadline, f"no end within {LIMIT_S:.0f} s; kills: {dict(network.kills)}"
        time.sleep(LOOK_S)
