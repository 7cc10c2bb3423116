"""Sending transactions: simulated first, numbered locally, priced under a cap, waited for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from domicile import metrics
from domicile.chain.account import Signer
from domicile.chain.client import Chain
from domicile.errors import ChainFault, Refused
from domicile.types import Address

GWEI = 10**9
GAS_MARGIN = 1.25
"""What a call needs may grow until it is mined: another member's act may make it the one that changes a phase."""

GAS_EXTRA = 150_000
PRIORITY_FEE_WEI = GWEI
RECEIPT_POLL_S = 0.01
RECEIPT_POLL_MAX_S = 0.5
RECEIPT_TIMEOUT_S = 120.0
REPLACE_AFTER_S = 10.0
"""How long a transaction may stay unmined before its fee is held against the chain's present one."""

BUMP_PERCENT = 10
"""What endpoints ask of both fees before they let a transaction take the place of another (geth, anvil, Besu)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One action on a contract; `action` is the function's name."""

    action: str
    target: Address
    data: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Fees:
    """What a transaction pays for a unit of gas at most (EIP-1559)."""

    max_fee_wei: int
    tip_wei: int

    def bumped(self) -> Fees:
        """The least that may replace it."""
        return Fees(max_fee_wei=_bump(self.max_fee_wei), tip_wei=_bump(self.tip_wei))


@dataclass(frozen=True, kw_only=True, slots=True)
class Handle:
    """A transaction on its way; `fields` are those that do not depend on its fees."""

    call: Call
    transaction: str
    fields: Mapping[str, object]
    fees: Fees


@dataclass(frozen=True, kw_only=True, slots=True)
class Receipt:
    """A mined transaction."""

    action: str
    transaction: str
    block: int
    gas_used: int
    contract: Address | None


class Sender:
    """Acts for one account. Not to be shared between processes, since it counts nonces itself."""

    def __init__(
        self,
        chain: Chain,
        signer: Signer,
        *,
        max_fee_gwei: float = 100.0,
        receipt_timeout_s: float = RECEIPT_TIMEOUT_S,
        replace_after_s: float = REPLACE_AFTER_S,
    ) -> None:
        self._chain = chain
        self._receipt_timeout_s = receipt_timeout_s
        self._replace_after_s = replace_after_s
        self._stuck: Handle | None = None
        self._signer = signer
        self._max_fee_wei = int(max_fee_gwei * GWEI)
        self._chain_id: int | None = None
        self._nonce: int | None = None

    @property
    def address(self) -> Address:
        return self._signer.address

    @property
    def signer(self) -> Signer:
        return self._signer

    def act(self, call: Call) -> Receipt:
        """Sends and waits.

        Raises:
            Refused: the contract refuses, by name; nothing was sent.
            ChainFault: the endpoint failed, the fee would exceed the cap, or the transaction was not mined in time.
        """
        try:
            return self.wait(self.send(call))
        except Refused as exc:
            metrics.refused(exc)
            raise

    def send(self, call: Call) -> Handle:
        """Simulates, signs and sends; several may be on their way at once."""
        gas = self._estimate(call)
        return self._dispatch(call, {"to": call.target, "data": "0x" + call.data.hex(), "gas": gas, "value": 0})

    def transfer(self, recipient: Address, amount_wei: int) -> Handle:
        """Sends ether."""
        call = Call(action="transfer", target=recipient, data=b"")
        return self._dispatch(call, {"to": recipient, "data": "0x", "gas": 21_000, "value": amount_wei})

    def deploy(self, name: str, bytecode: bytes) -> Handle:
        """Sends a contract's creation."""
        call = Call(action=f"deploy {name}", target=self.address, data=bytecode)
        request = {"from": self.address, "data": "0x" + bytecode.hex()}
        gas = int(int(self._chain.request("eth_estimateGas", request), 16) * GAS_MARGIN)
        return self._dispatch(call, {"data": "0x" + bytecode.hex(), "gas": gas, "value": 0})

    def wait(self, handle: Handle) -> Receipt:
        """Waits until a transaction is mined and as many blocks lie above it as the chain is read behind its head.

        One whose fee fell behind the chain's is replaced by its like at a higher fee.

        Raises:
            Refused: it was mined and reverted, since the state had changed after the simulation.
            ChainFault: it was not mined in time.
        """
        try:
            found = self._mined(handle)
        except ChainFault:
            self._nonce = None  # Whether it will be mined is unknown: ask the chain before the next one.
            raise
        passed, gas_used = int(found["status"], 16) == 1, int(found["gasUsed"], 16)
        metrics.mined(handle.call.action, gas_used, passed=passed)
        if not passed:
            # Simulating it again tells the reason, unless the state has changed once more.
            self._chain.call(handle.call.target, handle.call.data, sender=self.address)
            raise Refused(f"{handle.call.action}: reverted when it was mined, and would pass now; try again")
        return Receipt(
            action=handle.call.action,
            transaction=found["transactionHash"],
            block=int(found["blockNumber"], 16),
            gas_used=gas_used,
            contract=found["contractAddress"],
        )

    def _mined(self, handle: Handle) -> dict[str, Any]:
        """Receipt of a transaction or of one that replaced it; of two with one nonce, only one is ever mined."""
        sent = [handle]
        deadline, replace_at = time.monotonic() + self._receipt_timeout_s, time.monotonic() + self._replace_after_s
        pause_s, head = RECEIPT_POLL_S, 0
        while time.monotonic() <= deadline:
            found = next(filter(None, (self._receipt(one) for one in sent)), None)
            if found is not None and self._chain.is_read(int(found["blockNumber"], 16)):
                return found
            if found is not None and head != (head := self._chain.block_number()):
                # Mined, and blocks come: only a chain that stands still ends the wait.
                deadline = time.monotonic() + self._receipt_timeout_s
            elif found is None and time.monotonic() >= replace_at:
                self._require_predecessors(handle)
                sent += self._replacement(sent[-1])
                replace_at = time.monotonic() + self._replace_after_s
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.2, RECEIPT_POLL_MAX_S)
        self._stuck = sent[-1]
        raise ChainFault(f"{handle.call.action}: not mined within {self._receipt_timeout_s:g} s; is the chain alive?")

    def _require_predecessors(self, handle: Handle) -> None:
        """A chain that lost blocks may have lost transactions before this one, so that it can never be mined."""
        pending = int(self._chain.request("eth_getTransactionCount", self.address, "pending"), 16)
        if pending < cast(int, handle.fields["nonce"]):
            raise ChainFault(f"{handle.call.action}: the chain lost transactions that were mined before; sending anew")

    def _receipt(self, handle: Handle) -> dict[str, Any] | None:
        receipt: dict[str, Any] | None = self._chain.request("eth_getTransactionReceipt", handle.transaction)
        return receipt

    def _replacement(self, stuck: Handle) -> list[Handle]:
        """The same transaction at a higher fee, if its fee is the reason that it waits and the cap allows more; as it
        was, if its fee is enough again but the endpoint dropped it.
        """
        fees: Fees | None = stuck.fees
        if self._base_fee() + stuck.fees.tip_wei > stuck.fees.max_fee_wei:
            fees = self._raised(stuck.fees)
        elif self._chain.request("eth_getTransactionByHash", stuck.transaction) is not None:
            return []
        if fees is None:
            return []
        try:
            return [self._broadcast(stuck.call, stuck.fields, fees)]
        except (ChainFault, Refused):
            # It was mined in this moment, or is not known any more: its receipt tells, or the deadline.
            return []

    def _estimate(self, call: Call) -> int:
        request = {"from": self.address, "to": call.target, "data": "0x" + call.data.hex()}
        return int(int(self._chain.request("eth_estimateGas", request), 16) * GAS_MARGIN) + GAS_EXTRA

    def _dispatch(self, call: Call, transaction: dict[str, object]) -> Handle:
        if self._chain_id is None:
            self._chain_id = self._chain.chain_id()
        fees = self._fees()
        if self._nonce is None:
            self._nonce, fees = self._next_nonce(fees)
        fields = {**transaction, "type": 2, "chainId": self._chain_id, "nonce": self._nonce}
        try:
            handle = self._broadcast(call, fields, fees)
        except (ChainFault, Refused):
            self._nonce = None  # Whether it was taken is unknown: ask the chain before the next one.
            raise
        self._nonce += 1
        return handle

    def _next_nonce(self, fees: Fees) -> tuple[int, Fees]:
        """The nonce after all that is on its way. Where a transaction is stuck, its own, with the fees that replace it:
        behind it, nothing would ever be mined.
        """
        stuck, mined = self._stuck, int(self._chain.request("eth_getTransactionCount", self.address, "latest"), 16)
        if stuck is None or stuck.fields["nonce"] != mined:
            self._stuck = None
            return int(self._chain.request("eth_getTransactionCount", self.address, "pending"), 16), fees
        raised = self._raised(stuck.fees)
        if raised is None:
            offered, cap = stuck.fees.max_fee_wei / GWEI, self._max_fee_wei / GWEI
            raise ChainFault(
                f"{stuck.call.action}: waits to be mined at {offered:g} gwei, and chain.max_fee_gwei ({cap:g}) allows "
                "no replacement; waiting for the fee to fall, or raise the cap"
            )
        return mined, raised

    def _broadcast(self, call: Call, fields: Mapping[str, object], fees: Fees) -> Handle:
        prices = {"maxFeePerGas": fees.max_fee_wei, "maxPriorityFeePerGas": fees.tip_wei}
        raw = self._signer.sign_transaction({**fields, **prices})
        sent = self._chain.request("eth_sendRawTransaction", "0x" + raw.hex())
        return Handle(call=call, transaction=sent, fields=fields, fees=fees)

    def _base_fee(self) -> int:
        return int(self._chain.request("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)

    def _fees(self) -> Fees:
        """Twice the base fee, so that it stays enough for six full blocks (EIP-1559), under the cap."""
        base = self._base_fee()
        if base + PRIORITY_FEE_WEI > self._max_fee_wei:
            raise ChainFault(
                f"chain.max_fee_gwei: the cap of {self._max_fee_wei / GWEI:g} is below the present base fee of "
                f"{base / GWEI:g} with a tip of {PRIORITY_FEE_WEI / GWEI:g}; waiting for it to fall, or raise the cap"
            )
        return Fees(max_fee_wei=min(2 * base + PRIORITY_FEE_WEI, self._max_fee_wei), tip_wei=PRIORITY_FEE_WEI)

    def _raised(self, fees: Fees) -> Fees | None:
        """Fees that may replace others and follow the chain's present ones, or `None` where the cap forbids it."""
        least = fees.bumped()
        if least.max_fee_wei > self._max_fee_wei:
            return None
        wanted = min(2 * self._base_fee() + least.tip_wei, self._max_fee_wei)
        return Fees(max_fee_wei=max(least.max_fee_wei, wanted), tip_wei=least.tip_wei)


def _bump(fee_wei: int) -> int:
    """Rounded up."""
    return -(-fee_wei * (100 + BUMP_PERCENT) // 100)
