"""Who is killed when, for how long: drawn from a seed."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.chaos.network import GLOBAL, GLOBAL_ROUNDS, NODES, REGIONAL

CHAIN = "chain"
EVERYTHING = "everything"
ROLES = {"node": tuple(NODES), "regional": tuple(REGIONAL), "global": tuple(GLOBAL), CHAIN: (CHAIN,)} | {
    EVERYTHING: (EVERYTHING,)
}
STRIKES = {"node": 22, "regional": 16, "global": 12, CHAIN: 5, EVERYTHING: 2}
"""How often something of each role is killed; everything at once counts once."""

FIRST_ROUND, END_ROUND = 1, GLOBAL_ROUNDS - 1
"""Strikes fall between the openings of these global rounds. By the first, the chain's state on disk knows of the job's
start, which nobody would repeat; what is left at the last comes at once, so that no job ends before its strikes do.
"""

PAUSE_S = (0.1, 2.0)


@dataclass(frozen=True, order=True)
class Strike:
    """SIGKILL of `target`, which is started again `pause_s` later.

    It falls into global round ``int(at_round)``, after the fraction of that round's usual length.
    """

    at_round: float
    role: str
    target: str
    pause_s: float

    def is_due(self, global_round: int, since_s: float, round_s: float) -> bool:
        """Whether it falls no later than `since_s` seconds into a global round, of the usual length `round_s`."""
        return global_round + min(since_s / round_s, 1.0) >= self.at_round


def draw_strikes(seed: int) -> list[Strike]:
    """All strikes, in their order, at instants that are uniform over the rounds."""
    rng = random.Random(seed)  # noqa: S311 - instants of a test, not keys
    return sorted(
        Strike(rng.uniform(FIRST_ROUND, END_ROUND), role, rng.choice(ROLES[role]), rng.uniform(*PAUSE_S))
        for role, number in STRIKES.items()
        for _ in range(number)
    )
