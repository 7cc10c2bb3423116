"""``python -m benchmarks.gas [--write]``: gas by action, compared with the committed snapshot."""

from __future__ import annotations

import argparse
import sys

from benchmarks.gas.measure import LIMITS, measure
from benchmarks.gas.snapshot import differences, load, save, table


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gas", description=__doc__)
    parser.add_argument("--write", action="store_true", help="renew contracts/gas-snapshot.json")
    renew = parser.parse_args().write
    figures = measure()
    sys.stdout.write(table(figures, LIMITS, load()))
    if renew:
        save(figures)
        return 0
    stale = differences(figures, load())
    for line in stale:
        sys.stderr.write(f"{line}\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
