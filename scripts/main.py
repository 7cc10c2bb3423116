"""``domicile``: the entry point.

Imports nothing but the handling of signals before that is in place: Ctrl-C comes at any moment, and click, torch and
web3 take seconds to import.
"""

from __future__ import annotations

from scripts.interruption import leave_at_once


def main() -> None:
    """Runs the command line."""
    leave_at_once()
    from scripts.command import run

    run()


if __name__ == "__main__":
    main()
