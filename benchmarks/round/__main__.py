"""``python -m benchmarks.round [--secure] [--sizes 10000 1000000 ...]``: a regional round without training."""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace

from benchmarks.round.measure import ONE_SHARD, ONE_SHARD_MASKED, TWO_SHARDS, Figures, measure

SIZES = (10_000, 1_000_000, 10_000_000, 50_000_000)
LIMITS_S = {10_000: 1.0, 1_000_000: 1.0, 10_000_000: 3.0, 50_000_000: 8.0}
MASKED_SIZES = (10_000, 1_000_000, 10_000_000)
MASKED_LIMITS_S = {10_000: 3.0, 1_000_000: 3.0, 10_000_000: 6.0}
SILENT_WINDOW_S = 12
MIB = 1 << 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.round", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", help="numbers of float32 parameters")
    parser.add_argument("--rounds", type=int, default=6, help="regional rounds of each shard, the first not counted")
    parser.add_argument(
        "--secure", action="store_true", help="with secure aggregation beside the same round without, in one shard"
    )
    parser.add_argument(
        "--silent",
        action="store_true",
        help="with --secure: one node falls silent, and each round waits for its window",
    )
    arguments = parser.parse_args()
    if arguments.silent and not arguments.secure:
        parser.error("--silent: without --secure it has no meaning; add that")
    told = "1 shard" if arguments.secure else "2 shards"
    sys.stdout.write(f"4 nodes, {told}, every party a process of its own, blocks every 0.1 s\n")
    measured = _silenced if arguments.silent else _masked if arguments.secure else _plain
    sizes = arguments.sizes or (MASKED_SIZES if arguments.secure else SIZES)
    return 1 if sum(measured(size, arguments.rounds) for size in sizes) else 0


def _plain(size: int, rounds: int) -> bool:
    """Whether a round takes longer than its limit."""
    return _told(measure(size, rounds, TWO_SHARDS), LIMITS_S.get(size))


def _masked(size: int, rounds: int) -> bool:
    plain, masked = measure(size, rounds, ONE_SHARD), measure(size, rounds, ONE_SHARD_MASKED)
    _told(plain, None)
    sys.stdout.write("with secure aggregation:")
    missed = _told(masked, MASKED_LIMITS_S.get(size))
    sys.stdout.write(f"  {masked.seconds / plain.seconds:.1f} times the round without\n")
    return missed


def _silenced(size: int, rounds: int) -> bool:
    """Three of four nodes' updates: what the round costs beside the wait for the fourth."""
    setting = replace(ONE_SHARD_MASKED, silent=("eu-d",), collect_window_s=SILENT_WINDOW_S)
    figures = measure(size, rounds, setting)
    after_s = figures.seconds - figures.collecting_s
    sys.stdout.write(f"\n{size:,} parameters, one of 4 silent: {figures.seconds:.2f} s a round, {after_s:.2f} s of it ")
    sys.stdout.write(f"after its collect window of {SILENT_WINDOW_S} s\n")
    limit_s = MASKED_LIMITS_S.get(size)
    return limit_s is not None and after_s > limit_s


def _told(figures: Figures, limit_s: float | None) -> bool:
    size = figures.num_parameters
    model_mib = 4 * size / MIB
    sys.stdout.write(f"\n{size:,} parameters ({model_mib:.1f} MiB): {figures.seconds:.2f} s a round")
    sys.stdout.write(f" (limit {limit_s:g} s)\n" if limit_s else "\n")
    for step, seconds in figures.steps.items():
        sys.stdout.write(f"  {step:<32} {seconds:6.2f} s\n")
    over = (figures.aggregator_peak_mib - figures.idle_mib) / model_mib
    sys.stdout.write(
        f"  peak memory: node {figures.node_peak_mib:.0f} MiB, aggregator {figures.aggregator_peak_mib:.0f} MiB = "
        f"{figures.aggregator_peak_mib / model_mib:.1f} models ({over:.1f} beyond an idle process of "
        f"{figures.idle_mib:.0f} MiB)\n"
    )
    return limit_s is not None and figures.seconds > limit_s


if __name__ == "__main__":
    sys.exit(main())
