"""``python -m benchmarks.recovery``: seconds from a kill until the daemon acts again, or another member takes over."""

from __future__ import annotations

import sys

from benchmarks.recovery.measure import WINDOW_S, measure


def main() -> int:
    figures = measure()
    sys.stdout.write(f"14 daemons on one machine, a collect window of {WINDOW_S} s\n\n")
    sys.stdout.write(
        "| restart | ending | imports | opening | first act | in all, s | of the window | catching up alone |\n"
    )
    sys.stdout.write("|---|---|---|---|---|---|---|---|\n")
    for one in figures.restarts:
        parts = (one.ending_s, one.imports_s, one.opening_s, one.first_act_s, one.seconds)
        told = " | ".join(f"{seconds:.2f}" for seconds in parts)
        sys.stdout.write(
            f"| {one.role}, {one.how} | {told} | {one.seconds / WINDOW_S:.3f} | {one.catching_up_s:.2f} |\n"
        )
    share = figures.failover_s / WINDOW_S
    sys.stdout.write(
        f"\nto the accepted model: {figures.agreed_s:.2f} s from the last update with every member up, "
        f"{figures.failover_s:.2f} s from the kill of the first in turn: {share:.2f} of the window\n"
    )
    return 0 if figures.failover_s < WINDOW_S else 1


if __name__ == "__main__":
    sys.exit(main())
