"""Every wait of a job, derived from its collect window: nobody sets a timeout.

A fault that is over must not cost a round, so whatever is tried again is tried several times within one window. The
caps hold where windows are hours: there, waiting longer saves nobody anything. The floors hold where anybody may create
a job with a window of one second.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class JobClock:
    """All in seconds. Deadlines are the chain's; these are what a party waits by its own, monotonic clock."""

    collect_window_s: int

    @property
    def longest_pause_s(self) -> float:
        """Between two tries of what fails for now."""
        return min(30.0, self.collect_window_s / 4)

    @property
    def node_patience_s(self) -> int:
        """By the chain's clock: what a node leaves to the committees before it advances a phase in their stead."""
        return self.collect_window_s // 4 + 1

    @property
    def look_again_s(self) -> float:
        """By the chain's clock: whoever needs something from a store looks again after this long."""
        return self.collect_window_s / 4

    @property
    def proposers_s(self) -> float:
        """By the chain's clock: in this part of the window all members of a committee have had their turn to propose.
        Of two proposals one is wasted, and that is all.
        """
        return self.collect_window_s / 4

    @property
    def exporters_s(self) -> float:
        """The same for exports: of two, one would lie in the border store without a line in the ledger until it is
        taken back.
        """
        return self.collect_window_s / 2

    @property
    def replace_after_s(self) -> float:
        """How long a transaction may stay unmined before it is looked after: sent again, or replaced."""
        return min(10.0, max(1.0, self.collect_window_s / 8))

    @property
    def receipt_timeout_s(self) -> float:
        """How long a transaction is waited for before its job is looked at anew."""
        return min(120.0, max(3.0, self.collect_window_s / 2))

    @property
    def stands_still_s(self) -> float:
        """How long a chain may show the same block, older than what was read, before it is taken for all there is."""
        return self.collect_window_s

    @property
    def request_timeout_s(self) -> float:
        """How long one request to the endpoint may take, with all its tries."""
        return min(30.0, max(3.0, self.collect_window_s / 2))

    @property
    def store_timeout_s(self) -> float:
        """How long a store may give no sign of life, pinning a payload of many blocks included."""
        return min(60.0, max(3.0, self.collect_window_s / 2))

    @property
    def peer_search_s(self) -> float:
        """How long a store may look for a block among its peers: so much less than it is waited for that it can still
        say what it did not find.
        """
        return self.store_timeout_s / 2


DEFAULT_CLOCK = JobClock(240)
"""Where there is no job: every wait at its cap."""


def shortest_clock(clocks: Iterable[JobClock]) -> JobClock:
    """The clock of whoever serves several jobs."""
    return min((*clocks, DEFAULT_CLOCK), key=lambda one: one.collect_window_s)
