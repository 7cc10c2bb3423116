"""``python -m benchmarks.poisoning [--seeds 3]``: accuracy with and without each defence, as tables in Markdown."""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmarks.poisoning.clinics import CLINICS, REGIONS, open_clinics
from benchmarks.poisoning.federation import ROUNDS, Attack, Defence, Federation
from domicile.learning.robust.settings import RobustRule, RuleName

MAX_NORM = 1.0
"""Above what an honest clinic sends in any round here: what an owner finds who looks at a run without hostile ones."""


def attacks(num_hostile: int, *, region: bool = False) -> list[Attack]:
    """By so many of ten in every region, or by one region as a whole."""
    kinds = [("none", False, 1.0), ("labels flipped", True, 1.0), ("signs flipped", False, -1.0)]
    kinds += [("labels flipped, × 10", True, 10.0), ("labels flipped, × 100", True, 100.0)]
    return [
        Attack(
            name=name,
            num_hostile=0 if name == "none" else num_hostile,
            region=region and name != "none",
            flips_labels=flips,
            factor=factor,
        )
        for name, flips, factor in kinds
    ]


PLAIN = Defence(name="none: plain mean")


def of_nodes(rules: Sequence[RuleName], num_hostile: int) -> list[Defence]:
    found = [RobustRule(rule=name, num_hostile=num_hostile) for name in rules]
    return [PLAIN, *(Defence(name=f"`{rule.rule}`", rule=rule) for rule in found)]


def by_norm() -> list[Defence]:
    """Bounds on the norm: of a plain mean, fixed; of a rule, by the median."""
    clipped = RobustRule(rule="geometric_median", num_hostile=3, max_norm_ratio=1.0)
    return [
        Defence(name=f"plain mean, `max_update_norm` {MAX_NORM:g}", max_norm=MAX_NORM),
        Defence(name="`geometric_median`, `max_norm_ratio` 1", rule=clipped),
    ]


def of_regions() -> list[Defence]:
    median = RobustRule(rule="median", num_hostile=3)
    names: tuple[RuleName, ...] = ("median", "geometric_median")
    return [
        PLAIN,
        Defence(name="`median` of nodes", rule=median),
        *(
            Defence(
                name=f"`median` of nodes, `{name}` of regions",
                rule=median,
                regions=RobustRule(rule=name, num_hostile=1),
            )
            for name in names
        ),
    ]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.poisoning", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    seeds = range(parser.parse_args().seeds)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="domicile-poisoning-") as name:
        folder = Path(name)
        federations = [Federation(*open_clinics(folder, seed), folder, seed) for seed in seeds]
        sys.stdout.write(
            f"{len(REGIONS)} regions of {CLINICS} clinics, {ROUNDS} rounds; accuracy of the global model, mean (least) "
            f"of {len(seeds)} seeds\n"
        )
        three = [*of_nodes(("median", "trimmed_mean", "geometric_median", "krum", "multi_krum"), 3), *by_norm()]
        _table("3 of 10 clinics of each region are hostile", federations, attacks(3), three)
        _table("1 of 10 clinics of each region is hostile", federations, attacks(1), of_nodes(("median", "bulyan"), 1))
        _table("All clinics of one of 3 regions are hostile", federations, attacks(CLINICS, region=True), of_regions())
    return 0


def _table(
    title: str, federations: Sequence[Federation], against: Sequence[Attack], defences: Sequence[Defence]
) -> None:
    sys.stdout.write(f"\n{title}\n\n| defence | {' | '.join(attack.name for attack in against)} |\n")
    sys.stdout.write(f"|---|{'---|' * len(against)}\n")
    for defence in defences:
        cells = []
        for attack in against:
            found = [federation.accuracy(attack, defence) for federation in federations]
            cells.append(f"{statistics.mean(found):.3f} ({min(found):.3f})")
        sys.stdout.write(f"| {defence.name} | {' | '.join(cells)} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
