"""Sending transactions: simulated first, numbered locally, priced under a cap, waited for."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eth_utils.crypto import keccak

from domicile import metrics
from domicile.chain.account import Signer
from domicile.chain.client import Chain
from domicile.clock import DEFAULT_CLOCK, JobClock
from domicile.errors import ChainFault, Overtaken, Refused, Rejected, Unfunded
from domicile.protocol.refusals import NothingToAdvance, WindowStillOpen, WrongJobPhase, WrongShardPhase
from domicile.types import Address

GWEI = 10**9
ETHER_WEI = 10**18
GAS_MARGIN = 1.25
"""What a call needs may grow until it is mined: another member's act may make it the one that changes a phase."""

GAS_EXTRA = 150_000
PRIORITY_FEE_WEI = GWEI
RECEIPT_POLL_S = 0.01
RECEIPT_POLL_MAX_S = 0.5
BUMP_PERCENT = 10
"""What endpoints ask of both fees before they let a transaction take the place of another (geth, anvil, Besu)."""

_ENDS_A_PHASE = ("advance", "advanceShard")
_ENDED_ALREADY = (NothingToAdvance, WindowStillOpen, WrongJobPhase, WrongShardPhase)
"""What those who end a phase hear when somebody was faster: what follows has a window of its own, or none."""

_UNDERPRICED = "underpriced"
"""How geth, reth, anvil, Besu and ganache name a fee that does not replace another transaction."""


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
class Place:
    """What the next transaction is numbered, and what it may pay."""

    nonce: int
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

    def __init__(self, chain: Chain, signer: Signer, *, max_fee_gwei: float = 100.0) -> None:
        self._chain = chain
        self._signer = signer
        self._max_fee_wei = int(max_fee_gwei * GWEI)
        self._chain_id: int | None = None
        # Of the next transaction, while others may be on their way; `None` where the chain is to be asked.
        self._nonce: int | None = None

    @property
    def address(self) -> Address:
        return self._signer.address

    @property
    def signer(self) -> Signer:
        return self._signer

    def act(self, call: Call, clock: JobClock = DEFAULT_CLOCK) -> Receipt:
        """Sends and waits, by the clock of the job that it is for. The nonce is asked for each time: a reorganisation,
        an endpoint that forgot a transaction and an earlier process of this account all change it.

        Raises:
            Refused: the contract refuses, by name; nothing was sent. Overtaken: another party ended the phase first.
            ChainFault: the endpoint failed, the fee would exceed the cap, or the transaction was not mined in time.
            Unfunded: the account cannot pay.
        """
        self._nonce = None
        try:
            return self.wait(self.send(call, clock), clock)
        except Refused as exc:
            if call.action in _ENDS_A_PHASE and isinstance(exc, _ENDED_ALREADY):
                raise Overtaken(f"another party ended this phase first; nothing is left to do ({exc})") from exc
            metrics.refused(exc)
            raise

    def send(self, call: Call, clock: JobClock = DEFAULT_CLOCK) -> Handle:
        """Simulates, signs and sends; several may be on their way at once."""
        # What an earlier process left on its way is waited for first: it may be this very act.
        place = self._place(clock)
        request = {"from": self.address, "to": call.target, "data": "0x" + call.data.hex()}
        gas = self._estimate(request) + GAS_EXTRA
        fields = {"to": call.target, "data": "0x" + call.data.hex(), "gas": gas, "value": 0}
        return self._dispatch(call, fields, place)

    def settle(self, clock: JobClock = DEFAULT_CLOCK) -> None:
        """Waits for what an earlier process of this account left on its way, as long as `send` would: whoever reads the
        chain then knows what that came to.
        """
        self._nonce = None
        self._place(clock)

    def transfer(self, recipient: Address, amount_wei: int, clock: JobClock = DEFAULT_CLOCK) -> Handle:
        """Sends ether."""
        call = Call(action="transfer", target=recipient, data=b"")
        fields: dict[str, object] = {"to": recipient, "data": "0x", "gas": 21_000, "value": amount_wei}
        return self._dispatch(call, fields, self._place(clock))

    def deploy(self, name: str, bytecode: bytes) -> Handle:
        """Sends a contract's creation."""
        call = Call(action=f"deploy {name}", target=self.address, data=bytecode)
        place = self._place(DEFAULT_CLOCK)
        gas = self._estimate({"from": self.address, "data": "0x" + bytecode.hex()})
        return self._dispatch(call, {"data": "0x" + bytecode.hex(), "gas": gas, "value": 0}, place)

    def wait(self, handle: Handle, clock: JobClock = DEFAULT_CLOCK) -> Receipt:
        """Waits until a transaction is mined and as many blocks lie above it as the chain is read behind its head.

        One whose fee fell behind the chain's is replaced by its like at a higher fee.

        Raises:
            Refused: it was mined and reverted, since the state had changed after the simulation.
            ChainFault: it was not mined in time.
        """
        found = self._mined(handle, clock)
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

    def _mined(self, handle: Handle, clock: JobClock) -> dict[str, Any]:
        """Receipt of a transaction or of one that replaced it; of two with one nonce, only one is ever mined."""
        sent = [handle]
        started = time.monotonic()
        deadline, replace_at = started + clock.receipt_timeout_s, started + clock.replace_after_s
        pause_s, head = RECEIPT_POLL_S, 0
        while time.monotonic() <= deadline:
            found = next(filter(None, (self._receipt(one) for one in sent)), None)
            if found is not None and self._chain.is_read(int(found["blockNumber"], 16)):
                return found
            if found is not None and head != (head := self._chain.block_number()):
                # Mined, and blocks come: only a chain that stands still ends the wait.
                deadline = time.monotonic() + clock.receipt_timeout_s
            elif found is None and time.monotonic() >= replace_at:
                sent += self._replacement(sent[-1])
                replace_at = time.monotonic() + clock.replace_after_s
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.2, RECEIPT_POLL_MAX_S)
        self._nonce = None
        raise ChainFault(f"{handle.call.action}: not mined within {clock.receipt_timeout_s:g} s; is the chain alive?")

    def _receipt(self, handle: Handle) -> dict[str, Any] | None:
        receipt: dict[str, Any] | None = self._chain.request("eth_getTransactionReceipt", handle.transaction)
        return receipt

    def _replacement(self, stuck: Handle) -> list[Handle]:
        """The same transaction at a higher fee, if its fee is the reason that it waits and the cap allows more; as it
        was, if its fee is enough again but the endpoint dropped it.

        Raises:
            ChainFault: it can never be mined.
        """
        self._require_no_gap(stuck)
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

    def _require_no_gap(self, stuck: Handle) -> None:
        """A chain that went back, or lost what was on its way before this transaction, mines nothing after the gap.

        Raises:
            ChainFault: this transaction's number is above the next one of the account.
        """
        next_nonce = int(self._chain.request("eth_getTransactionCount", self.address, "pending"), 16)
        if next_nonce < int(str(stuck.fields["nonce"])):
            self._nonce = None
            raise ChainFault(
                f"{stuck.call.action}: the chain lost an earlier transaction of this account, and mines none after it; "
                "acting anew"
            )

    def _estimate(self, request: dict[str, str]) -> int:
        return int(int(self._chain.request("eth_estimateGas", request), 16) * GAS_MARGIN)

    def _place(self, clock: JobClock) -> Place:
        """The next nonce, and fees under the cap.

        Where transactions that nobody waits for any more are on their way (this process gave them up, or an earlier
        one was killed), they get the clock's time; then the oldest of them is to be replaced, since behind it nothing
        would ever be mined.
        """
        if self._nonce is not None:
            return Place(nonce=self._nonce, fees=self._fees(self._base_fee()))
        deadline = time.monotonic() + clock.replace_after_s
        while True:
            newest, mined, pending = self._chain.batch(
                [
                    ("eth_getBlockByNumber", ["latest", False]),
                    ("eth_getTransactionCount", [self.address, "latest"]),
                    ("eth_getTransactionCount", [self.address, "pending"]),
                ]
            )
            if int(pending, 16) <= int(mined, 16) or time.monotonic() >= deadline:
                return Place(nonce=int(mined, 16), fees=self._fees(int(newest["baseFeePerGas"], 16)))
            time.sleep(min(RECEIPT_POLL_MAX_S, clock.replace_after_s / 4))

    def _dispatch(self, call: Call, transaction: dict[str, object], place: Place) -> Handle:
        if self._chain_id is None:
            self._chain_id = self._chain.chain_id()
        fields = {**transaction, "type": 2, "chainId": self._chain_id, "nonce": place.nonce}
        # Whether it was taken is unknown until it was: otherwise the chain is asked before the next one.
        self._nonce = None
        handle = self._outbid(call, fields, place.fees)
        self._nonce = place.nonce + 1
        return handle

    def _outbid(self, call: Call, fields: Mapping[str, object], fees: Fees) -> Handle:
        """Sends, at higher fees until they replace what has the same nonce, or the cap is reached."""
        while True:
            try:
                return self._broadcast(call, fields, fees)
            except Rejected as exc:
                if _UNDERPRICED not in str(exc).lower():
                    raise
            raised = self._raised(fees)
            if raised is None:
                offered, cap = fees.max_fee_wei / GWEI, self._max_fee_wei / GWEI
                raise ChainFault(
                    f"{call.action}: another transaction of this account waits to be mined and {offered:g} gwei do not "
                    f"replace it, which is all that chain.max_fee_gwei ({cap:g}) allows; waiting, or raise the cap"
                )
            fees = raised

    def _broadcast(self, call: Call, fields: Mapping[str, object], fees: Fees) -> Handle:
        prices = {"maxFeePerGas": fees.max_fee_wei, "maxPriorityFeePerGas": fees.tip_wei}
        raw = self._signer.sign_transaction({**fields, **prices})
        handle = Handle(call=call, transaction="0x" + keccak(raw).hex(), fields=fields, fees=fees)
        try:
            self._chain.request("eth_sendRawTransaction", "0x" + raw.hex())
        except Rejected as exc:
            # Of a try whose answer was lost, the next one says "already known" or "nonce too low".
            if self._chain.request("eth_getTransactionByHash", handle.transaction) is None:
                raise self._short_of_funds(handle) or exc from exc
        return handle

    def _short_of_funds(self, handle: Handle) -> Unfunded | None:
        """Each client words this in its own way, and none says what to do."""
        gas, value_wei = (int(str(handle.fields[key])) for key in ("gas", "value"))
        most_wei = gas * handle.fees.max_fee_wei + value_wei
        balance_wei = int(self._chain.request("eth_getBalance", self.address, "latest"), 16)
        if balance_wei >= most_wei:
            return None
        return Unfunded(
            f"{self.address} has {balance_wei / ETHER_WEI:.6g} ether, and {handle.call.action} may cost up to "
            f"{most_wei / ETHER_WEI:.6g}; send the account some"
        )

    def _base_fee(self) -> int:
        return int(self._chain.request("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)

    def _fees(self, base: int) -> Fees:
        """Twice the base fee, so that it stays enough for six full blocks (EIP-1559), under the cap."""
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
