"""The network of the chaos run: two shards of three nodes, three committees of three with a quorum of two."""

from __future__ import annotations

from pathlib import Path

from tests.end_to_end.conftest import write_table

SHARDS = ("EU", "US")
NODES = {f"{shard.lower()}-{letter}": shard for shard in SHARDS for letter in "abc"}
REGIONAL = {f"{shard.lower()}-agg-{number}": shard for shard in SHARDS for number in (1, 2, 3)}
GLOBAL = {f"global-{number}": "EU" for number in (1, 2, 3)}
AGGREGATORS = REGIONAL | GLOBAL

GLOBAL_ROUNDS = 10
REGIONAL_ROUNDS = 2
WINDOW_S = 120
"""Nobody who comes back within seconds misses it, however loaded the machine is."""

JOB = """
name = "chaos"
seed = 11
sensitivity = "special"
shards = ["EU", "US"]
[task]
use = "tabular"
[task.options]
target = "y"
[training]
steps = 3
learning_rate = 0.5
[rounds]
global = {global_rounds}
regional_min = {regional_rounds}
regional_max = {regional_rounds}
collect_window_s = {window_s}
[participation]
min_shards = 2
"""


def write_network(folder: Path, global_rounds: int = GLOBAL_ROUNDS) -> Path:
    """Both files, and a table for each node."""
    folder.mkdir(parents=True)
    lines = ["block_time_s = 0.25", *(f'[[jurisdictions]]\ncode = "{shard}"' for shard in SHARDS)]
    for number, (name, place) in enumerate(NODES.items()):
        write_table(folder / f"{name}.csv", rows=40, seed=number)
        lines.append(f'[[nodes]]\nname = "{name}"\njurisdiction = "{place}"\ntrain = "{name}.csv"')
    lines += [f'[[aggregators]]\nname = "{name}"\njurisdiction = "{place}"' for name, place in AGGREGATORS.items()]
    for shard in SHARDS:
        lines.append(_committee(f"committees.{shard}", [name for name, place in REGIONAL.items() if place == shard]))
    lines.append(_committee("global_committee", list(GLOBAL)))
    (folder / "network.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    job = JOB.format(global_rounds=global_rounds, regional_rounds=REGIONAL_ROUNDS, window_s=WINDOW_S)
    (folder / "job.toml").write_text(job, encoding="utf-8")
    return folder


def _committee(table: str, members: list[str]) -> str:
    listed = ", ".join(f'"{name}"' for name in members)
    return f"[{table}]\nmembers = [{listed}]\nquorum = 2"
