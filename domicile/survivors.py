"""Whose updates are in a masked sum, as a job's record tells it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from domicile.protocol.proposal import NodeExclusion, SurvivorsProposal
from domicile.types import Address


@dataclass(kw_only=True, slots=True)
class SurvivorsTally:
    """Votes for one proposal, the first voter's first."""

    proposal: SurvivorsProposal
    voters: list[Address] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class Survivors:
    """The set that a round's committee agreed on, which is final. `nodes` is in ascending order of address."""

    proposal_id: bytes
    proposal: SurvivorsProposal
    nodes: tuple[Address, ...]

    @property
    def excluded(self) -> tuple[NodeExclusion, ...]:
        """Who committed and is not in the sum, in ascending order of address."""
        return self.proposal.excluded


def survivors_of(proposal_id: bytes, proposal: SurvivorsProposal, committed: Iterable[Address]) -> Survivors:
    """What an agreed proposal leaves of those who committed in its round."""
    left_out = {one.node for one in proposal.excluded}
    nodes = sorted((node for node in committed if node not in left_out), key=str.lower)
    return Survivors(proposal_id=proposal_id, proposal=proposal, nodes=tuple(nodes))
