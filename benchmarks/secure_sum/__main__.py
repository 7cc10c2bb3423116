"""``python -m benchmarks.secure_sum``: the secure sum beside the same sum without masks, in one thread."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator
from itertools import product

from benchmarks.secure_sum.measure import Case, expansion_gb_s, measure

SIZES = (10_000, 1_000_000, 10_000_000)
NODES = (4, 16, 64, 256)
DROPPED = (0.0, 0.2)
EXPANSION_MIN_GB_S = 1.0
SENT_MAX = 1.1
ROUND_LIMITS_S = {10_000: 3.0, 1_000_000: 3.0, 10_000_000: 6.0}
"""A whole round of 4 nodes, that they do one after another here."""

ASSUMED_GB_S = 1.5
BYTES_A_VALUE = 24
"""Update, its rounding, one masked vector, the sum, and the mean, with room to spare."""

HEAD = (
    "| parameters | nodes | dropped | k | t | node, s | × plain | answer, s | committee, s | × plain "
    "| sent, bytes | × plain | sheets read, bytes |"
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.secure_sum", description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, help="numbers of parameters")
    parser.add_argument("--nodes", type=int, nargs="+", default=NODES, help="members of the shard")
    parser.add_argument("--limit-s", type=float, default=120, help="cases that would take longer are left out")
    arguments = parser.parse_args()
    speed = expansion_gb_s()
    missed = [f"masks are expanded at {speed:.2f} GB/s"] if speed < EXPANSION_MIN_GB_S else []
    sys.stdout.write(f"masks are expanded at {speed:.2f} GB/s\n\n{HEAD}\n|{'---|' * (HEAD.count('|') - 1)}\n")
    for size, nodes, dropped in product(arguments.sizes, arguments.nodes, DROPPED):
        case = Case(num_values=size, num_nodes=nodes, dropped=dropped)
        missed += _row(case, arguments.limit_s)
        sys.stdout.flush()
    sys.stdout.write("".join(f"missed: {one}\n" for one in missed))
    return 1 if missed else 0


def _row(case: Case, limit_s: float) -> Iterator[str]:
    name = f"| {case.num_values:,} | {case.num_nodes} | {case.num_dropped} |"
    node, committee = case.streams
    expected_s = 4 * case.num_values * (node * case.num_nodes + committee) / ASSUMED_GB_S / 1e9
    if BYTES_A_VALUE * case.num_values > _free_bytes():
        sys.stdout.write(f"{name} left out: it does not fit into memory\n")
        return
    if expected_s > limit_s:
        sys.stdout.write(f"{name} left out: about {expected_s:.0f} s\n")
        return
    found = measure(case)
    sent = found.sent_bytes / found.plain_bytes
    sys.stdout.write(
        f"{name} {found.degree} | {found.threshold} | {found.node_s:.3f} | {found.node_s / found.plain_node_s:.1f} | "
        f"{found.answer_s:.3f} | {found.committee_s:.3f} | {found.committee_s / found.plain_committee_s:.1f} | "
        f"{found.sent_bytes:,} | {sent:.2f} | {found.read_bytes:,} |\n"
    )
    if not found.exact:
        yield f"{name} the sum is not exact"
    if (case.num_values, case.num_nodes) == (1_000_000, 64) and sent > SENT_MAX:
        yield f"{name} sends {sent:.2f} times the plain vector"
    round_s = case.num_nodes * (found.node_s + found.answer_s) + found.committee_s
    if case.num_nodes == 4 and round_s > ROUND_LIMITS_S.get(case.num_values, round_s):
        yield f"{name} takes {round_s:.1f} s"


def _free_bytes() -> int:
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    sys.exit(main())
