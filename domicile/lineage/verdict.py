"""What the replay of a job's record found."""

from __future__ import annotations

from dataclasses import dataclass, field

from domicile.participation import GlobalParticipation
from domicile.protocol.round import ExclusionReason
from domicile.types import Address, Digest, JobId, JurisdictionCode


@dataclass(frozen=True, kw_only=True, slots=True)
class RegionalLineage:
    """One accepted regional round: whose sealed updates went in, and who was left out."""

    regional_round: int
    model: Digest
    included: tuple[tuple[Address, Digest], ...]
    excluded: tuple[tuple[Address, ExclusionReason], ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class RegionLineage:
    """One exported regional model."""

    jurisdiction: JurisdictionCode
    contributors: int
    model: Digest
    payload: Digest
    rounds: tuple[RegionalLineage, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class GlobalLineage:
    """One global model and everything that went into it."""

    global_round: int
    model: Digest
    payload: Digest
    from_regions: tuple[RegionLineage, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Lineage:
    """The verdict, as of `block`.

    `problems` names each place that does not hold. `remarks` names what the contracts allow and a reader may still
    want to know. `participation` is empty where the record breaks off.
    """

    job: JobId
    block: int
    verified: bool
    num_checks: int
    problems: tuple[str, ...]
    remarks: tuple[str, ...]
    models: tuple[GlobalLineage, ...]
    participation: tuple[GlobalParticipation, ...]
    payloads_checked: int
    payloads_gone: int


@dataclass(kw_only=True, slots=True)
class Findings:
    """Collects what the parts of the replay find."""

    num_checks: int = 0
    problems: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    def check(self, holds: bool, place: str) -> None:
        """Counts one more check; one that does not hold is a problem."""
        self.num_checks += 1
        if not holds:
            self.problems.append(place)

    def remark(self, text: str) -> None:
        self.remarks.append(text)

    def include(self, others: Findings) -> None:
        self.num_checks += others.num_checks
        self.problems += others.problems
        self.remarks += others.remarks
