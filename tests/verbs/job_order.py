"""The order of a job on rows of two columns, as its owner writes it."""

from __future__ import annotations

from collections.abc import Mapping


def job_order(
    name: str,
    *,
    committees: Mapping[str, str],
    global_member: str,
    steps: int,
    global_rounds: int,
    collect_window_s: int,
    more: str = "",
) -> str:
    """`committees` name one member a shard; `more` is further tables."""
    shards = ", ".join(f'"{shard}"' for shard in committees)
    regional = "".join(f'[committees.{shard}]\nmembers = ["{member}"]\n' for shard, member in committees.items())
    return f"""
name = "{name}"
seed = 7
sensitivity = "special"
shards = [{shards}]
[task]
use = "tabular"
[task.options]
target = "y"
features = ["x1", "x2"]
[training]
steps = {steps}
[rounds]
global = {global_rounds}
join_window_s = 3600
collect_window_s = {collect_window_s}
{regional}[global_committee]
members = ["{global_member}"]
{more}"""
