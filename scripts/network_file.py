"""``network.toml``: the jurisdictions, nodes, committees and attesters of a sandbox network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationInfo, field_validator

from domicile.errors import ConfigurationError
from domicile.protocol.budget import ATTOS, DELTA_ATTOS_MAX, EPSILON_MICROS_MAX, MICROS
from domicile.settings import Settings, load_settings
from scripts.job_file import CODE_PATTERN

NAME_PATTERN = "^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$"


class JurisdictionEntry(Settings):
    """A place with its own law: ISO 3166-1 (``DE``), ISO 3166-2 (``US-CA``) or a bloc (``EU``)."""

    code: str = Field(pattern=CODE_PATTERN)
    parent: str | None = None
    tier: Literal["open", "conditional", "high_risk", "prohibited"] = "open"


class Participant(Settings):
    """Anybody with an account, attested inside a jurisdiction."""

    name: str = Field(pattern=NAME_PATTERN)
    jurisdiction: str


class NodeEntry(Participant):
    """A data holder. Paths are relative to this file; without `test`, a part of `train` is held out.

    `epsilon` and `delta`: what the owner of its data grants all jobs together; left out, what the job asks for.
    """

    train: Path
    test: Path | None = None
    clearance: Literal["public", "personal", "special", "restricted"] = "special"
    epsilon: float | None = Field(default=None, gt=0, le=EPSILON_MICROS_MAX / MICROS, allow_inf_nan=False)
    delta: float | None = Field(default=None, ge=0, le=DELTA_ATTOS_MAX / ATTOS, allow_inf_nan=False)


class AggregatorEntry(Participant):
    """A committee member, attested like any participant."""


class CommitteeEntry(Settings):
    """`quorum` votes of distinct members for one and the same model accept it."""

    members: tuple[str, ...] = Field(min_length=1, max_length=32)
    quorum: int = Field(default=1, ge=1, le=32)

    @field_validator("members")
    @classmethod
    def _check_members(cls, members: tuple[str, ...]) -> tuple[str, ...]:
        for member in members:
            if members.count(member) > 1:
                raise ValueError(f"{member!r} comes twice; name each member once")
        return members

    @field_validator("quorum")
    @classmethod
    def _check_quorum(cls, quorum: int, info: ValidationInfo) -> int:
        members = info.data.get("members", ())
        if members and quorum > len(members):
            raise ValueError(f"{quorum} is above the committee's {len(members)} member(s); lower it or add members")
        return quorum


class AttesterSettings(Settings):
    """Accounts that attest jurisdictions, and how many distinct ones admit a node."""

    num: int = Field(default=3, ge=1, le=64)
    quorum: int = Field(default=2, ge=1, le=64, validate_default=True)

    @field_validator("quorum")
    @classmethod
    def _check_quorum(cls, quorum: int, info: ValidationInfo) -> int:
        num = info.data.get("num", quorum)
        if quorum > num:
            raise ValueError(f"{quorum} is above the {num} attester(s); lower it or raise num")
        return quorum


class NetworkFile(Settings):
    """One sandbox network. `committees` are keyed by the shard's jurisdiction."""

    block_time_s: float = Field(default=0.25, gt=0, le=60)
    kept_rounds: int = Field(default=1000, ge=1)
    jurisdictions: tuple[JurisdictionEntry, ...] = Field(min_length=1, max_length=255)
    nodes: tuple[NodeEntry, ...] = Field(min_length=1)
    aggregators: tuple[AggregatorEntry, ...] = Field(min_length=1)
    committees: dict[str, CommitteeEntry]
    global_committee: CommitteeEntry
    attesters: AttesterSettings = AttesterSettings()


def load_network_file(path: Path) -> NetworkFile:
    """Reads ``network.toml``.

    Raises:
        ConfigurationError: names file, key, cause and mend.
    """
    network = load_settings(path, NetworkFile)
    for problem in (*_twice(network), *_unknown_places(network), *_unknown_members(network)):
        raise ConfigurationError(f"{path}: {problem}")
    return network


def _twice(network: NetworkFile) -> Iterator[str]:
    codes = [entry.code for entry in network.jurisdictions]
    names = [entry.name for entry in (*network.nodes, *network.aggregators)]
    for where, key, values in (("jurisdictions", "code", codes), ("nodes and aggregators", "name", names)):
        for value in values:
            if values.count(value) > 1:
                yield f"{where}: {key} {value!r} comes twice; give each its own"


def _unknown_places(network: NetworkFile) -> Iterator[str]:
    codes = [entry.code for entry in network.jurisdictions]
    for index, entry in enumerate(network.jurisdictions):
        if entry.parent == entry.code:
            yield f"jurisdictions.{index}.parent: {entry.code!r} cannot lie inside itself; name another parent or none"
        elif entry.parent is not None and entry.parent not in codes[:index]:
            yield f"jurisdictions.{index}.parent: {entry.parent!r} is not listed above {entry.code!r}; list it there"
    groups: tuple[tuple[str, tuple[Participant, ...]], ...] = (
        ("nodes", network.nodes),
        ("aggregators", network.aggregators),
    )
    for kind, entries in groups:
        for index, participant in enumerate(entries):
            if participant.jurisdiction not in codes:
                yield (
                    f"{kind}.{index}.jurisdiction: {participant.jurisdiction!r} of {participant.name!r} is not among "
                    "the jurisdictions; list it there or correct it"
                )
    for code in network.committees:
        if code not in codes:
            yield f"committees.{code}: {code!r} is not among the jurisdictions; list it there or remove the committee"


def _unknown_members(network: NetworkFile) -> Iterator[str]:
    aggregators = {entry.name for entry in network.aggregators}
    committees = {f"committees.{code}": committee for code, committee in network.committees.items()}
    for where, committee in (*committees.items(), ("global_committee", network.global_committee)):
        for member in committee.members:
            if member not in aggregators:
                yield f"{where}.members: there is no aggregator {member!r}; add it to the aggregators"
