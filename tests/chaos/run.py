"""One job on a real network of processes, with strikes or without, and what is on record of it."""

from __future__ import annotations

import contextlib
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from domicile.chain.devnet import Devnet
from domicile.chain.events import Event, ModelExported, read_events
from domicile.errors import ChainFault, Fault
from domicile.history import Histories, JobHistory, RegionalKey
from domicile.lineage import Lineage, verify_lineage
from domicile.protocol.round import FINAL_PHASES, JobPhase
from domicile.registration import ensure_registered
from domicile.types import Digest, JobId
from node.journal import NodeJournal
from scripts.ordering import order_job, prepare
from scripts.sandbox.bring_up import Ground, bring_up
from scripts.sandbox.plan import Plan, load_plan
from scripts.sandbox.processes import Processes
from scripts.sandbox.run import open_owner, open_stores, order_of
from tests.chaos.network import AGGREGATORS, NODES, write_network
from tests.chaos.schedule import CHAIN, EVERYTHING, Strike

LOOK_S = 0.1
EVERYBODY = (CHAIN, *NODES, *AGGREGATORS)
DOWN_AGAIN_S = 0.5
"""When a daemon that could not start for want of a chain is started again, as a service manager would do it."""

LIMIT_S = 480.0


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is left of a job that has ended. Accounts are shown by their names."""

    phase: JobPhase
    seconds: float
    kills: Counter[str]
    models: dict[int, str]
    """sha-256 of each global model, by global round."""

    participants: dict[RegionalKey, frozenset[str]]
    committed: dict[RegionalKey, list[tuple[str, Digest]]]
    excluded: int
    exports: Counter[tuple[int, int]]
    """Entries of the ledger by shard and global round."""

    journaled: dict[tuple[str, int, int], Digest]
    """The digest that a node's journal holds, by node, global and regional round."""

    sealed: Counter[tuple[str, int, int]]
    """How often a node's log tells of a sealed update, likewise."""

    lineage: Lineage


@dataclass(kw_only=True)
class Network:
    """Chain and daemons, each of which can be struck and comes back."""

    devnet: Devnet
    processes: Processes
    ground: Ground
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


class Storm:
    """Strikes, each at its time, and the return of what was struck. `round_s`: a global round in peace."""

    def __init__(self, network: Network, strikes: Sequence[Strike], round_s: float) -> None:
        self._network = network
        self._strikes = list(strikes)
        self._round_s = round_s
        self._returns: list[tuple[float, str]] = []
        self._round, self._round_began = 0, time.monotonic()

    def saw(self, global_round: int) -> None:
        """Takes note of the round; a chain that came back may have fallen behind it."""
        if global_round > self._round:
            self._round, self._round_began = global_round, time.monotonic()

    def go_on(self) -> None:
        """Does everything whose time has come."""
        now = time.monotonic()
        for name in self._network.gave_up():
            self._leave_down(name, DOWN_AGAIN_S)
        due = sorted(one for one in self._returns if one[0] <= now)
        self._returns = [one for one in self._returns if one[0] > now]
        for _, target in due:
            self._network.start(target)
        for strike in list(self._strikes):
            targets = EVERYBODY if strike.role == EVERYTHING else (strike.target,)
            # What is down already waits for its strike until it is up again.
            if strike.is_due(self._round, now - self._round_began, self._round_s) and not self._network.down & {
                *targets
            }:
                self._strikes.remove(strike)
                self._network.kills[strike.role] += 1
                for target in targets:
                    self._network.kill(target)
                    self._leave_down(target, strike.pause_s)

    def _leave_down(self, target: str, pause_s: float) -> None:
        self._network.down.add(target)
        self._returns.append((time.monotonic() + pause_s, target))


def run(folder: Path, strikes: Sequence[Strike], round_s: float = 1.0) -> Record:
    """Brings the network up, runs its job to the end under the strikes, and takes everything down.

    `round_s`: how long a global round takes in peace.
    """
    plan = load_plan(write_network(folder / "network"))
    devnet = Devnet(block_time_s=plan.network.block_time_s, state=folder / "chain.json")
    with devnet, Processes() as processes:
        ground = bring_up(plan, devnet.rpc_url, processes, folder, lambda _: None)
        network = Network(devnet=devnet, processes=processes, ground=ground)
        job = _start_job(plan, ground)
        started = time.monotonic()
        _weather(network, job, Storm(network, strikes, round_s))
        return _record(plan, network, job, time.monotonic() - started)


def _start_job(plan: Plan, ground: Ground) -> JobId:
    """The job once every node has joined it."""
    owner = open_owner(ground)
    ensure_registered(owner)
    job = order_job(owner, prepare(order_of(plan, ground)))
    while sum(shard.num_members for shard in owner.jobs.snapshot(job)[1]) < len(NODES):
        time.sleep(LOOK_S)
    owner.sender.act(owner.jobs.start(job))
    return job


def _weather(network: Network, job: JobId, storm: Storm) -> None:
    """Returns when the job has ended and everything is up again."""
    jobs = open_owner(network.ground).jobs
    deadline = time.monotonic() + LIMIT_S
    ended = False
    while not ended or network.down:
        storm.go_on()
        with contextlib.suppress(ChainFault):
            state = jobs.snapshot(job)[0]
            storm.saw(state.global_round)
            ended = state.phase in FINAL_PHASES
        assert time.monotonic() < deadline, f"no end within {LIMIT_S:.0f} s; kills: {dict(network.kills)}"
        time.sleep(LOOK_S)


def _record(plan: Plan, network: Network, job: JobId, seconds: float) -> Record:
    ground = network.ground
    chain, deployment, names = ground.chain, ground.deployment, ground.names
    histories = Histories(chain, deployment)
    histories.update()
    history = histories.jobs[job]
    told = list(read_events(chain, deployment, deployment.first_block, histories.block))
    committed = {
        key: [(names[event.node], event.digest) for event in events] for key, events in history.commits.items()
    }
    return Record(
        phase=history.job_phases[-1].phase,
        seconds=seconds,
        kills=network.kills,
        models={number: event.model.hex() for number, event in history.global_models.items()},
        participants={key: frozenset(name for name, _ in pairs) for key, pairs in committed.items()},
        committed=committed,
        excluded=_num_excluded(history),
        exports=_exports(told),
        journaled=_journaled(ground, job),
        sealed=_sealed(ground),
        lineage=verify_lineage(chain, deployment, job, open_stores(plan, ground)),
    )


def _num_excluded(history: JobHistory) -> int:
    """Nodes and shards that were left out of an accepted model."""
    regional = sum(
        len(history.regional_tally(key, model.payload).proposal.excluded)
        for key, model in history.regional_models.items()
    )
    return regional + sum(len(history.global_tally(number).proposal.excluded) for number in history.global_models)


def _exports(told: Sequence[Event]) -> Counter[tuple[int, int]]:
    return Counter((event.shard, event.global_round) for event in told if isinstance(event, ModelExported))


def _journaled(ground: Ground, job: JobId) -> dict[tuple[str, int, int], Digest]:
    found: dict[tuple[str, int, int], Digest] = {}
    for name in NODES:
        journal = NodeJournal(ground.party_folder(name) / "journal.sqlite")
        found |= {(name, one.global_round, one.regional_round): one.digest for one in journal.updates(job)}
        journal.close()
    return found


def _sealed(ground: Ground) -> Counter[tuple[str, int, int]]:
    told: Counter[tuple[str, int, int]] = Counter()
    for name in NODES:
        for line in (ground.party_folder(name) / "log.jsonl").read_text(encoding="utf-8").splitlines():
            with contextlib.suppress(ValueError):  # A kill may tear a line.
                entry = json.loads(line)
                if entry["event"] == "sealed":
                    told[name, entry["global_round"], entry["regional_round"]] += 1
    return told
