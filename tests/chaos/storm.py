"""Strikes as they fall on a network."""

from __future__ import annotations

import time
from collections.abc import Sequence

from tests.chaos.network import AGGREGATORS, NODES
from tests.chaos.run import Network
from tests.chaos.schedule import CHAIN, EVERYTHING, Strike

EVERYBODY = (CHAIN, *NODES, *AGGREGATORS)
DOWN_AGAIN_S = 0.5
"""When a daemon that could not start for want of a chain is started again, as a service manager would do it."""


class Storm:
    """Strikes, each at its time, and the return of what was struck. `round_s`: a global round in peace."""

    def __init__(self, network: Network, strikes: Sequence[Strike], round_s: float) -> None:
        self._network = network
        self._strikes = list(strikes)
        self._round_s = round_s
        self._returns: list[tuple[float, str]] = []
        self._round, self._round_began = 0, time.monotonic()

    def saw(self, global_round: int) -> None:
        """Takes note of the round; a chain that came back may have fallen behind it."""
        if global_round > self._round:
            self._round, self._round_began = global_round, time.monotonic()

    def go_on(self) -> None:
        """Does everything whose time has come."""
        now = time.monotonic()
        for name in self._network.gave_up():
            self._leave_down(name, DOWN_AGAIN_S)
        due = sorted(one for one in self._returns if one[0] <= now)
        self._returns = [one for one in self._returns if one[0] > now]
        for _, target in due:
            self._network.start(target)
        for strike in list(self._strikes):
            targets = EVERYBODY if strike.role == EVERYTHING else (strike.target,)
            # What is down already waits for its strike until it is up again.
            if strike.is_due(self._round, now - self._round_began, self._round_s) and not self._network.down & {
                *targets
            }:
                self._strikes.remove(strike)
                self._network.kills[strike.role] += 1
                for target in targets:
                    self._network.kill(target)
                    self._leave_down(target, strike.pause_s)

    def _leave_down(self, target: str, pause_s: float) -> None:
        self._network.down.add(target)
        self._returns.append((time.monotonic() + pause_s, target))
