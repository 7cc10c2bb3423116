"""The committed gas figures, and what differs from them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

SNAPSHOT = Path(__file__).resolve().parents[2] / "contracts" / "gas-snapshot.json"

TOLERANCE = 0.02


def load(path: Path = SNAPSHOT) -> dict[str, int]:
    """Figures by action; empty where there is no snapshot yet."""
    if not path.exists():
        return {}
    figures: dict[str, int] = json.loads(path.read_text(encoding="utf-8"))
    return figures


def save(figures: Mapping[str, int], path: Path = SNAPSHOT) -> None:
    path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def over_limit(figures: Mapping[str, int], limits: Mapping[str, int]) -> list[str]:
    """One line for each figure above its limit or missing."""
    return [
        f"{action}: {figures.get(action)} gas, limit {limit}"
        for action, limit in limits.items()
        if figures.get(action, limit + 1) > limit
    ]


def differences(figures: Mapping[str, int], committed: Mapping[str, int]) -> list[str]:
    """One line for each action whose figure left the tolerance around the snapshot, or is in one of them alone."""
    lines = []
    for action in sorted(figures.keys() | committed.keys()):
        new, old = figures.get(action), committed.get(action)
        if new is None or old is None or abs(new - old) > TOLERANCE * old:
            lines.append(f"{action}: {new}, snapshot {old}; renew it with `python -m benchmarks.gas --write`")
    return lines


def table(figures: Mapping[str, int], limits: Mapping[str, int], committed: Mapping[str, int]) -> str:
    width = max(len(action) for action in figures)
    lines = [f"{'action':{width}}  {'gas':>9}  {'limit':>9}  {'snapshot':>9}"]
    for action, gas in figures.items():
        limit, old = limits.get(action, ""), committed.get(action, "")
        lines.append(f"{action:{width}}  {gas:>9,}  {limit:>9}  {old:>9}")
    return "\n".join(lines) + "\n"
