"""Whole networks of real processes, small enough for a test."""

from __future__ import annotations

import csv
import json
import random
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from aggregator.config import AggregatorConfig
from domicile.chain.account import Signer
from domicile.chain.devnet import DEVELOPMENT_MNEMONIC, Devnet
from domicile.chain.sender import Sender
from domicile.party import Party, open_party
from domicile.settings import load_settings
from node.config import NodeConfig
from scripts.sandbox.bring_up import Ground, bring_up
from scripts.sandbox.plan import Plan, load_plan
from scripts.sandbox.processes import Processes
from scripts.sandbox.run import Outcome, run_job
from scripts.view import JobView
from tests.end_to_end.frail_stores import FakeKuboStore, FolderStore, FrailStore
from tests.storage.kubo_fake import KuboFake

PLACES = ("EU", "border")
"""Where a network of one shard has its stores."""


@dataclass(kw_only=True)
class SmallNetwork:
    """Shard ``EU`` of ``DE`` and ``FR``, where node ``d`` is the only one in ``FR``; shard ``US`` if it has nodes."""

    nodes: tuple[str, ...] = ("a", "b", "c", "d")
    us_nodes: tuple[str, ...] = ()
    committee: tuple[str, ...] = ("agg-1",)
    quorum: int = 1
    global_committee: tuple[str, ...] = ("global-1",)
    global_quorum: int = 1
    global_rounds: int = 3
    window_s: int = 6
    min_nodes: int = 3
    max_retries: int = 1
    aggregation: str = "plain"
    bounds: str = ""
    """Lines of the job's own keys, before its tables."""

    extra_job: str = ""
    extra_options: str = ""
    """Lines of the task's options."""

    rows: int = 40

    def write(self, folder: Path) -> Path:
        """Two TOML files and a CSV file a node."""
        folder.mkdir(parents=True, exist_ok=True)
        nodes = {name: "FR" if name == "d" else "DE" for name in self.nodes} | dict.fromkeys(self.us_nodes, "US")
        aggregators = dict.fromkeys((*self.committee, *self.global_committee), "DE")
        committees = {"EU": (list(self.committee), self.quorum)}
        if self.us_nodes:
            aggregators["agg-us"] = "US"
            committees["US"] = (["agg-us"], 1)
        for number, name in enumerate(nodes):
            write_table(folder / f"{name}.csv", rows=self.rows, seed=number)
        lines = [
            "block_time_s = 0.2",
            *(["[[jurisdictions]]", 'code = "EU"', "[[jurisdictions]]", 'code = "DE"', 'parent = "EU"']),
            *(["[[jurisdictions]]", 'code = "FR"', 'parent = "EU"', "[[jurisdictions]]", 'code = "US"']),
            *(
                f'[[nodes]]\nname = "{name}"\njurisdiction = "{place}"\ntrain = "{name}.csv"'
                for name, place in nodes.items()
            ),
            *(f'[[aggregators]]\nname = "{name}"\njurisdiction = "{place}"' for name, place in aggregators.items()),
            *(
                f"[committees.{code}]\nmembers = {members}\nquorum = {quorum}".replace("'", '"')
                for code, (members, quorum) in committees.items()
            ),
            f"[global_committee]\nmembers = {json.dumps(self.global_committee)}\nquorum = {self.global_quorum}",
        ]
        (folder / "network.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
        (folder / "job.toml").write_text(
            f"""
name = "small"
seed = 7
sensitivity = "special"
shards = {json.dumps(list(committees))}
aggregation = "{self.aggregation}"
{self.bounds}
[task]
use = "tabular"
[task.options]
target = "y"
{self.extra_options}
[training]
steps = 3
learning_rate = 0.5
[rounds]
global = {self.global_rounds}
collect_window_s = {self.window_s}
max_retries = {self.max_retries}
[participation]
min_nodes = {self.min_nodes}
{self.extra_job}
""",
            encoding="utf-8",
        )
        return folder


def write_table(path: Path, *, rows: int, seed: int) -> None:
    """Rows of two features whose sum decides the target."""
    rng = random.Random(seed)  # noqa: S311 - rows of a test, not keys
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["x1", "x2", "y"])
        for _ in range(rows):
            first, second = rng.gauss(0, 1), rng.gauss(0, 1)
            writer.writerow([f"{first:.6f}", f"{second:.6f}", int(first + second > 0)])


@dataclass(kw_only=True)
class Meddler:
    """A view that lets a test act on the network while the job runs."""

    act: Callable[[JobView], None]
    seen: list[JobView] = field(default_factory=list)

    def __enter__(self) -> Meddler:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None: ...

    def say(self, line: str) -> None: ...

    def update(self, view: JobView) -> None:
        self.seen.append(view)
        self.act(view)


@dataclass(kw_only=True)
class Arena:
    """A small network that is up."""

    plan: Plan
    ground: Ground
    processes: Processes
    run: Callable[[Callable[[JobView], None]], Outcome]

    def start(self, name: str) -> None:
        """Starts a participant's daemon again, as it was."""
        folder = self.ground.party_folder(name)
        (config,) = (path for path in (folder / "node.toml", folder / "aggregator.toml") if path.exists())
        self.processes.start(name, config.stem, config, folder / "log.jsonl")

    def governor(self) -> Sender:
        return Sender(self.ground.chain, Signer.from_mnemonic(DEVELOPMENT_MNEMONIC))

    def node_config(self, name: str) -> NodeConfig:
        return load_settings(self.ground.party_folder(name) / "node.toml", NodeConfig)

    def liar(self, name: str) -> Party:
        """A committee member in the test's own hands; its daemon must be dead."""
        return open_party(load_settings(self.ground.party_folder(name) / "aggregator.toml", AggregatorConfig))

    def party(self, name: str) -> Party:
        """A participant in the test's own hands; its daemon must be dead."""
        return open_party(self.node_config(name))


@pytest.fixture
def small_network() -> type[SmallNetwork]:
    """The description of a small network, to be varied."""
    return SmallNetwork


@pytest.fixture
def arena(tmp_path: Path):
    """Brings a network up; everything ends with the test."""
    opened: list[object] = []

    def start(
        network: SmallNetwork,
        processes: Processes | None = None,
        stores: Mapping[str, str] | None = None,
        folder: Path = tmp_path,
    ) -> Arena:
        plan = load_plan(network.write(folder / "network"))
        out = folder / "out"
        out.mkdir()
        devnet = Devnet(block_time_s=plan.network.block_time_s)
        devnet.start()
        opened.append(devnet)
        processes = processes or Processes()
        opened.append(processes)
        ground = bring_up(plan, devnet.rpc_url, processes, out, lambda _: None, stores=stores)

        def run(act: Callable[[JobView], None]) -> Outcome:
            return run_job(plan, ground, processes, Meddler(act=act), time.monotonic())

        return Arena(plan=plan, ground=ground, processes=processes, run=run)

    yield start
    for thing in reversed(opened):
        thing.stop()  # type: ignore[attr-defined]


@pytest.fixture(params=["folders", "fakes of Kubo"])
def frail_network(request: pytest.FixtureRequest, arena):
    """Brings a network of shard ``EU`` up, with stores of each kind in turn; gives the stores by place, too."""
    with ExitStack() as held:

        def start(network: SmallNetwork) -> tuple[Arena, dict[str, FrailStore]]:
            if request.param == "folders":
                field = arena(network)
                return field, {place: FolderStore(field.ground.folder / "stores" / place) for place in PLACES}
            fakes = {place: held.enter_context(KuboFake(peer_id=f"12D3KooWFake{place}")) for place in PLACES}
            field = arena(network, stores={place: fake.url for place, fake in fakes.items()})
            return field, {place: FakeKuboStore(fake) for place, fake in fakes.items()}

        yield start
