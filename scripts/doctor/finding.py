"""What a check found."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from domicile.text import printable


class State(Enum):
    """How a thing stands."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    SKIPPED = "skipped"


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One line: cause and, unless all is well, mend. `private` text may quote the data: it stays on this machine."""

    check: str
    state: State
    text: str
    private: bool = False

    def line(self) -> str:
        return printable(f"{self.state.value:<8} {self.check:<14} {' '.join(self.text.split())}")


def ok(text: str, *, private: bool = False) -> Finding:
    """A finding of the check that runs, which fills its name in."""
    return Finding(check="", state=State.OK, text=text, private=private)


def warning(text: str) -> Finding:
    return Finding(check="", state=State.WARNING, text=text)


def problem(text: str, *, private: bool = False) -> Finding:
    return Finding(check="", state=State.PROBLEM, text=text, private=private)
