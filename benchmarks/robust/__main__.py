"""``python -m benchmarks.robust [--parameters 1000000] [--nodes 8 32]``: robust merges beside the plain mean.

Each merge runs in a process of its own, so that its peak of memory is its own. Seconds are those of the processor, one
thread, so that other work on the machine counts little.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from domicile.learning.merging import Accumulator, Merger
from domicile.learning.robust.merger import RobustMerger
from domicile.learning.robust.settings import CONDITIONS, RobustRule, RuleName

MIB = 1 << 20
NUM_HOSTILE = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """`add_s`: taking all updates; `merge_s`: making one of them. `peak_mib`: beyond the process before it."""

    add_s: float
    merge_s: float
    peak_mib: float

    @property
    def seconds(self) -> float:
        return self.add_s + self.merge_s


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.robust", description=__doc__)
    parser.add_argument("--parameters", type=int, default=10_000_000, help="float32 values of a model")
    parser.add_argument("--nodes", type=int, nargs="+", default=(8, 32))
    parser.add_argument("--folder", type=Path, default=Path.cwd(), help="on a disk; updates are kept there")
    arguments = parser.parse_args()
    size, model_mib = arguments.parameters, 4 * arguments.parameters / MIB
    for nodes in arguments.nodes:
        sys.stdout.write(f"\n{nodes} nodes, {size:,} parameters ({model_mib:.1f} MiB a model)\n\n")
        sys.stdout.write("| rule | take, s | merge, s | against the plain mean | peak memory, models |\n")
        sys.stdout.write("|---|---|---|---|---|\n")
        plain = None
        for rule in (None, *CONDITIONS):
            cost = _apart(rule, nodes, size, arguments.folder)
            plain = plain or cost
            sys.stdout.write(
                f"| {rule or 'plain mean'} | {cost.add_s:.2f} | {cost.merge_s:.2f} | "
                f"{cost.seconds / plain.seconds:.1f} | {cost.peak_mib / model_mib:.1f} |\n"
            )
            sys.stdout.flush()
    return 0


def _apart(rule: RuleName | None, nodes: int, size: int, folder: Path) -> Cost:
    forks = multiprocessing.get_context("fork")
    receiver, sender = forks.Pipe(duplex=False)
    child = forks.Process(target=lambda: sender.send(measure(rule, nodes, size, folder)))
    child.start()
    sender.close()
    cost: Cost = receiver.recv()
    child.join()
    return cost


def measure(rule: RuleName | None, nodes: int, size: int, folder: Path) -> Cost:
    """One merge of random updates, which come one after the other through one buffer, as in a committee."""
    torch.set_num_threads(1)
    before = _peak_bytes()
    with tempfile.TemporaryDirectory(prefix="domicile-robust-", dir=folder) as name:
        merger: Merger = Accumulator(size)
        if rule is not None:
            merger = RobustMerger(RobustRule(rule=rule, num_hostile=NUM_HOSTILE), size, Path(name))
        update_P = torch.empty(size)
        generator = torch.Generator().manual_seed(0)
        add_s = 0.0
        for _ in range(nodes):
            update_P.normal_(generator=generator)
            started = time.process_time()
            merger.add(update_P, 1.0)
            add_s += time.process_time() - started
        started = time.process_time()
        merger.settle()
        merger.mean()
        merge_s = time.process_time() - started
    return Cost(add_s=add_s, merge_s=merge_s, peak_mib=(_peak_bytes() - before) / MIB)


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    sys.exit(main())
