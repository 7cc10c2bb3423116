"""Who may govern, and what waits: the AccessManager of OpenZeppelin 5 that stands above the NodeRegistry.

Tightening is immediate, loosening is scheduled and waits; why each act is on its side is said in
`contracts/interfaces/INodeRegistry.sol`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from eth_abi.abi import encode
from eth_utils.crypto import keccak

from domicile.chain.artifacts import load_artifacts
from domicile.chain.client import Chain
from domicile.chain.codec import decode_values, encode_values, selector
from domicile.chain.sender import Call
from domicile.types import Address, OperationId


class Role(IntEnum):
    """Roles on the AccessManager; the first is its own, and alone grants the others."""

    ADMINISTRATOR = 0
    AUDITOR = 1
    GOVERNOR = 2
    LOOSENER = 3
    CANCELLER = 4
    """Takes back what a loosener scheduled; OpenZeppelin calls it the guardian of that role."""


FUNCTIONS: Mapping[Role, tuple[str, ...]] = {
    Role.AUDITOR: ("clear", "withdrawClearance", "suspend", "reinstate"),
    Role.GOVERNOR: ("list", "removeAttester", "raiseQuorum"),
    Role.LOOSENER: ("loosen", "addAttester", "setQuorum", "setGuardian"),
}
"""Every function of the NodeRegistry that needs a role."""

DELAYED_ROLES = frozenset({Role.LOOSENER, Role.ADMINISTRATOR})
"""Roles whose acts wait in a deployment in earnest. An administrator without a delay would give itself the loosener's
role anew without one.
"""


def selectors_of(role: Role) -> tuple[bytes, ...]:
    """Of the functions that need a role."""
    entries = {e["name"]: e for e in load_artifacts()["NodeRegistry"].abi if e["type"] == "function"}
    return tuple(selector(entries[one]) for one in FUNCTIONS[role])


class ManagerCalls:
    """The manager's functions as calls."""

    def __init__(self, manager: Address) -> None:
        self._manager = manager
        abi = load_artifacts()["AccessManager"].abi
        self._functions = {entry["name"]: entry for entry in abi if entry["type"] == "function"}
        self._events = {entry["name"]: entry for entry in abi if entry["type"] == "event"}

    def _call(self, function: str, *arguments: object) -> Call:
        entry = self._functions[function]
        data = selector(entry) + encode_values(entry["inputs"], arguments)
        return Call(action=function, target=self._manager, data=data)


class AccessRoles(ManagerCalls):
    """Giving and taking roles; an administrator's calls, which wait where its own role has a delay."""

    def assign(self, node_registry: Address, role: Role) -> Call:
        """Lets the holders of a role call its functions."""
        return self._call("setTargetFunctionRole", node_registry, selectors_of(role), role)

    def set_guardian(self, role: Role, guardian: Role) -> Call:
        """Lets the holders of `guardian` cancel what holders of `role` scheduled."""
        return self._call("setRoleGuardian", role, guardian)

    def grant(self, role: Role, account: Address, *, delay_s: int = 0) -> Call:
        """Gives a role; with a delay, each of the account's acts in it must be scheduled and waits as long.

        For an account that has the role, a longer delay counts at once, a shorter one after the difference.
        """
        return self._call("grantRole", role, account, delay_s)

    def revoke(self, role: Role, account: Address) -> Call:
        return self._call("revokeRole", role, account)


class DelayedActs(ManagerCalls):
    """Acts that must wait: scheduled, executed after the delay and before they expire a week later, or cancelled."""

    def __init__(self, chain: Chain, manager: Address) -> None:
        super().__init__(manager)
        self._chain = chain

    def may_call(self, caller: Address, call: Call) -> tuple[bool, int]:
        """Whether an account may act at once, and otherwise after which delay in seconds; 0 where it never may."""
        query = self._call("canCall", caller, call.target, call.data[:4])
        immediate, delay_s = decode_values(
            self._functions["canCall"]["outputs"], self._chain.call(query.target, query.data)
        )
        return immediate, delay_s

    def schedule(self, call: Call, *, not_before_s: int = 0) -> Call:
        """The sender's intent to act, known to everyone; ready after the sender's delay, or later if so wished."""
        return self._call("schedule", call.target, call.data, not_before_s)

    def execute(self, call: Call) -> Call:
        """What the sender scheduled, done."""
        return self._call("execute", call.target, call.data)

    def cancel(self, caller: Address, call: Call) -> Call:
        """Takes back what `caller` scheduled; for itself, for an administrator and for a canceller."""
        return self._call("cancel", caller, call.target, call.data)

    def ready_at_s(self, caller: Address, call: Call) -> int | None:
        """From when on it can be executed; `None` where it is not scheduled, or no longer."""
        query = self._call("getSchedule", operation_id(caller, call))
        (time_s,) = decode_values(self._functions["getSchedule"]["outputs"], self._chain.call(query.target, query.data))
        return time_s or None


def operation_id(caller: Address, call: Call) -> OperationId:
    """Name of an act on the AccessManager, in its events and refusals: `hashOperation`."""
    return OperationId(keccak(encode(["address", "address", "bytes"], [caller, call.target, call.data])))
