"""Who holds which role, as the AccessManager's views and events tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from eth_utils.crypto import keccak

from domicile.chain.client import Chain
from domicile.chain.codec import decode_values, signature
from domicile.chain.governance import ManagerCalls, Role
from domicile.types import Address


@dataclass(frozen=True, kw_only=True, slots=True)
class Holding:
    """A role that an account holds. Its acts wait `delay_s`, and from `next_from_s` on (0: never) `next_delay_s`."""

    role: Role
    account: Address
    delay_s: int
    next_delay_s: int
    next_from_s: int

    @property
    def lasting_delay_s(self) -> int:
        """The delay once every change of it has come into force."""
        return self.next_delay_s if self.next_from_s else self.delay_s


class RoleBook(ManagerCalls):
    """Reads roles; nothing is sent."""

    def __init__(self, chain: Chain, manager: Address) -> None:
        super().__init__(manager)
        self._chain = chain

    def holding(self, role: Role, account: Address) -> Holding | None:
        """What an account holds, or `None`."""
        since_s, delay_s, next_delay_s, next_from_s = self._view("getAccess", role, account)
        if not since_s:
            return None
        return Holding(role=role, account=account, delay_s=delay_s, next_delay_s=next_delay_s, next_from_s=next_from_s)

    def holdings_of(self, account: Address) -> list[Holding]:
        """All roles of an account."""
        return [held for role in Role if (held := self.holding(role, account)) is not None]

    def holdings(self, first_block: int) -> list[Holding]:
        """All roles of all accounts; `first_block` is the manager's own."""
        granted = sorted(set(self._grants(first_block)))
        return [held for role, account in granted if (held := self.holding(role, account)) is not None]

    def role_for(self, target: Address, function: bytes) -> int:
        """The role that a function needs, by its selector."""
        return int(self._view("getTargetFunctionRole", target, function)[0])

    def guardian_of(self, role: Role) -> int:
        """The role whose holders may cancel what holders of `role` scheduled."""
        return int(self._view("getRoleGuardian", role)[0])

    def _view(self, function: str, *arguments: object) -> tuple[Any, ...]:
        query = self._call(function, *arguments)
        return decode_values(self._functions[function]["outputs"], self._chain.call(query.target, query.data))

    def _grants(self, first_block: int) -> Iterator[tuple[Role, Address]]:
        """Whoever was ever given a role; roles that are not ours are left out."""
        entry = self._events["RoleGranted"]
        topic = "0x" + keccak(text=signature(entry)).hex()
        role_input, account_input = (one for one in entry["inputs"] if one["indexed"])
        for log in self._chain.logs((self._manager,), first_block, self._chain.block_number()):
            if log["topics"][0] != topic:
                continue
            role, account = (
                decode_values([one], bytes.fromhex(told.removeprefix("0x")))[0]
                for one, told in zip((role_input, account_input), log["topics"][1:], strict=True)
            )
            if role in list(Role):
                yield Role(role), Address(account)
