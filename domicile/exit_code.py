"""What a process tells whoever started it. Imports next to nothing: each command passes through here."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable

from domicile.errors import DomicileError
from domicile.text import printable

EXIT_BUG = 70
"""``EX_SOFTWARE`` of sysexits: an error of ours, with a traceback."""


def guarded(main: Callable[[], int]) -> int:
    """Runs a ``main`` and turns errors into their exit code: those that a user may see are one line on standard error,
    and bugs show their traceback.
    """
    try:
        return main()
    except DomicileError as exc:
        # One line, whatever names and reasons from elsewhere it holds.
        print(f"domicile: {printable(' '.join(str(exc).splitlines()))}", file=sys.stderr)
        return exc.exit_code
    except Exception:  # noqa: BLE001 - whatever escapes here is a bug, and exit codes tell bugs from all else
        traceback.print_exc()
        print("domicile: this is an error of ours; please report the lines above", file=sys.stderr)
        return EXIT_BUG
