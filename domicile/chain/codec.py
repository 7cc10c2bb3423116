"""ABI values as values of ours, and back: names in snake case, enums, digests, codes, checksummed addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

from eth_abi.abi import decode, encode
from eth_utils.address import to_checksum_address
from eth_utils.crypto import keccak

from domicile.protocol.board import Agreement, Answer
from domicile.protocol.budget import Budget, Dataset
from domicile.protocol.eligibility import Refusal, Requirement, Safeguard, Sensitivity, Standing
from domicile.protocol.jurisdiction import Tier
from domicile.protocol.proposal import (
    GlobalProposal,
    NodeExclusion,
    RegionalProposal,
    ShardExclusion,
    SurvivorsProposal,
)
from domicile.protocol.round import (
    Committee,
    ExclusionReason,
    JobParameters,
    JobPhase,
    JobState,
    Member,
    ShardParameters,
    ShardPhase,
    ShardState,
    StallReason,
)

Component = Mapping[str, Any]
"""An input, output or member as the ABI's JSON describes it."""

_ENUMS: dict[str, type[IntEnum]] = {
    kind.__name__: kind for kind in (Tier, Sensitivity, Refusal, JobPhase, ShardPhase, StallReason, ExclusionReason)
}
_STRUCTS: dict[str, type] = {
    kind.__name__: kind
    for kind in (
        Agreement,
        Answer,
        Budget,
        Committee,
        Dataset,
        GlobalProposal,
        JobParameters,
        JobState,
        Member,
        NodeExclusion,
        RegionalProposal,
        Requirement,
        ShardExclusion,
        ShardParameters,
        ShardState,
        Standing,
        SurvivorsProposal,
    )
}
_RENAMED = {
    "deadline": "deadline_s",
    "valid_from": "valid_from_s",
    "valid_until": "valid_until_s",
    "attested_from": "attested_from_s",
    "attested_until": "attested_until_s",
    "cleared_until": "cleared_until_s",
    "class": "sensitivity",
}
"""Names that carry their unit here, or that Python keeps for itself."""

CODE_BYTES = 8


def snake(name: str) -> str:
    """The field that holds an ABI member."""
    text = re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()
    return _RENAMED.get(text, text)


def signature_type(component: Component) -> str:
    """Canonical type: structs as tuples of their members."""
    kind = str(component["type"])
    if not kind.startswith("tuple"):
        return kind
    return "(" + ",".join(signature_type(one) for one in component["components"]) + ")" + kind.removeprefix("tuple")


def signature(entry: Component) -> str:
    """``name(type,...)`` of a function, event or error."""
    return f"{entry['name']}({','.join(signature_type(one) for one in entry['inputs'])})"


def selector(entry: Component) -> bytes:
    """First four bytes of the signature's keccak-256."""
    return keccak(text=signature(entry))[:4]


def encode_values(components: Sequence[Component], values: Sequence[Any]) -> bytes:
    """Arguments, ABI-encoded."""
    raw = [to_abi(component, value) for component, value in zip(components, values, strict=True)]
    return encode([signature_type(component) for component in components], raw)


def decode_values(components: Sequence[Component], data: bytes) -> tuple[Any, ...]:
    """Values of ours from ABI-encoded bytes."""
    raw = decode([signature_type(component) for component in components], data)
    return tuple(from_abi(component, value) for component, value in zip(components, raw, strict=True))


def to_abi(component: Component, value: Any) -> Any:
    kind = str(component["type"])
    if kind.endswith("[]"):
        return [to_abi({**component, "type": kind[:-2]}, one) for one in value]
    if kind == "tuple":
        return tuple(to_abi(one, getattr(value, snake(one["name"]))) for one in component["components"])
    if kind == "bytes8":
        return value.encode("ascii").ljust(CODE_BYTES, b"\0")
    return int(value) if isinstance(value, (IntEnum, Safeguard)) else value


def from_abi(component: Component, value: Any) -> Any:
    kind, internal = str(component["type"]), str(component.get("internalType", ""))
    if kind.endswith("[]"):
        inner = {**component, "type": kind[:-2], "internalType": internal.removesuffix("[]")}
        return tuple(from_abi(inner, one) for one in value)
    if kind == "tuple":
        struct = _STRUCTS[internal.rsplit(maxsplit=1)[-1].rsplit(".", maxsplit=1)[-1]]
        members = component["components"]
        return struct(**{snake(one["name"]): from_abi(one, part) for one, part in zip(members, value, strict=True)})
    return _scalar(kind, internal, str(component["name"]), value)


def _scalar(kind: str, internal: str, name: str, value: Any) -> Any:
    if internal.startswith("enum "):
        return _ENUMS[internal.rsplit(maxsplit=1)[-1].rsplit(".", maxsplit=1)[-1]](value)
    if kind == "address":
        return to_checksum_address(value)
    if kind == "bytes8":
        return value.rstrip(b"\0").decode("ascii")
    return Safeguard(value) if name == "safeguards" else value
