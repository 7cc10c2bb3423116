"""A network for the verbs of jobs: two regions with three hospitals each, their committees, and a research team."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from domicile.chain.account import Signer
from domicile.chain.client import Chain
from domicile.chain.contracts import Jobs, Jurisdictions, Nodes
from domicile.chain.deployment import Deployment, deploy
from domicile.chain.devnet import Devnet
from domicile.chain.sender import GWEI, Call, Sender
from domicile.crypto.keys import HpkeKey
from domicile.learning.task import task_digest
from domicile.protocol.attestation import Attestation
from domicile.protocol.eligibility import Sensitivity
from domicile.protocol.jurisdiction import Tier
from domicile.registration import OFFERED, own_card
from domicile.storage.store import open_store
from domicile.types import Address, Digest, JobId, JurisdictionCode
from tests.verbs.job_order import job_order
from tests.verbs.network_ground import DIGEST, GOVERNOR, PASSWORD, Told, domicile, taken_back, write_keys

ATTESTER = Signer.from_key(b"\x0a" * 32)
OWNER, STRANGER = Signer.from_key(b"\x31" * 32), Signer.from_key(b"\x32" * 32)
HOSPITALS = {"berlin": "DE", "munich": "DE", "paris": "FR", "boston": "US", "denver": "US", "miami": "US"}
MEMBERS = {"eu-agg": "DE", "us-agg": "US", "world-agg": "FR"}
REGION = {"DE": "EU", "FR": "EU", "US": "US"}
PARTIES = {name: Signer.from_key(bytes([0x40 + index]) * 32) for index, name in enumerate((*HOSPITALS, *MEMBERS))}
DAY_S = 24 * 3600

SPEC = job_order(
    "trial",
    committees={"EU": "eu-agg", "US": "us-agg"},
    global_member="world-agg",
    steps=2,
    global_rounds=40,
    collect_window_s=30,
)


@dataclass(frozen=True, kw_only=True)
class Region:
    """The whole network; every party has a folder of its own."""

    folder: Path
    chain: Chain
    rpc_url: str
    deployment: Deployment

    @property
    def nodes(self) -> Nodes:
        return Nodes(self.chain, self.deployment)

    @property
    def jobs(self) -> Jobs:
        return Jobs(self.chain, self.deployment)

    @property
    def places(self) -> Jurisdictions:
        return Jurisdictions(self.chain, self.deployment)

    @property
    def spec(self) -> Path:
        return self.folder / "job.toml"

    @property
    def access(self) -> Path:
        return self.folder / "owner" / "access.toml"

    def config(self, name: str) -> Path:
        return self.folder / name / ("node.toml" if name in HOSPITALS else "aggregator.toml")

    def rewrite(self, path: Path, old: str, new: str) -> None:
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    def orders(self, *more: object, who: str = "owner") -> Told:
        """``job create`` of the present SPEC, with its answer as data."""
        return self.does("create", self.spec, *more, who=who)

    def does(self, verb: str, *more: object, who: str = "owner") -> Told:
        """A verb of somebody with an access file, with its answer as data."""
        return domicile("job", verb, *more, "--access", self.folder / who / "access.toml", "--json")

    def tells(self, verb: str, *more: object, who: str = "owner") -> Told:
        """The same as a person sees it."""
        return domicile("job", verb, *more, "--access", self.folder / who / "access.toml")

    def node(self, verb: str, number: int, name: str, *more: object) -> Told:
        """A verb of a node's operator, with its answer as data."""
        return domicile("job", verb, number, "--config", self.config(name), *more, "--json")

    def party(self, verb: str, name: str, *more: object) -> Told:
        """A verb about a party itself, with its answer as data."""
        path = self.config(name)
        return domicile(path.stem, verb, path, *more, "--json")

    def status_of(self, name: str) -> list[str]:
        """A party's status as a person reads it."""
        path = self.config(name)
        told = domicile(path.stem, "status", path)
        assert (told.code, told.err) == (0, "")
        return told.out.splitlines()

    def journal_of(self, name: str) -> Path:
        return self.config(name).parent / "journal.sqlite"

    def governs(self, call: Call) -> None:
        Sender(self.chain, GOVERNOR).act(call)

    def acts(self, name: str, call: Call) -> None:
        Sender(self.chain, PARTIES[name]).act(call)

    def pass_time(self, seconds: int) -> None:
        self.chain.request("evm_setNextBlockTimestamp", hex(self.chain.timestamp() + seconds))
        self.chain.request("evm_mine")

    def gather(self, job: int) -> None:
        """All hospitals join, without their daemons."""
        for name, place in HOSPITALS.items():
            told = self.node("join", job, name, "--shard", REGION[place])
            assert told.code == 0, told.err


def commit(region: Region, name: str, job: int, global_round: int = 0, regional_round: int = 0) -> None:
    """What a node's daemon does once it has trained."""
    region.acts(name, region.jobs.commit(JobId(job), global_round, regional_round, Digest(b"\x05" * 32)))


def settle(folder: Path, devnet: Devnet) -> Region:
    """Deploys, lists both regions, and has everybody registered, attested and cleared."""
    chain = Chain(devnet.rpc_url)
    deployment = deploy(chain, Sender(chain, GOVERNOR), loosening_delay_s=0)
    deployment.save(folder / "deployment.json")
    region = Region(folder=folder, chain=chain, rpc_url=devnet.rpc_url, deployment=deployment)
    (folder / "password").touch(mode=0o600)
    (folder / "password").write_text(PASSWORD + "\n", encoding="utf-8")
    for place in ("border", *REGION.values()):
        (folder / place).mkdir(exist_ok=True)
    _write_rows(folder / "rows.csv")
    region.spec.write_text(SPEC, encoding="utf-8")
    _settle_places(region)
    governor = Sender(chain, GOVERNOR)
    handles = [governor.transfer(one.address, 10**19) for one in (OWNER, STRANGER, *PARTIES.values())]
    for handle in handles:
        governor.wait(handle)
    for name, signer in {"owner": OWNER, "stranger": STRANGER, **PARTIES}.items():
        write_keys(folder / name, signer, HpkeKey.from_seed(seed_of(signer)))
    for name in ("owner", "stranger"):
        write_access(region, name)
    for name, signer in PARTIES.items():
        region.config(name).write_text(_config(region, name), encoding="utf-8")
        admit(region, signer, HOSPITALS.get(name) or MEMBERS[name])
    return region


def seed_of(signer: Signer) -> bytes:
    return bytes.fromhex(signer.address[2:]).ljust(32, b"\0")


def admit(region: Region, signer: Signer, place: str, *, cleared: bool = True) -> None:
    """Registers an account with a key card that lies in the border store, attests it, and clears it."""
    digest = publish_card(region, signer.address, signer)
    Sender(region.chain, signer).act(region.nodes.register(digest, OFFERED))
    attest(region, signer.address, place)
    if cleared:
        until_s = region.chain.timestamp() + 30 * DAY_S
        region.governs(region.nodes.clear(signer.address, Sensitivity.SPECIAL, DIGEST, until_s))


def publish_card(region: Region, account: Address, holder: Signer) -> Digest:
    """The key card of an account, with the key of whoever holds it."""
    card = own_card(account, HpkeKey.from_seed(seed_of(holder)))
    return open_store(f"dir:{region.folder}/border").put_bytes(card.to_bytes())


def attest(region: Region, account: Address, place: str, *, days: int = 30) -> None:
    now_s = region.chain.timestamp()
    attestation = Attestation(
        node=account,
        jurisdiction=JurisdictionCode(place),
        assurance=0,
        evidence=DIGEST,
        valid_from_s=now_s - 60,
        valid_until_s=now_s + days * DAY_S,
        nonce=region.nodes.standing_of(account).nonce,
    )
    signature = ATTESTER.sign_typed_data(region.nodes.typed_data(attestation))
    region.governs(region.nodes.attest(attestation, [signature]))


def write_access(region: Region, name: str, rpc_url: str | None = None, *, bare: bool = False) -> Path:
    """An access file; a bare one names no keys, no stores and nobody."""
    path = region.folder / name / "access.toml"
    path.parent.mkdir(exist_ok=True)
    lines = ["[chain]", f'rpc_url = "{rpc_url or region.rpc_url}"', 'deployment = "../deployment.json"']
    if not bare:
        lines += ["[keys]", 'account = "account.json"', 'hpke = "hpke.json"', 'password_file = "../password"']
        lines += ["[stores]", 'border = "dir:../border"', "[names]"]
        lines += [f'"{signer.address}" = "{label}"' for label, signer in PARTIES.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def _config(region: Region, name: str) -> str:
    place = REGION[HOSPITALS.get(name) or MEMBERS[name]]
    lines = [
        f'name = "{name}"',
        'journal = "journal.sqlite"',
        "[chain]",
        f'rpc_url = "{region.rpc_url}"',
        'deployment = "../deployment.json"',
        "poll_s = 0.2",
        "[keys]",
        'account = "account.json"',
        'hpke = "hpke.json"',
        'password_file = "../password"',
        "[stores]",
        f'region = "dir:../{place}"',
        'border = "dir:../border"',
    ]
    if name in HOSPITALS:
        lines += ["[data]", 'train = "../rows.csv"', "[jobs]", "join = []", "[[tasks]]", 'use = "tabular"']
        lines += [f"digest = {json.dumps(task_digest('tabular'))}"]
    return "\n".join(lines) + "\n"


def _write_rows(path: Path) -> None:
    rows = [f"{(n * 7) % 11 - 5},{(n * 3) % 13 - 6},{int((n * 7) % 11 + (n * 3) % 13 > 11)}" for n in range(60)]
    path.write_text("\n".join(["x1,x2,y", *rows]) + "\n", encoding="utf-8")


def _settle_places(region: Region) -> None:
    eu, us = JurisdictionCode("EU"), JurisdictionCode("US")
    region.governs(region.places.set_guardian(GOVERNOR.address, True))
    for code, parent in ((eu, None), ("DE", eu), ("FR", eu), (us, None)):
        region.governs(region.places.list(JurisdictionCode(code), parent, Tier.OPEN, DIGEST))
    region.governs(region.nodes.add_attester(ATTESTER.address, [eu, us]))
    for code in (eu, us):
        region.governs(region.nodes.set_quorum(code, 1))


@contextmanager
def as_new(region: Region) -> Iterator[Region]:
    """Whatever is done to the chain, to SPEC, and to files of parties meanwhile is taken back."""
    region.chain.request("anvil_setBlockTimestampInterval", 1)
    region.chain.request("anvil_setNextBlockBaseFeePerGas", hex(GWEI))
    before = {path: path.read_bytes() for path in _own_files(region)}
    with taken_back(region.chain):
        yield region
    for path in set(_own_files(region)) - before.keys():
        path.unlink()
    for path, content in before.items():
        path.write_bytes(content)


def _own_files(region: Region) -> list[Path]:
    """SPEC, and what parties have in their folders."""
    return [region.spec, *(path for name in PARTIES for path in (region.folder / name).iterdir())]
