"""``python -m benchmarks.node_level [--seeds 3]``: accuracy over ε of privacy of nodes, by the number of nodes."""

from __future__ import annotations

import argparse
import statistics
import sys
import time

import torch

from benchmarks.node_level.simulate import Diagnosis, Setting, accuracy_of
from domicile.privacy.node_level.discrete_gaussian import discrete_gaussian
from domicile.privacy.randomness import SecureRandomness

SHARDS = ((3, 3), (1, 9), (1, 30), (1, 100), (1, 250), (4, 250))
EPSILONS = (None, 16.0, 8.0, 4.0, 2.0, 1.0)
SAMPLES = 10_000_000


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.node_level", description=__doc__)
    parser.add_argument("--seeds", type=int, default=3, help="runs of each setting")
    parser.add_argument("--nodes-max", type=int, default=250, help="leave larger networks out")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    started = time.process_time()
    discrete_gaussian(SAMPLES, 1 << 44, SecureRandomness())
    sys.stdout.write(f"{SAMPLES:,} samples: {time.process_time() - started:.1f} s of processor time\n\n")
    sys.stdout.write("| shards x nodes | " + " | ".join("none" if e is None else f"{e:g}" for e in EPSILONS) + " |\n")
    sys.stdout.write("|---" * (1 + len(EPSILONS)) + "|\n")
    diagnosis = Diagnosis.load()
    for num_shards, nodes in SHARDS:
        if num_shards * nodes <= asked.nodes_max:
            sys.stdout.write(f"| {num_shards} x {nodes} | ")
            for epsilon in EPSILONS:
                setting = Setting(num_shards=num_shards, nodes_per_shard=nodes, epsilon=epsilon)
                found = [accuracy_of(setting, diagnosis, seed) for seed in range(asked.seeds)]
                sys.stdout.write(f"{statistics.mean(found):.3f} ± {statistics.pstdev(found):.3f} | ")
                sys.stdout.flush()
            sys.stdout.write("\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
