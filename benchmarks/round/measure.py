"""Runs one job of regional rounds with real processes and times what the chain and the daemons' logs show."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from benchmarks.round.task import Vector
from domicile.chain.devnet import Devnet
from domicile.chain.events import RegionalModelAccepted, ShardPhaseChanged, read_events
from domicile.exchange import fetch_spec
from domicile.learning.settings import Aggregation
from domicile.learning.task import task_digest
from domicile.protocol.round import FINAL_PHASES, Committee, ShardPhase
from domicile.registration import ensure_registered
from domicile.settings import parse_settings
from scripts.job_file import JobFile
from scripts.network_file import NetworkFile
from scripts.ordering import Order, order_job, prepare
from scripts.sandbox.bring_up import Ground, bring_up
from scripts.sandbox.plan import Plan, initial_values
from scripts.sandbox.processes import Processes
from scripts.sandbox.run import open_owner

BLOCK_TIME_S = 0.1
LOOK_S = 0.004
MAX_UPDATE_NORM = 64.0
"""Above the norm of each update that is drawn here, up to a billion parameters."""

Mark = tuple[str, str]
"""Who logs an event, a node or an aggregator, and which: with it a step ends."""


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Which nodes in which shards, and how their updates are merged. `steps`: each with the mark that it ends with,
    but for the last, which ends with the accepted model. `silent`: nodes that are stopped once the job is started.
    """

    nodes: dict[str, str]
    aggregation: Aggregation
    steps: dict[str, Mark | None]
    silent: tuple[str, ...] = ()
    collect_window_s: int = 300

    @property
    def shards(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(self.nodes.values()))


STEPS: dict[str, Mark | None] = {
    "node: fetch, draw, seal": ("node", "sealed"),
    "store": ("node", "stored"),
    "commit": ("node", "committed"),
    "aggregator: open, merge": ("aggregator", "merged"),
    "seal, store, vote": None,
}
MASKED_STEPS: dict[str, Mark | None] = {
    "node: fetch, draw, mask, seal": ("node", "sealed"),
    "store": ("node", "stored"),
    "commit": ("node", "committed"),
    "aggregator: open, sum": ("aggregator", "summed"),
    "vote on the survivors": ("aggregator", "voted_survivors"),
    "answers, unmask": ("aggregator", "unmasked"),
    "seal, store, vote": None,
}

TWO_SHARDS = Setting(nodes={"eu-a": "EU", "eu-b": "EU", "us-a": "US", "us-b": "US"}, aggregation="plain", steps=STEPS)
ONE_SHARD = Setting(nodes=dict.fromkeys(("eu-a", "eu-b", "eu-c", "eu-d"), "EU"), aggregation="plain", steps=STEPS)
"""Fewer than three survivors are never unmasked, so that masked updates need a shard of at least three."""

ONE_SHARD_MASKED = replace(ONE_SHARD, aggregation="secure", steps=MASKED_STEPS)


@dataclass(frozen=True, kw_only=True)
class Figures:
    """One size: medians over shards and rounds; memory is the largest process of its kind that lives to the end."""

    num_parameters: int
    seconds: float
    collecting_s: float
    """Of these, until no update was waited for any more."""

    steps: dict[str, float]
    node_peak_mib: float
    aggregator_peak_mib: float
    idle_mib: float


class Programs(Processes):
    """Daemons as programs of their own, so that the memory of each is its own."""

    def __init__(self) -> None:
        self._programs: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, role: str, config: Path, log: Path) -> None:
        module = ["benchmarks.round.trainer"] if role == "node" else ["scripts.main", "aggregator", "run"]
        with log.open("ab") as out:
            self._programs[name] = subprocess.Popen(
                [sys.executable, "-m", *module, str(config)], stdout=out, stderr=out
            )

    def ended(self) -> dict[str, int]:
        return {name: code for name, program in self._programs.items() if (code := program.poll()) is not None}

    def end(self, name: str) -> None:
        """Stops one for good."""
        program = self._programs.pop(name)
        program.kill()
        program.wait()

    def peak_mib(self, name: str) -> float:
        return _status_mib(self._programs[name].pid, "VmHWM")

    def now_mib(self, name: str) -> float:
        return _status_mib(self._programs[name].pid, "VmRSS")

    def stop(self) -> None:
        for program in self._programs.values():
            program.terminate()
        for program in self._programs.values():
            try:
                program.wait(timeout=10)
            except subprocess.TimeoutExpired:
                program.kill()
                program.wait()
        self._programs.clear()


def measure(num_parameters: int, rounds: int, setting: Setting) -> Figures:
    """Runs `rounds` regional rounds in each shard; the first one, in which everything is cold, is left out."""
    with tempfile.TemporaryDirectory(prefix="domicile-round-") as folder:
        out = Path(folder)
        plan = _plan(num_parameters, rounds, setting)
        with Devnet(block_time_s=BLOCK_TIME_S) as devnet, Programs() as programs:
            ground = bring_up(plan, devnet.rpc_url, programs, out, lambda _: None)
            idle_mib = max(programs.now_mib(name) for name in setting.nodes)
            opened, closed, accepted = _run(plan, ground, programs, setting)
            node_peak = max(programs.peak_mib(name) for name in setting.nodes if name not in setting.silent)
            aggregator_peak = max(programs.peak_mib(f"agg-{shard.lower()}") for shard in setting.shards)
        keys = [key for key in accepted if key[1] > 0]
        return Figures(
            num_parameters=num_parameters,
            seconds=statistics.median(accepted[key] - opened[key] for key in keys),
            collecting_s=statistics.median(closed[key] - opened[key] for key in keys),
            steps=_steps(out, setting, opened, accepted, keys),
            node_peak_mib=node_peak,
            aggregator_peak_mib=aggregator_peak,
            idle_mib=idle_mib,
        )


Key = tuple[int, int]
"""``(shard, regional round)``"""


Times = dict[Key, float]


def _run(plan: Plan, ground: Ground, programs: Programs, setting: Setting) -> tuple[Times, Times, Times]:
    """Wall-clock times at which each round's opening, the end of its collecting and its acceptance were first seen in a
    block.
    """
    owner = open_owner(ground)
    ensure_registered(owner)
    members = {shard: ground.addresses[f"agg-{shard.lower()}"] for shard in plan.job.shards}
    order = Order(
        job=plan.job,
        options=plan.options,
        task_digest=plan.task_digest,
        initial=initial_values(plan),
        committees={shard: Committee(members=(address,), quorum=1) for shard, address in members.items()},
        global_committee=Committee(members=(ground.addresses["agg-eu"],), quorum=1),
    )
    job = order_job(owner, prepare(order))
    fetch_spec(owner.border, owner.jobs.parameters_of(job).spec)
    while sum(shard.num_members for shard in owner.jobs.snapshot(job)[1]) < len(plan.network.nodes):
        _refuse_ended(programs)
        time.sleep(LOOK_S)
    next_block = owner.chain.block_number() + 1
    owner.sender.act(owner.jobs.start(job))
    for name in setting.silent:
        programs.end(name)
    opened: Times = {}
    closed: Times = {}
    accepted: Times = {}
    while True:
        head, now = owner.chain.block_number(), time.time()
        for event in read_events(owner.chain, owner.deployment, next_block, head) if head >= next_block else ():
            if isinstance(event, ShardPhaseChanged) and event.phase in (ShardPhase.COLLECTING, ShardPhase.AGGREGATING):
                times = opened if event.phase is ShardPhase.COLLECTING else closed
                times[event.shard, event.regional_round] = now
            elif isinstance(event, RegionalModelAccepted):
                accepted[event.shard, event.regional_round] = now
        next_block = max(next_block, head + 1)
        if owner.jobs.snapshot(job)[0].phase in FINAL_PHASES:
            return opened, closed, accepted
        _refuse_ended(programs)
        time.sleep(LOOK_S)


def _refuse_ended(programs: Programs) -> None:
    for name, code in programs.ended().items():
        raise RuntimeError(f"{name} ended with exit code {code}")


def _steps(out: Path, setting: Setting, opened: Times, accepted: Times, keys: list[Key]) -> dict[str, float]:
    """Median seconds of each step, from the times in the daemons' logs: of the last party that was through with it."""
    times: dict[Mark, dict[Key, dict[str, float]]] = defaultdict(lambda: defaultdict(dict))
    shard_of = {name: setting.shards.index(shard) for name, shard in setting.nodes.items()}
    for log in out.glob("parties/*/log.jsonl"):
        party = log.parent.name
        role = "node" if party in shard_of else "aggregator"
        for line in log.read_text(encoding="utf-8").splitlines():
            entry = json.loads(line)
            if "regional_round" in entry:
                key = entry.get("shard", shard_of.get(party, 0)), entry["regional_round"]
                at = datetime.fromisoformat(entry["time"]).timestamp()
                # A node stores twice where updates are masked: its update, then its answer.
                times[role, entry["event"]][key].setdefault(party, at)
    marks = [mark for mark in setting.steps.values() if mark is not None]
    ends = [(opened[key], *(max(times[mark][key].values()) for mark in marks), accepted[key]) for key in keys]
    return {
        step: statistics.median(one[position + 1] - one[position] for one in ends)
        for position, step in enumerate(setting.steps)
    }


def _plan(num_parameters: int, rounds: int, setting: Setting) -> Plan:
    folder = Path(__file__).resolve().parent
    masked = setting.aggregation == "secure"
    job = {
        "name": f"round-{num_parameters}",
        "sensitivity": "special",
        "shards": list(setting.shards),
        "aggregation": setting.aggregation,
        "max_update_norm": MAX_UPDATE_NORM if masked else None,
        "task": {"use": "task.py:Vector", "options": {"num_parameters": num_parameters}},
        "training": {"steps": 1},
        "rounds": {
            "global": 1,
            "regional_min": rounds,
            "regional_max": rounds,
            "patience": 255,
            "collect_window_s": setting.collect_window_s,
            "max_retries": 0,
        },
        # The models of shards of two can be accepted, but never exported. What is measured ends before that.
        "participation": {"min_nodes": 2, "min_shards": 1},
    }
    network = {
        "block_time_s": BLOCK_TIME_S,
        "kept_rounds": 2,
        "jurisdictions": [{"code": shard} for shard in setting.shards],
        "nodes": [{"name": name, "jurisdiction": shard, "train": "unused"} for name, shard in setting.nodes.items()],
        "aggregators": [{"name": f"agg-{shard.lower()}", "jurisdiction": shard} for shard in setting.shards],
        "committees": {shard: {"members": [f"agg-{shard.lower()}"]} for shard in setting.shards},
        "global_committee": {"members": ["agg-eu"]},
    }
    home = setting.nodes | {f"agg-{shard.lower()}": shard for shard in setting.shards}
    options = {"num_parameters": num_parameters}
    return Plan(
        folder=folder,
        network=parse_settings(network, NetworkFile, source="the benchmark's network"),
        job=parse_settings(job, JobFile, source="the benchmark's job"),
        options=options,
        task=Vector(options),
        task_digest=task_digest("task.py:Vector", folder=folder),
        data={},
        home=home,
    )


def _status_mib(pid: int, key: str) -> float:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) / 1024
    raise RuntimeError(f"no {key} for process {pid}; this benchmark needs Linux")
