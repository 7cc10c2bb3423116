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


class _AccessManager:
    """The manager's functions as calls."""

    def __init__(self, manager: Address) -> None:
        self._manager = manager
        self._functions = {e["name"]: e for e in load_artifacts()["AccessManager"].abi if e["type"] == "function"}

    def _call(self, function: str, *arguments: object) -> Call:
        entry = self._functions[function]
        data = selector(entry) + encode_values(entry["inputs"], arguments)
        return Call(action=function, target=self._manager, data=data)


class AccessRoles(_AccessManager):
    """Giving and taking roles; an administrator's calls, which wait where `slow_down` made them."""

    def assign(self, node_registry: Address) -> tuple[Call, ...]:
        """Lets the holders of each role call its functions."""
        entries = {e["name"]: e for e in load_artifacts()["NodeRegistry"].abi if e["type"] == "function"}
        return (
            *(
                self._call("setTargetFunctionRole", node_registry, [selector(entries[one]) for one in functions], role)
                for role, functions in FUNCTIONS.items()
            ),
            self._call("setRoleGuardian", Role.LOOSENER, Role.CANCELLER),
        )

    def grant(self, role: Role, account: Address, *, delay_s: int = 0) -> Call:
        """Gives a role; with a delay, each of the account's acts in it must be scheduled and waits as long."""
        return self._call("grantRole", role, account, delay_s)

    def revoke(self, role: Role, account: Address) -> Call:
        return self._call("revokeRole", role, account)

    def slow_down(self, account: Address, delay_s: int) -> tuple[Call, ...]:
        """Makes an account wait before it loosens. A longer delay counts at once, a shorter one after the difference.

        Its administration waits too, or it would give itself the role anew without a delay.
        """
        return tuple(self.grant(role, account, delay_s=delay_s) for role in (Role.LOOSENER, Role.ADMINISTRATOR))


class DelayedActs(_AccessManager):
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
