"""Reverts as refusals: every custom error of the ABIs is one class."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

from eth_abi.abi import decode
from eth_abi.exceptions import DecodingError

from domicile.chain.artifacts import load_artifacts
from domicile.chain.codec import Component, decode_values, selector, snake
from domicile.errors import Refused
from domicile.protocol import refusals
from domicile.protocol.complaint import ContractRefusal

_REASON_STRING = bytes.fromhex("08c379a0")
_PANIC = bytes.fromhex("4e487b71")


@cache
def known_errors() -> Mapping[bytes, tuple[type[ContractRefusal], tuple[Component, ...]]]:
    """Class and arguments of each error, by selector."""
    found: dict[bytes, tuple[type[ContractRefusal], tuple[Component, ...]]] = {}
    for artifact in load_artifacts().values():
        for entry in artifact.abi:
            if entry["type"] == "error":
                found[selector(entry)] = (getattr(refusals, entry["name"]), tuple(entry["inputs"]))
    return found


def decode_refusal(data: bytes) -> Refused:
    """The refusal that a revert's data tells."""
    known = known_errors().get(data[:4])
    try:
        if known is not None:
            kind, inputs = known
            values = decode_values(inputs, data[4:])
            return kind(**{snake(one["name"]): _plain(value) for one, value in zip(inputs, values, strict=True)})
        if data[:4] == _REASON_STRING:
            return Refused(f"the contract refused: {decode(['string'], data[4:])[0]}")
        if data[:4] == _PANIC:
            return Refused(f"the contract panicked with code {decode(['uint256'], data[4:])[0]:#x}; report this")
    except DecodingError as exc:
        return Refused(f"the contract refused with data that cannot be read ({exc}); check the deployment file")
    told = data[:4].hex() or "nothing"
    return Refused(f"the contract refused and said {told}, which no contract of ours says; check the deployment file")


def _plain(value: object) -> object:
    """The name of a parameter comes as text padded to 32 bytes."""
    if isinstance(value, bytes) and value and not value.rstrip(b"\0").translate(None, _NAME_BYTES):
        return value.rstrip(b"\0").decode("ascii")
    return value


_NAME_BYTES = bytes(range(ord("a"), ord("z") + 1)) + bytes(range(ord("A"), ord("Z") + 1))
