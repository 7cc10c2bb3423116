"""Bringing a sandbox network up: contracts, places, accounts, daemons, attestations, clearances."""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from domicile.chain.account import Signer
from domicile.chain.client import Chain
from domicile.chain.contracts import Budgets, Jurisdictions, Nodes
from domicile.chain.deployment import Deployment, deploy
from domicile.chain.devnet import DEVELOPMENT_MNEMONIC
from domicile.chain.sender import Call, Sender
from domicile.crypto.keys import HpkeKey
from domicile.errors import Fault
from domicile.protocol.attestation import Attestation
from domicile.protocol.eligibility import Sensitivity
from domicile.protocol.jurisdiction import Tier
from domicile.storage.store import open_store
from domicile.types import Address, DatasetId, Digest, JurisdictionCode
from scripts.datasets import commitment_to
from scripts.network_file import AggregatorEntry, NetworkFile, NodeEntry
from scripts.sandbox.admission import open_gate
from scripts.sandbox.keys import sandbox_secret
from scripts.sandbox.plan import Plan
from scripts.sandbox.processes import Processes
from scripts.wording import counted

OWNER = "_job-owner"
"""Begins as no participant's name may, so that nobody can share its key or its folder."""

ATTESTER = "_attester"
DATA_OWNER = "_data-owner"
"""Of all nodes' data: another account than any node's, as it should be."""

ACCESS_FILE = "access.toml"
FUNDS_WEI = 10 * 10**18
SCRYPT_N = 1 << 10
"""Weak on purpose: whoever has the seed in job.toml has these keys anyway."""

ATTESTED_FOR_S = 30 * 24 * 3600
REGISTRATION_TIMEOUT_S = 60.0
POLL_S = 0.05


@dataclass(frozen=True, kw_only=True)
class Ground:
    """A network that is up, without a job yet."""

    rpc_url: str
    chain: Chain
    deployment: Deployment
    deployment_file: Path
    addresses: dict[str, Address]
    folder: Path
    stores: Mapping[str, str]
    """Locations of those stores that are no folders of the sandbox."""

    @property
    def names(self) -> dict[Address, str]:
        return {address: name for name, address in self.addresses.items()}

    def party_folder(self, name: str) -> Path:
        return self.folder / "parties" / name

    def store(self, place: str) -> str:
        """Location of a region's store, or of the border store."""
        return self.stores.get(place, f"dir:{self.folder / 'stores' / place}")

    @property
    def access_file(self) -> Path:
        return self.folder / ACCESS_FILE


def bring_up(
    plan: Plan,
    rpc_url: str,
    processes: Processes,
    folder: Path,
    say: Callable[[str], None],
    *,
    stores: Mapping[str, str] | None = None,
) -> Ground:
    """Deploys, lists, funds, starts every daemon, attests and clears.

    `stores` names places whose store is there already, and where; all others get a folder of the sandbox.

    Raises:
        DomicileError: a step failed; what was started is ended by the context managers around it.
    """
    chain = Chain(rpc_url)
    governor = Sender(chain, Signer.from_mnemonic(DEVELOPMENT_MNEMONIC))
    # One person holds every role of a sandbox: nobody is there whom a delay would warn.
    deployment = deploy(chain, governor, loosening_delay_s=0)
    deployment_file = folder / "deployment.json"
    deployment.save(deployment_file)
    say(f"contracts deployed, chain {deployment.chain_id} at {rpc_url}")
    addresses = {name: _signer(plan, name).address for name in _participants(plan)}
    ground = Ground(
        rpc_url=rpc_url,
        chain=chain,
        deployment=deployment,
        deployment_file=deployment_file,
        addresses=addresses,
        folder=folder,
        stores=stores or {},
    )
    data_owner = _signer(plan, DATA_OWNER)
    _fund(governor, [*addresses.values(), data_owner.address])
    for name in addresses:
        _write_keys(plan, ground, name)
    for place in store_places(plan):
        open_store(ground.store(place))
    datasets = _grant_budgets(plan, Sender(chain, data_owner), ground) if plan.job.privacy else {}
    if datasets:
        say(f"{counted(len(datasets), 'dataset')} registered, each granted a privacy budget")
    for node in plan.network.nodes:
        config = _write_node(plan, ground, node, datasets.get(node.name))
        processes.start(node.name, "node", config, ground.party_folder(node.name) / "log.jsonl")
    for member in plan.network.aggregators:
        config = _write_aggregator(plan, ground, member)
        processes.start(member.name, "aggregator", config, ground.party_folder(member.name) / "log.jsonl")
    _list_places(governor, Jurisdictions(chain, deployment), plan.network)
    attesters = _appoint_attesters(plan, governor, Nodes(chain, deployment))
    say(
        f"{counted(len(plan.network.jurisdictions), 'jurisdiction')} listed, "
        f"{counted(len(attesters), 'attester')} appointed"
    )
    _await_registered(ground, processes)
    _attest(plan, governor, ground, attesters)
    _clear(plan, governor, ground)
    participants = counted(len(addresses) - 1, "participant")
    say(f"{participants} registered, attested by {plan.network.attesters.quorum} each, and cleared")
    return ground


def _participants(plan: Plan) -> list[str]:
    return [*(one.name for one in (*plan.network.nodes, *plan.network.aggregators)), OWNER]


def _signer(plan: Plan, name: str) -> Signer:
    return Signer.from_key(sandbox_secret(plan.job.seed, name, "account"))


def _send_all(sender: Sender, calls: Iterable[Call]) -> None:
    for handle in [sender.send(call) for call in calls]:
        sender.wait(handle)


def _fund(governor: Sender, addresses: Iterable[Address]) -> None:
    for handle in [governor.transfer(address, FUNDS_WEI) for address in addresses]:
        governor.wait(handle)


def _write_keys(plan: Plan, ground: Ground, name: str) -> None:
    folder = ground.party_folder(name)
    folder.mkdir(parents=True)
    password = secrets.token_urlsafe(24)
    password_file = folder / "password"
    password_file.touch(mode=0o600)
    password_file.write_text(password, encoding="utf-8")
    _signer(plan, name).save(folder / "account.json", password, iterations=SCRYPT_N)
    key = HpkeKey.from_seed(sandbox_secret(plan.job.seed, name, "hpke"))
    key.save(folder / "hpke.json", password, scrypt_n=SCRYPT_N)


def _party_table(plan: Plan, ground: Ground, name: str, region: str) -> list[str]:
    folder = ground.party_folder(name).absolute()
    return [
        f"name = {_toml(name)}",
        f"journal = {_toml(folder / 'journal.sqlite')}",
        "",
        "[chain]",
        f"rpc_url = {_toml(ground.rpc_url)}",
        f"deployment = {_toml(ground.deployment_file.absolute())}",
        f"poll_s = {min(0.5, plan.network.block_time_s / 2)}",
        "",
        "[keys]",
        f"account = {_toml(folder / 'account.json')}",
        f"hpke = {_toml(folder / 'hpke.json')}",
        f"password_file = {_toml(folder / 'password')}",
        "",
        "[stores]",
        f"region = {_toml(ground.store(region))}",
        f"border = {_toml(ground.store('border'))}",
        "",
        "[jobs]",
        f"kept_rounds = {plan.network.kept_rounds}",
    ]


def _grant_budgets(plan: Plan, owner: Sender, ground: Ground) -> dict[str, DatasetId]:
    """Registers each node's training rows, of which nothing can be spent before, and grants what its owner allows."""
    budgets, gate = Budgets(ground.chain, ground.deployment), open_gate(plan.network, plan.job)
    folder = ground.party_folder(DATA_OWNER)
    folder.mkdir(parents=True)
    commitments = {
        node.name: commitment_to(folder, plan.data_path(node.train), ground.addresses[node.name])[0]
        for node in plan.network.nodes
    }
    _send_all(owner, [budgets.register_dataset(one, ground.addresses[name]) for name, one in commitments.items()])
    datasets = {name: budgets.dataset_of(one) for name, one in commitments.items()}
    until_s = ground.chain.timestamp() + ATTESTED_FOR_S
    _send_all(
        owner,
        [budgets.grant_budget(datasets[node.name], gate.granted(node), until_s) for node in plan.network.nodes],
    )
    return datasets


def _write_node(plan: Plan, ground: Ground, node: NodeEntry, dataset: DatasetId | None) -> Path:
    lines = [
        *_party_table(plan, ground, node.name, plan.home[node.name]),
        "",
        "[data]",
        f"train = {_toml((plan.folder / node.train).absolute())}",
        *([f"test = {_toml((plan.folder / node.test).absolute())}"] if node.test else []),
        *([] if dataset is None else [f"dataset = {dataset}"]),
        "",
        "[[tasks]]",
        f"use = {_toml(plan.job.task.use)}",
        f"digest = {_toml(plan.task_digest)}",
        f"folder = {_toml(plan.folder.absolute())}",
        "",
        "[privacy]",
        'noise = "reproducible"',
    ]
    return _write(ground.party_folder(node.name) / "node.toml", lines)


def _write_aggregator(plan: Plan, ground: Ground, member: AggregatorEntry) -> Path:
    lines = _party_table(plan, ground, member.name, plan.home[member.name])
    return _write(ground.party_folder(member.name) / "aggregator.toml", lines)


def _write(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _toml(value: object) -> str:
    """A TOML basic string; JSON's escapes are a part of TOML's."""
    return json.dumps(str(value), ensure_ascii=False)


def write_access(plan: Plan, ground: Ground) -> None:
    """How ``domicile job`` reaches this network while it is up."""
    owner = ground.party_folder(OWNER).absolute()
    lines = [
        "[chain]",
        f"rpc_url = {_toml(ground.rpc_url)}",
        f"deployment = {_toml(ground.deployment_file.absolute())}",
        "",
        "[keys]",
        f"account = {_toml(owner / 'account.json')}",
        f"hpke = {_toml(owner / 'hpke.json')}",
        f"password_file = {_toml(owner / 'password')}",
        "",
        "[stores]",
        *(f"{_toml(place)} = {_toml(ground.store(place))}" for place in store_places(plan)),
        "",
        "[names]",
        *(f"{_toml(address)} = {_toml(name)}" for name, address in ground.addresses.items()),
    ]
    _write(ground.access_file, lines)


def store_places(plan: Plan) -> list[str]:
    """Where the sandbox has a store: the border, and every place that a participant calls its own."""
    return ["border", *sorted(set(plan.home.values()))]


def _list_places(governor: Sender, jurisdictions: Jurisdictions, network: NetworkFile) -> None:
    waiting = list(network.jurisdictions)
    listed: set[str | None] = {None}
    while waiting:
        ready = [entry for entry in waiting if entry.parent in listed]
        _send_all(
            governor,
            (
                jurisdictions.list(
                    JurisdictionCode(entry.code),
                    None if entry.parent is None else JurisdictionCode(entry.parent),
                    Tier[entry.tier.upper()],
                    _document(f"sandbox tier of {entry.code}"),
                )
                for entry in ready
            ),
        )
        listed.update(entry.code for entry in ready)
        waiting = [entry for entry in waiting if entry not in ready]


def _appoint_attesters(plan: Plan, governor: Sender, nodes: Nodes) -> list[Signer]:
    roots = [JurisdictionCode(entry.code) for entry in plan.network.jurisdictions if entry.parent is None]
    signers = [_signer(plan, f"{ATTESTER}-{number}") for number in range(plan.network.attesters.num)]
    appointments = [nodes.add_attester(signer.address, roots) for signer in signers]
    quorums = [nodes.set_quorum(code, plan.network.attesters.quorum) for code in roots]
    _send_all(governor, [*appointments, *quorums])
    return sorted(signers, key=lambda signer: signer.address.lower())


def _await_registered(ground: Ground, processes: Processes) -> None:
    nodes = Nodes(ground.chain, ground.deployment)
    deadline = time.monotonic() + REGISTRATION_TIMEOUT_S
    waiting = [name for name in ground.addresses if name != OWNER]
    while waiting:
        waiting = [name for name in waiting if not any(nodes.key_card_of(ground.addresses[name]))]
        dead = [name for name in processes.ended() if name in waiting]
        if dead or time.monotonic() > deadline:
            name = (dead or waiting)[0]
            raise Fault(f"{name!r} did not register; its log {ground.party_folder(name) / 'log.jsonl'} says why")
        time.sleep(POLL_S)


def _attest(plan: Plan, governor: Sender, ground: Ground, attesters: Sequence[Signer]) -> None:
    """A quorum of the attesters, in ascending order of address, signs for each participant."""
    signers = attesters[: plan.network.attesters.quorum]
    nodes = Nodes(ground.chain, ground.deployment)
    now_s = ground.chain.timestamp()
    calls = []
    for one in (*plan.network.nodes, *plan.network.aggregators):
        attestation = Attestation(
            node=ground.addresses[one.name],
            jurisdiction=JurisdictionCode(one.jurisdiction),
            assurance=0,
            evidence=_document(f"sandbox statement that {one.name} is in {one.jurisdiction}", salted=True),
            valid_from_s=now_s - 60,
            valid_until_s=now_s + ATTESTED_FOR_S,
            nonce=0,
        )
        document = nodes.typed_data(attestation)
        calls.append(nodes.attest(attestation, [signer.sign_typed_data(document) for signer in signers]))
    _send_all(governor, calls)


def _clear(plan: Plan, governor: Sender, ground: Ground) -> None:
    nodes = Nodes(ground.chain, ground.deployment)
    until_s = ground.chain.timestamp() + ATTESTED_FOR_S
    policy = _document("sandbox clearance as network.toml says")
    classes = {node.name: Sensitivity[node.clearance.upper()] for node in plan.network.nodes}
    classes |= {member.name: plan.job.sensitivity_class for member in plan.network.aggregators}
    _send_all(governor, (nodes.clear(ground.addresses[name], one, policy, until_s) for name, one in classes.items()))


def _document(text: str, *, salted: bool = False) -> Digest:
    """Digest of a statement; evidence about one participant is salted, since it could be guessed."""
    salt = secrets.token_bytes(16) if salted else b""
    return Digest(hashlib.sha256(salt + text.encode()).digest())
