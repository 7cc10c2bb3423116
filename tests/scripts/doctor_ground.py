"""A node that is well: registered, attested, cleared, and in a job; and ways to make it ill."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from domicile.chain.account import Signer
from domicile.chain.client import Chain
from domicile.chain.contracts import Budgets, Jobs, Jurisdictions, Nodes
from domicile.chain.deployment import deploy
from domicile.chain.devnet import DEVELOPMENT_MNEMONIC, Devnet
from domicile.chain.sender import GWEI, Call, Sender
from domicile.crypto.keys import HpkeKey
from domicile.learning.tabular import Tabular, resolve_options
from domicile.learning.task import task_digest
from domicile.party import Party, open_party
from domicile.protocol.attestation import Attestation
from domicile.protocol.budget import Budget
from domicile.protocol.eligibility import Sensitivity
from domicile.protocol.jurisdiction import Tier
from domicile.protocol.round import Committee
from domicile.registration import ensure_registered
from domicile.settings import load_settings, parse_settings
from domicile.types import Address, DatasetId, Digest, JobId, JurisdictionCode, ShardIndex
from node.config import NodeConfig
from node.journal import NodeJournal
from scripts.doctor.case import Case, load_config
from scripts.doctor.examination import examine
from scripts.doctor.finding import Finding, State
from scripts.job_file import JobFile
from scripts.ordering import Order, order_job, prepare

PLACE = JurisdictionCode("DE")
PASSWORD = "a password that nobody guesses"
ACCOUNT_KEY = bytes(range(1, 33))
HPKE_SEED = b"\x5a" * 32
ATTESTER = Signer.from_key(b"\x0a" * 32)
DAY_S = 24 * 3600
TASK = '''
from domicile.errors import ConfigurationError
from domicile.learning.tabular import Tabular

class Mine(Tabular):
    """Quotes the last row when it fails."""

    def load(self, train, *others):
        try:
            return super().load(train, *others)
        except ConfigurationError as exc:
            last = train.read_text().splitlines()[-1] if train.exists() else "no row"
            raise ConfigurationError(f"{exc}, near {last}") from exc
'''
DIGEST = Digest(b"\x11" * 32)

JOB: dict[str, Any] = {
    "name": "examined",
    "sensitivity": "special",
    "shards": [PLACE],
    "task": {"use": "mine.py:Mine"},
    "training": {"steps": 1, "learning_rate": 0.1},
    "rounds": {"global": 2, "join_window_s": 3600},
}


@dataclass(kw_only=True)
class Clinic:
    """The node's folder, and the network around it. `now_s` is the chain's time before anything was broken."""

    folder: Path
    devnet: Devnet
    now_s: int

    @property
    def chain(self) -> Chain:
        return Chain(self.devnet.rpc_url)

    @property
    def config(self) -> Path:
        return self.folder / "node.toml"

    @property
    def account(self) -> Address:
        return Signer.from_key(ACCOUNT_KEY).address

    @property
    def nodes(self) -> Nodes:
        return Nodes(self.chain, self.party.deployment)

    @property
    def jobs(self) -> Jobs:
        return Jobs(self.chain, self.party.deployment)

    @property
    def budgets(self) -> Budgets:
        return Budgets(self.chain, self.party.deployment)

    @property
    def places(self) -> Jurisdictions:
        return Jurisdictions(self.chain, self.party.deployment)

    @property
    def party(self):
        return open_party(load_settings(self.config, NodeConfig))

    def govern(self, call: Call) -> None:
        Sender(self.chain, Signer.from_mnemonic(DEVELOPMENT_MNEMONIC)).act(call)

    def pass_time(self, seconds: int) -> None:
        self.chain.request("evm_setNextBlockTimestamp", hex(self.chain.timestamp() + seconds))
        self.chain.request("evm_mine")

    def rewrite(self, old: str, new: str, name: str = "node.toml") -> None:
        text = (self.folder / name).read_text(encoding="utf-8")
        assert old in text
        (self.folder / name).write_text(text.replace(old, new), encoding="utf-8")

    def case(self, **asked: object) -> Case:
        return Case(
            **{
                "file": self.config,
                "config": load_config(self.config, half_filled=True),
                "clock": lambda: float(self.now_s),
                **asked,
            }
        )

    def findings(self, **asked: object) -> list[Finding]:
        return list(examine(self.case(**asked)))


def told(findings: list[Finding], check: str, state: State) -> list[str]:
    """What findings of one check and state say."""
    return [one.text for one in findings if (one.check, one.state) == (check, state)]


def write_config(folder: Path, rpc_url: str) -> None:
    digest = task_digest("mine.py:Mine", folder=folder)
    (folder / "node.toml").touch(mode=0o600)
    (folder / "node.toml").write_text(
        f"""
name = "clinic"
journal = "{folder}/journal.sqlite"
[chain]
rpc_url = "{rpc_url}"
deployment = "{folder}/deployment.json"
[keys]
account = "{folder}/account.json"
hpke = "{folder}/hpke.json"
password_file = "{folder}/password"
[stores]
region = "dir:{folder}/region"
border = "dir:{folder}/border"
[data]
train = "{folder}/rows.csv"
[[tasks]]
use = "mine.py:Mine"
digest = "{digest}"
folder = "{folder}"
""",
        encoding="utf-8",
    )


def settle(folder: Path, devnet: Devnet) -> None:
    """Builds the network and the node's folder, once for all tests."""
    chain = Chain(devnet.rpc_url)
    governor = Sender(chain, Signer.from_mnemonic(DEVELOPMENT_MNEMONIC))
    deployment = deploy(chain, governor, loosening_delay_s=0)
    deployment.save(folder / "deployment.json")
    (folder / "mine.py").write_text(TASK, encoding="utf-8")
    (folder / "rows.csv").write_text("x1,x2,y\n" + "0.5,1.5,1\n-1.5,0.25,0\n" * 20, encoding="utf-8")
    (folder / "password").touch(mode=0o600)
    (folder / "password").write_text(PASSWORD + "\n", encoding="utf-8")
    signer = Signer.from_key(ACCOUNT_KEY)
    signer.save(folder / "account.json", PASSWORD, iterations=1024)
    HpkeKey.from_seed(HPKE_SEED).save(folder / "hpke.json", PASSWORD, scrypt_n=1024)
    write_config(folder, devnet.rpc_url)
    for place in ("region", "border"):
        (folder / place).mkdir()
    NodeJournal(folder / "journal.sqlite").close()

    nodes, places = Nodes(chain, deployment), Jurisdictions(chain, deployment)
    governor.wait(governor.transfer(signer.address, 10**18))
    governor.act(places.list(PLACE, None, Tier.OPEN, DIGEST))
    governor.act(nodes.add_attester(ATTESTER.address, [PLACE]))
    governor.act(nodes.set_quorum(PLACE, 1))
    party = open_party(load_settings(folder / "node.toml", NodeConfig))
    ensure_registered(party)
    now_s = chain.timestamp()
    attestation = Attestation(
        node=signer.address,
        jurisdiction=PLACE,
        assurance=0,
        evidence=DIGEST,
        valid_from_s=now_s - 60,
        valid_until_s=now_s + 30 * DAY_S,
        nonce=0,
    )
    governor.act(nodes.attest(attestation, [ATTESTER.sign_typed_data(nodes.typed_data(attestation))]))
    governor.act(nodes.clear(signer.address, Sensitivity.SPECIAL, DIGEST, now_s + 30 * DAY_S))
    order_and_join(folder)


PRIVACY = {"privacy": {"epsilon": 8.0, "delta": 1e-5, "max_grad_norm": 1.0}, "data": {"stratified": False}}


def order_and_join(folder: Path, **rounds: int) -> None:
    """The node orders a job over its place, and joins it."""
    party, job = _ordered(folder, {**JOB, "rounds": {**JOB["rounds"], **rounds}})
    party.sender.act(party.jobs.join(job, ShardIndex(0)))


def order_privately(folder: Path) -> None:
    """Another job, which asks for privacy and takes members."""
    _ordered(folder, {**JOB, **PRIVACY})


def join_with_privacy_of_nodes(folder: Path) -> JobId:
    """A job that promises privacy to whole nodes, which the node joins with a dataset of its own."""
    privacy = {"unit": "node", "epsilon": 8.0, "delta": 1e-6}
    asked = {**JOB, "aggregation": "secure", "max_update_norm": 1.0, "privacy": privacy}
    party, job = _ordered(folder, asked)
    owner = Sender(party.chain, Signer.from_mnemonic(DEVELOPMENT_MNEMONIC))
    budgets = Budgets(party.chain, party.deployment)
    owner.act(budgets.register_dataset(DIGEST, party.sender.address))
    owner.act(budgets.grant_budget(DatasetId(1), Budget.within(20.0, 1e-4), party.chain.timestamp() + 40 * DAY_S))
    party.sender.act(party.jobs.join(job, ShardIndex(0), DatasetId(1)))
    return job


SECURE = {"aggregation": "secure", "max_update_norm": 1.0}


def order_masked(folder: Path, *, join: bool) -> None:
    """Another job, whose updates are masked."""
    party, job = _ordered(folder, {**JOB, **SECURE})
    if join:
        party.sender.act(party.jobs.join(job, ShardIndex(0)))


def _ordered(folder: Path, job: dict[str, Any]) -> tuple[Party, JobId]:
    party = open_party(load_settings(folder / "node.toml", NodeConfig))
    options = resolve_options({"target": "y"}, {"rows.csv": ["x1", "x2", "y"]})
    committee = Committee(members=(Signer.from_mnemonic(DEVELOPMENT_MNEMONIC).address,), quorum=1)
    order = Order(
        job=parse_settings(job, JobFile, source="a test"),
        options=options,
        task_digest=task_digest("mine.py:Mine", folder=folder),
        initial=Tabular(options).build_model(),
        committees={PLACE: committee},
        global_committee=committee,
    )
    return party, order_job(party, prepare(order))


def replace_account(folder: Path) -> None:
    """Gives the node the key of an account that is in no job and not registered."""
    (folder / "account.json").unlink()
    Signer.from_key(b"\x77" * 32).save(folder / "account.json", PASSWORD, iterations=1024)


@contextmanager
def copied(settled: Path, devnet: Devnet, folder: Path) -> Iterator[Clinic]:
    """A clinic of its own for one test; what it does to the chain is taken back."""
    chain = Chain(devnet.rpc_url)
    shutil.copytree(settled, folder, dirs_exist_ok=True)
    write_config(folder, devnet.rpc_url)
    # Neither the clock nor the base fee of the next block is a part of what is taken back.
    chain.request("anvil_setBlockTimestampInterval", 1)
    chain.request("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
    chain.request("evm_mine")
    snapshot, then_s = chain.request("evm_snapshot"), chain.timestamp()
    yield Clinic(folder=folder, devnet=devnet, now_s=then_s)
    chain.request("evm_revert", snapshot)


def deployment_with(folder: Path, **changes: object) -> None:
    """Alters the deployment file."""
    document = json.loads((folder / "deployment.json").read_text(encoding="utf-8"))
    (folder / "deployment.json").write_text(json.dumps({**document, **changes}), encoding="utf-8")
