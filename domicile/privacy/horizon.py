"""How often a job can make a node train, at the very most: pure."""

from __future__ import annotations

from dataclasses import dataclass

from domicile.errors import ConfigurationError
from domicile.learning.settings import TrainingSettings


@dataclass(frozen=True, kw_only=True, slots=True)
class Horizon:
    """`regional_rounds`: of one global round, each time that it is opened; `retries`: how often it is opened again.

    A window that is granted anew within a regional round opens no other round: the node commits what it sealed.
    """

    global_rounds: int
    regional_rounds: int
    retries: int
    steps_per_round: int

    @classmethod
    def of(cls, training: TrainingSettings, *, num_rows: int, rounds: tuple[int, int, int]) -> Horizon:
        """`rounds`: global rounds, regional rounds of each at most, and retries."""
        return cls(
            global_rounds=rounds[0],
            regional_rounds=rounds[1],
            retries=rounds[2],
            steps_per_round=training.num_steps(num_rows),
        )

    @property
    def num_rounds(self) -> int:
        """Regional rounds in which a node can be asked for an update."""
        return self.global_rounds * self.regional_rounds * (1 + self.retries)

    @property
    def num_steps(self) -> int:
        return self.num_rounds * self.steps_per_round

    def require_round(self, num_trained: int) -> None:
        """Raises:
        ConfigurationError: rounds that were trained have used the horizon up.
        """
        if num_trained >= self.num_rounds:
            raise ConfigurationError(
                f"privacy: {num_trained} rounds are trained, and the noise is for {self.num_rounds}; no more are "
                "trained in this job: its owner orders another one"
            )

    def told(self, *, same_steps: bool) -> str:
        """`same_steps`: whether every node takes as many."""
        rounds = (
            f"{self.num_rounds} regional rounds at most ({self.global_rounds} global x {self.regional_rounds} regional "
            f"x {1 + self.retries} tries)"
        )
        return f"{rounds} of {self.steps_per_round} steps: {self.num_steps} steps" if same_steps else rounds
