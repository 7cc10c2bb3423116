"""How often a job can make a node train, at the very most: pure."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Horizon:
    """`regional_rounds`: of one global round, each time that it is opened; `retries`: how often it is opened again.

    A window that is granted anew within a regional round opens no other round: the node commits what it sealed.
    """

    global_rounds: int
    regional_rounds: int
    retries: int
    steps_per_round: int

    @property
    def num_rounds(self) -> int:
        """Regional rounds in which a node can be asked for an update."""
        return self.global_rounds * self.regional_rounds * (1 + self.retries)

    @property
    def num_steps(self) -> int:
        return self.num_rounds * self.steps_per_round

    def __str__(self) -> str:
        rounds = f"{self.global_rounds} global x {self.regional_rounds} regional rounds"
        return f"{self.num_steps} steps: {rounds} x {1 + self.retries} tries x {self.steps_per_round} steps"
