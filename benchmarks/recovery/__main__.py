"""``python -m benchmarks.recovery``: seconds until a killed daemon acts again, and until another member takes over."""

from __future__ import annotations

import sys

from benchmarks.recovery.measure import WINDOW_S, measure


def main() -> int:
    figures = measure()
    sys.stdout.write(f"14 daemons on one machine, a collect window of {WINDOW_S} s\n\n")
    sys.stdout.write("| restart | imports | opening | catching up | first act | in all, s | of the window |\n")
    sys.stdout.write("|---|---|---|---|---|---|---|\n")
    for one in figures.restarts:
        parts = (one.imports_s, one.opening_s, one.catching_up_s, one.first_act_s, one.seconds)
        told = " | ".join(f"{seconds:.2f}" for seconds in parts)
        sys.stdout.write(f"| {one.role}, {one.how} | {told} | {one.seconds / WINDOW_S:.3f} |\n")
    sys.stdout.write(
        f"\nfrom the last update to the accepted model: {figures.agreed_s:.2f} s with every member up, "
        f"{figures.failover_s:.2f} s with the first in turn killed: {figures.failover_s / WINDOW_S:.2f} of the window\n"
    )
    return 0 if figures.failover_s < WINDOW_S else 1


if __name__ == "__main__":
    sys.exit(main())
