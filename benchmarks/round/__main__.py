"""``python -m benchmarks.round [--sizes 10000 1000000 ...]``: a regional round without training."""

from __future__ import annotations

import argparse
import sys

from benchmarks.round.measure import STEPS, measure

SIZES = (10_000, 1_000_000, 10_000_000, 50_000_000)
LIMITS_S = {10_000: 1.0, 1_000_000: 1.0, 10_000_000: 3.0, 50_000_000: 8.0}
AGGREGATOR_TIMES_MODEL = 4.0
MIB = 1 << 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.round", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of float32 parameters")
    parser.add_argument("--rounds", type=int, default=6, help="regional rounds of each shard, the first not counted")
    arguments = parser.parse_args()
    sys.stdout.write("4 nodes, 2 shards, every party a process of its own, blocks every 0.1 s\n")
    missed = 0
    for size in arguments.sizes:
        figures = measure(size, arguments.rounds)
        model_mib = 4 * size / MIB
        limit = LIMITS_S.get(size)
        sys.stdout.write(f"\n{size:,} parameters ({model_mib:.1f} MiB): {figures.seconds:.2f} s a round")
        sys.stdout.write(f" (limit {limit:g} s)\n" if limit else "\n")
        for step in STEPS:
            sys.stdout.write(f"  {step:<32} {figures.steps[step]:6.2f} s\n")
        over = (figures.aggregator_peak_mib - figures.idle_mib) / model_mib
        sys.stdout.write(
            f"  peak memory: node {figures.node_peak_mib:.0f} MiB, aggregator {figures.aggregator_peak_mib:.0f} MiB = "
            f"{figures.aggregator_peak_mib / model_mib:.1f} models ({over:.1f} beyond an idle process of "
            f"{figures.idle_mib:.0f} MiB)\n"
        )
        missed += limit is not None and figures.seconds > limit
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
