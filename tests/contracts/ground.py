"""The contracts on a development chain, over bare JSON-RPC: what the tests and the gas benchmark stand on.

Apart from ``domicile.chain`` on purpose, so that the contracts are checked by other code than that which uses them.
"""

from __future__ import annotations

import itertools
import json
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

from eth_abi import decode, encode
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils import keccak, to_checksum_address

from domicile.chain.artifacts import Artifact, load_artifacts

GAS_LIMIT = 12_000_000
MNEMONIC = "test test test test test test test test test test test junk"


class Reverted(Exception):
    """A transaction or call reverted with a custom error of one of the contracts."""

    def __init__(self, name: str, arguments: tuple[Any, ...]) -> None:
        super().__init__(f"{name}{arguments}")
        self.name = name
        self.arguments = arguments


def refused(act: Callable[[], Any]) -> tuple[str, tuple[Any, ...]]:
    """Name and arguments of the custom error with which an act is refused."""
    try:
        act()
    except Reverted as refusal:
        return refusal.name, refusal.arguments
    raise AssertionError("the act was not refused")


@dataclass(frozen=True)
class Event:
    name: str
    values: dict[str, Any]


@dataclass(frozen=True)
class Receipt:
    gas_used: int
    events: list[Event] = field(default_factory=list)
    contract_address: str | None = None

    def names(self) -> list[str]:
        return [event.name for event in self.events]

    def event(self, name: str) -> dict[str, Any]:
        """Values of the one event of this name."""
        (values,) = [event.values for event in self.events if event.name == name]
        return values


def type_of(entry: Mapping[str, Any]) -> str:
    """ABI type of a parameter, structs written out."""
    kind: str = entry["type"]
    if not kind.startswith("tuple"):
        return kind
    return "(" + ",".join(type_of(part) for part in entry["components"]) + ")" + kind.removeprefix("tuple")


def _shape(value: Any, entry: Mapping[str, Any]) -> Any:
    """Turns dicts into tuples in the order of the ABI's components."""
    if not entry["type"].startswith("tuple"):
        return value
    if entry["type"].endswith("]"):
        one = {**entry, "type": re.sub(r"\[\d*\]$", "", entry["type"])}
        return [_shape(item, one) for item in value]
    if isinstance(value, Mapping):
        return tuple(_shape(value[part["name"]], part) for part in entry["components"])
    return value


def _named(value: Any, entry: Mapping[str, Any]) -> Any:
    """Turns decoded tuples into dicts; addresses become checksummed."""
    if entry["type"].endswith("]"):
        one = {**entry, "type": re.sub(r"\[\d*\]$", "", entry["type"])}
        return [_named(item, one) for item in value]
    if entry["type"] == "tuple":
        return {p["name"]: _named(v, p) for p, v in zip(entry["components"], value, strict=True)}
    return to_checksum_address(value) if entry["type"] == "address" else value


def _blank(entry: Mapping[str, Any]) -> Any:
    """Zeros and empty lists, for a parameter that must not be reached."""
    kind = entry["type"]
    if kind.endswith("]"):
        return []
    if kind == "tuple":
        return {part["name"]: _blank(part) for part in entry["components"]}
    return "0x" + "00" * 20 if kind == "address" else bytes(32) if kind == "bytes32" else 0


def selector(entry: Mapping[str, Any]) -> bytes:
    signature = f"{entry['name']}({','.join(type_of(part) for part in entry['inputs'])})"
    return bytes(keccak(text=signature))


class Chain:
    """Bare JSON-RPC; every transaction is mined at the second ``now``, which only ``pass_s`` moves."""

    def __init__(self, rpc_url: str, *, client: str = "anvil") -> None:
        self._where = urlsplit(rpc_url)
        self._connection = HTTPConnection(self._where.hostname or "", self._where.port)
        self._ids = itertools.count(1)
        self._anvil = client == "anvil"
        if self._anvil:
            self.rpc("evm_setAutomine", False)
        self._errors: dict[bytes, Mapping[str, Any]] = {}
        self._topics: dict[bytes, Mapping[str, Any]] = {}
        self.now = self.timestamp()
        self.chain_id = int(self.rpc("eth_chainId"), 16)
        self.accounts = [to_checksum_address(account) for account in self.rpc("eth_accounts")]
        for artifact in load_artifacts().values():
            self.learn(artifact)

    def close(self) -> None:
        self._connection.close()

    def learn(self, artifact: Artifact) -> None:
        for entry in artifact.abi:
            if entry["type"] == "error":
                self._errors[selector(entry)[:4]] = entry
            elif entry["type"] == "event":
                self._topics[selector(entry)] = entry

    def rpc(self, method: str, *parameters: Any) -> Any:
        body = json.dumps({"jsonrpc": "2.0", "id": next(self._ids), "method": method, "params": list(parameters)})
        self._connection.request("POST", "/", body, {"Content-Type": "application/json"})
        answer = json.loads(self._connection.getresponse().read())
        if "error" in answer:
            self._raise(answer["error"])
        return answer["result"]

    def timestamp(self) -> int:
        return int(self.rpc("eth_getBlockByNumber", "latest", False)["timestamp"], 16)

    def pass_s(self, seconds: int) -> None:
        self.to(self.now + seconds)

    def to(self, timestamp: int) -> None:
        """Moves the clock and mines, so that calls see it too."""
        self.now = timestamp
        if self._anvil:
            self.rpc("evm_setNextBlockTimestamp", self.now)
            self.rpc("evm_mine")
        else:
            self.rpc("evm_mine", self.now)

    def call(self, to: str, data: bytes, sender: str | None = None) -> bytes:
        request = {"to": to, "data": "0x" + data.hex(), "gas": hex(GAS_LIMIT)}
        if sender is not None:
            request["from"] = sender
        return bytes.fromhex(self.rpc("eth_call", request, "latest")[2:])

    def transact(self, sender: str, to: str | None, data: bytes) -> Receipt:
        request = {"from": sender, "data": "0x" + data.hex(), "gas": hex(GAS_LIMIT)}
        if to is not None:
            request["to"] = to
        receipt = self._mine(request)
        if receipt["status"] != "0x1":
            trace = self.rpc("debug_traceTransaction", receipt["transactionHash"], {"tracer": "callTracer"})
            self._raise({"data": trace.get("output", "0x"), "message": trace.get("error", "")})
        return Receipt(
            gas_used=int(receipt["gasUsed"], 16),
            events=[self._event(log) for log in receipt["logs"]],
            contract_address=receipt["contractAddress"] and to_checksum_address(receipt["contractAddress"]),
        )

    def _mine(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if self._anvil:
            return self._mine_by_hand(request)
        if "to" in request:
            self.rpc("eth_call", request, "latest")
        digest = self.rpc("eth_sendTransaction", request)
        for _ in range(2000):
            found: dict[str, Any] | None = self.rpc("eth_getTransactionReceipt", digest)
            if found is not None:
                return found
            time.sleep(0.005)
        raise TimeoutError("the transaction was not mined")

    def _mine_by_hand(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """On a machine under load, anvil's automatic mining now and then leaves a transaction waiting."""
        digest = self.rpc("eth_sendTransaction", request)
        self.rpc("evm_setNextBlockTimestamp", self.now)
        self.rpc("evm_mine")
        receipt: dict[str, Any] = self.rpc("eth_getTransactionReceipt", digest)
        return receipt

    def _raise(self, error: Mapping[str, Any]) -> None:
        data = error.get("data")
        if isinstance(data, dict):
            data = data.get("result", "0x")
        raw = bytes.fromhex(data[2:]) if isinstance(data, str) and data.startswith("0x") else b""
        entry = self._errors.get(raw[:4])
        if entry is None:
            raise RuntimeError(f"{error.get('message')} {data}")
        values = decode([type_of(part) for part in entry["inputs"]], raw[4:])
        raise Reverted(entry["name"], tuple(_named(v, p) for v, p in zip(values, entry["inputs"], strict=True)))

    def _event(self, log: Mapping[str, Any]) -> Event:
        topics = [bytes.fromhex(topic[2:]) for topic in log["topics"]]
        entry = self._topics[topics[0]]
        indexed = [part for part in entry["inputs"] if part["indexed"]]
        plain = [part for part in entry["inputs"] if not part["indexed"]]
        values: dict[str, Any] = {}
        for part, topic in zip(indexed, topics[1:], strict=True):
            values[part["name"]] = _named(decode([type_of(part)], topic)[0], part)
        raw = decode([type_of(part) for part in plain], bytes.fromhex(log["data"][2:]))
        for part, value in zip(plain, raw, strict=True):
            values[part["name"]] = _named(value, part)
        return Event(entry["name"], values)


class Contract:
    """One deployed contract; ``call`` reads, ``send`` acts."""

    def __init__(self, chain: Chain, artifact: Artifact, address: str) -> None:
        self.chain = chain
        self.address = address
        self.functions = {entry["name"]: entry for entry in artifact.abi if entry["type"] == "function"}

    def data(self, function: str, *arguments: Any) -> bytes:
        entry = self.functions[function]
        shaped = [_shape(value, part) for value, part in zip(arguments, entry["inputs"], strict=True)]
        return selector(entry)[:4] + encode([type_of(part) for part in entry["inputs"]], shaped)

    def call(self, function: str, *arguments: Any) -> Any:
        entry = self.functions[function]
        raw = decode(
            [type_of(part) for part in entry["outputs"]],
            self.chain.call(self.address, self.data(function, *arguments)),
        )
        values = [_named(value, part) for value, part in zip(raw, entry["outputs"], strict=True)]
        return values[0] if len(values) == 1 else tuple(values)

    def send(self, sender: str, function: str, *arguments: Any) -> Receipt:
        return self.chain.transact(sender, self.address, self.data(function, *arguments))

    def functions_of(self, *parameters: str) -> list[str]:
        """All functions whose first parameters have these names."""
        return [
            name
            for name, entry in self.functions.items()
            if tuple(part["name"] for part in entry["inputs"][: len(parameters)]) == parameters
        ]

    def try_out(self, sender: str, function: str, **given: Any) -> None:
        """Calls a view or tries an action without sending it, blanks for all that is not given."""
        inputs = self.functions[function]["inputs"]
        arguments = [given.get(part["name"], _blank(part)) for part in inputs]
        self.chain.call(self.address, self.data(function, *arguments), sender)


def code(text: str) -> bytes:
    """A jurisdiction code as the contracts keep it."""
    return text.encode().ljust(8, b"\0")


def word(number: int) -> bytes:
    """A made-up digest."""
    return bytes(keccak(number.to_bytes(32, "big")))


@cache
def _development_key(index: int) -> Any:
    Account.enable_unaudited_hdwallet_features()
    return Account.from_mnemonic(MNEMONIC, account_path=f"m/44'/60'/0'/0/{index}")


@dataclass(frozen=True)
class Ground:
    """All contracts deployed; account 0 governs, audits and brakes, accounts 1 to 7 attest."""

    chain: Chain
    manager: Contract
    nodes: Contract
    jobs: Contract
    budgets: Contract
    board: Contract

    @property
    def governor(self) -> str:
        return self.chain.accounts[0]

    @property
    def attesters(self) -> list[str]:
        return self.chain.accounts[1:8]

    @property
    def people(self) -> list[str]:
        """Accounts without a part yet."""
        return self.chain.accounts[8:]

    def key_of(self, account: str) -> Any:
        return _development_key(self.chain.accounts.index(account))

    def list_place(self, name: str, parent: str = "", tier: int = 1) -> Receipt:
        return self.nodes.send(self.governor, "list", code(name), code(parent), tier, word(1))

    def attestation(self, node: str, place: str, **changes: Any) -> dict[str, Any]:
        return {
            "node": node,
            "jurisdiction": code(place),
            "assurance": 2,
            "evidence": word(7),
            "validFrom": self.chain.now - 10,
            "validUntil": self.chain.now + 10_000_000,
            "nonce": self.nodes.call("standingOf", node)["nonce"],
            **changes,
        }

    def sign(self, attestation: Mapping[str, Any], signers: Sequence[str]) -> list[bytes]:
        """Signatures by eth_account, whose EIP-712 encoding knows nothing of the contract's."""
        message = encode_typed_data(
            {"name": "Domicile NodeRegistry", "version": "1", "chainId": self.chain.chain_id,
             "verifyingContract": self.nodes.address},
            {"Attestation": [
                {"name": "node", "type": "address"}, {"name": "jurisdiction", "type": "bytes8"},
                {"name": "assurance", "type": "uint8"}, {"name": "evidence", "type": "bytes32"},
                {"name": "validFrom", "type": "uint40"}, {"name": "validUntil", "type": "uint40"},
                {"name": "nonce", "type": "uint16"},
            ]},
            dict(attestation),
        )  # fmt: skip
        ordered = sorted(signers, key=lambda signer: int(signer, 16))
        return [bytes(self.key_of(signer).sign_message(message).signature) for signer in ordered]

    def attest(self, node: str, place: str, signers: Sequence[str] | None = None, **changes: Any) -> Receipt:
        statement = self.attestation(node, place, **changes)
        return self.nodes.send(node, "attest", statement, self.sign(statement, signers or self.attesters[:1]))

    def admit(self, node: str, place: str, *, sensitivity: int = 2, safeguards: int = 3) -> None:
        """Registers, attests (by one attester) and clears an account."""
        self.nodes.send(node, "register", word(11), safeguards)
        self.attest(node, place)
        if sensitivity:
            self.nodes.send(self.governor, "clear", node, sensitivity, word(12), self.chain.now + 10_000_000)


def deploy(chain: Chain) -> Ground:
    """Deploys everything; no delays, so that tests need not schedule."""
    artifacts = load_artifacts()
    governor = chain.accounts[0]

    def create(name: str, types: list[str], values: list[Any]) -> Contract:
        receipt = chain.transact(governor, None, artifacts[name].bytecode + encode(types, values))
        assert receipt.contract_address is not None
        return Contract(chain, artifacts[name], receipt.contract_address)

    manager = create("AccessManager", ["address"], [governor])
    nodes = create("NodeRegistry", ["address"], [manager.address])
    jobs = create("TrainingJobs", ["address"], [nodes.address])
    nodes.send(governor, "setGuardian", governor, True)
    budgets = Contract(chain, artifacts["PrivacyLedger"], jobs.call("BUDGETS"))
    board = create("UnmaskingBoard", ["address"], [jobs.address])
    return Ground(chain, manager, nodes, jobs, budgets, board)


def settle_places(ground: Ground, quorum: int = 1) -> None:
    """Three shards' worth of places, seven attesters for all of them."""
    for name, parent in (
        ("EU", ""), ("DE", "EU"), ("FR", "EU"), ("US", ""), ("US-CA", "US"), ("US-NY", "US"), ("IN", ""), ("BR", ""),
    ):  # fmt: skip
        ground.list_place(name, parent)
    roots = [code("EU"), code("US"), code("IN"), code("BR")]
    for root in roots:
        ground.nodes.send(ground.governor, "setQuorum", root, quorum)
    for attester in ground.attesters:
        ground.nodes.send(ground.governor, "addAttester", attester, roots)


@dataclass
class Job:
    """One job and how to act on it; every figure has a workable default."""

    ground: Ground
    id: int
    receipt: Receipt

    def send(self, sender: str, function: str, *arguments: Any) -> Receipt:
        return self.ground.jobs.send(sender, function, self.id, *arguments)

    def join(self, node: str, shard: int, dataset: int = 0) -> Receipt:
        return self.send(node, "join", shard, dataset)

    def call(self, function: str, *arguments: Any) -> Any:
        return self.ground.jobs.call(function, self.id, *arguments)

    @property
    def state(self) -> dict[str, Any]:
        state: dict[str, Any] = self.call("jobState")
        return state

    def shard(self, index: int = 0) -> dict[str, Any]:
        state: dict[str, Any] = self.call("shardState", index)
        return state

    def commit(self, node: str, digest: bytes | None = None) -> Receipt:
        shard = self.shard(self.call("memberOf", node)["shard"])
        return self.send(node, "commit", self.state["globalRound"], shard["regionalRound"], digest or word(99))

    def regional(self, index: int = 0, **changes: Any) -> dict[str, Any]:
        """A proposal that holds now, unless `changes` say otherwise."""
        return {
            "globalRound": self.state["globalRound"],
            "regionalRound": self.shard(index)["regionalRound"],
            "commitments": self.call("commitmentsOf", index),
            "model": word(1000),
            "payload": word(1001),
            "lossMicros": 500_000,
            "excluded": [],
            **changes,
        }

    def vote(self, voter: str, index: int = 0, **changes: Any) -> Receipt:
        return self.send(voter, "voteRegional", index, self.regional(index, **changes))

    def export(self, exporter: str, index: int = 0) -> Receipt:
        return self.send(exporter, "reportExport", index, self.state["globalRound"], word(2000 + index))

    def vote_global(self, voter: str, **changes: Any) -> Receipt:
        proposal = {
            "globalRound": self.state["globalRound"],
            "reports": self.call("reportsOf"),
            "model": word(3000),
            "payload": word(3001),
            "excluded": [],
            **changes,
        }
        return self.send(voter, "voteGlobal", proposal)

    def pass_deadline(self, index: int | None = None) -> None:
        self.ground.chain.to((self.state if index is None else self.shard(index))["deadline"])


def parameters(**changes: Any) -> dict[str, Any]:
    return {
        "spec": word(500),
        "joinWindowS": 1000,
        "collectWindowS": 100,
        "globalRounds": 2,
        "minRegionalRounds": 1,
        "maxRegionalRounds": 1,
        "patience": 1,
        "minDeltaMicros": 1000,
        "maxRetries": 1,
        "minNodes": 2,
        "minContributors": 3,
        "minShards": 1,
        "sensitivity": 2,
        "maxTier": 2,
        "safeguards": 1,
        "epsilonMicros": 0,
        "deltaAttos": 0,
        "denied": [],
        **changes,
    }


def shard_of(place: str, members: Sequence[str], quorum: int = 1) -> dict[str, Any]:
    return {"jurisdiction": code(place), "committee": {"members": list(members), "quorum": quorum}}


def create_job(
    ground: Ground, owner: str, shards: Sequence[dict[str, Any]], committee: Mapping[str, Any], **changes: Any
) -> Job:
    receipt = ground.jobs.send(owner, "createJob", parameters(**changes), list(shards), committee)
    return Job(ground, receipt.event("JobCreated")["job"], receipt)
