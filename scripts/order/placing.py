"""Placing an order: once, however often the command is repeated, and not before every check was passed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from domicile.errors import ConfigurationError
from domicile.registration import ensure_registered
from domicile.types import JobId
from scripts.doctor.finding import Finding, State
from scripts.order.draft import Draft
from scripts.order.examination import examine
from scripts.ordering import order_job
from scripts.wording import counted


@dataclass(frozen=True, kw_only=True)
class Placed:
    """What became of an order. `job`: the one that it made or that stands already, `None` where nothing was sent."""

    job: JobId | None
    changed: bool
    findings: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[Finding, ...]:
        return tuple(one for one in self.findings if one.state is State.PROBLEM)

    def require_placeable(self, what: str) -> None:
        """Raises:
        ConfigurationError: there are problems; names the first.
        """
        if self.problems:
            more = len(self.problems) - 1
            others = f" ({counted(more, 'more problem')} above)" if more else ""
            raise ConfigurationError(f"{what}: {self.problems[0].text}{others}; nothing was sent")


def place(draft: Draft, *, again: bool, dry_run: bool, say: Callable[[str], None]) -> Placed:
    """Finds the same order, or examines it and places it.

    Killed at any instant, it is repeated: documents come to lie where they lie, and a job that was created is found.

    Raises:
        Refused: the contract refuses, by name; ChainFault, StoreFault: a door is shut for now.
    """
    standing = None if again else draft.same()
    if standing is not None and not dry_run:
        return Placed(job=standing, changed=False, findings=())
    say("checking the order against the chain")
    placed = Placed(job=standing, changed=False, findings=tuple(examine(draft)))
    if dry_run or placed.problems:
        return placed
    say("registering the owner's key card, unless that is done")
    ensure_registered(draft.party)
    say("publishing the initial model and the specification, then creating the job")
    job = order_job(draft.party, draft.order)
    return Placed(job=job, changed=True, findings=placed.findings)
