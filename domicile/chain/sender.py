"""Sending transactions: simulated first, numbered locally, priced under a cap, waited for."""

from __future__ import annotations

import time
from dataclasses import dataclass

from domicile.chain.account import Signer
from domicile.chain.client import Chain
from domicile.errors import ChainFault, ConfigurationError, Refused
from domicile.types import Address

GWEI = 10**9
GAS_MARGIN = 1.25
"""What a call needs may grow until it is mined: another member's act may make it the one that changes a phase."""

GAS_EXTRA = 150_000
PRIORITY_FEE_WEI = GWEI
RECEIPT_POLL_S = 0.01
RECEIPT_POLL_MAX_S = 0.5
RECEIPT_TIMEOUT_S = 120.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One action on a contract; `action` is the function's name."""

    action: str
    target: Address
    data: bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Handle:
    """A transaction on its way."""

    call: Call
    transaction: str


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
            ConfigurationError: the fee would exceed the cap.
            ChainFault: the endpoint failed, or the transaction was not mined in time.
        """
        return self.wait(self.send(call))

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
        """Waits until a transaction is mined.

        Raises:
            Refused: it was mined and reverted, since the state had changed after the simulation.
            ChainFault: it was not mined in time.
        """
        deadline = time.monotonic() + RECEIPT_TIMEOUT_S
        pause_s = RECEIPT_POLL_S
        while (found := self._chain.request("eth_getTransactionReceipt", handle.transaction)) is None:
            if time.monotonic() > deadline:
                self._nonce = None
                raise ChainFault(
                    f"{handle.call.action}: not mined within {RECEIPT_TIMEOUT_S:.0f} s; is the chain alive?"
                )
            time.sleep(pause_s)
            pause_s = min(pause_s * 1.2, RECEIPT_POLL_MAX_S)
        if int(found["status"], 16) != 1:
            # Simulating it again tells the reason, unless the state has changed once more.
            self._chain.call(handle.call.target, handle.call.data, sender=self.address)
            raise Refused(f"{handle.call.action}: reverted when it was mined, and would pass now; try again")
        return Receipt(
            action=handle.call.action,
            transaction=handle.transaction,
            block=int(found["blockNumber"], 16),
            gas_used=int(found["gasUsed"], 16),
            contract=found["contractAddress"],
        )

    def _estimate(self, call: Call) -> int:
        request = {"from": self.address, "to": call.target, "data": "0x" + call.data.hex()}
        return int(int(self._chain.request("eth_estimateGas", request), 16) * GAS_MARGIN) + GAS_EXTRA

    def _dispatch(self, call: Call, transaction: dict[str, object]) -> Handle:
        if self._chain_id is None:
            self._chain_id = self._chain.chain_id()
        if self._nonce is None:
            self._nonce = int(self._chain.request("eth_getTransactionCount", self.address, "pending"), 16)
        full = {
            **transaction,
            "type": 2,
            "chainId": self._chain_id,
            "nonce": self._nonce,
            "maxFeePerGas": self._fee(),
            "maxPriorityFeePerGas": min(PRIORITY_FEE_WEI, self._max_fee_wei),
        }
        try:
            raw = self._signer.sign_transaction(full)
            sent = self._chain.request("eth_sendRawTransaction", "0x" + raw.hex())
        except (ChainFault, Refused):
            self._nonce = None  # Whether it was taken is unknown: ask the chain before the next one.
            raise
        self._nonce += 1
        return Handle(call=call, transaction=sent)

    def _fee(self) -> int:
        """Twice the base fee, so that it stays enough for six full blocks (EIP-1559), under the cap."""
        base = int(self._chain.request("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
        if base + PRIORITY_FEE_WEI > self._max_fee_wei:
            raise ConfigurationError(
                f"chain.max_fee_gwei: {self._max_fee_wei / GWEI:g} is below the base fee of {base / GWEI:g}; raise it "
                "or wait"
            )
        return min(2 * base + PRIORITY_FEE_WEI, self._max_fee_wei)
