"""A network with one place and its attesters, and parties whose folders are as `init` makes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from domicile.chain.account import Signer
from domicile.chain.contracts import Jobs
from domicile.chain.devnet import Devnet
from domicile.chain.sender import Sender
from domicile.crypto.keys import HpkeKey
from domicile.protocol.attestation import Attestation
from domicile.protocol.eligibility import Safeguard, Sensitivity
from domicile.protocol.jurisdiction import Tier
from domicile.protocol.round import Committee, JobParameters, ShardParameters
from domicile.types import Address, JobId, JurisdictionCode, ShardIndex
from scripts.party_file import PartyAnswers, write_party_file
from tests.verbs.network_ground import DIGEST, GOVERNOR, PASSWORD, Network, Told, domicile, settle, write_account

PLACE = JurisdictionCode("DE")
ATTESTERS = [Signer.from_key(bytes([number]) * 32) for number in (31, 32)]
VALID_S = 30 * 24 * 3600
WINDOW_S = 3600


@dataclass(frozen=True)
class Party:
    """A node or an aggregator by its folder."""

    network: Network
    role: str
    config: Path
    signer: Signer

    @property
    def address(self) -> Address:
        return self.signer.address

    def does(self, verb: str, *arguments: object) -> Told:
        return domicile(self.role, verb, self.config, *arguments, "--json")

    def tells(self, verb: str, *arguments: object) -> Told:
        return domicile(self.role, verb, self.config, *arguments)

    def change_hpke_key(self) -> None:
        path = self.config.parent / "hpke.json"
        path.unlink()
        HpkeKey.generate().save(path, PASSWORD, scrypt_n=1024)

    def rewrite(self, old: str, new: str) -> None:
        text = self.config.read_text(encoding="utf-8")
        assert old in text
        self.config.write_text(text.replace(old, new), encoding="utf-8")


@dataclass(frozen=True)
class Place:
    """A network in which parties live; its governor is auditor too."""

    network: Network
    folder: Path
    """Of the parties."""

    @property
    def governor(self) -> Sender:
        return Sender(self.network.chain, GOVERNOR)

    @property
    def jobs(self) -> Jobs:
        return Jobs(self.network.chain, self.network.deployment)

    def party(self, role: str, name: str, number: int) -> Party:
        """Its keys are weak, for speed; everything else is as a person would have filled it in."""
        folder, signer = self.folder / name, Signer.from_key(bytes([number]) * 32)
        write_account(folder / "account.json", signer)
        HpkeKey.generate().save(folder / "hpke.json", PASSWORD, scrypt_n=1024)
        answers = PartyAnswers(
            name=name,
            rpc_url=self.network.rpc_url,
            deployment=self.network.folder / "deployment.json",
            region=f"dir:{self.folder}/region",
            border=f"dir:{self.folder}/border",
            train=folder / "rows.csv",
            password_file=self.network.folder / "password",
        )
        write_party_file(folder / f"{role}.toml", role, answers, {"tabular": "0" * 64})
        self.governor.wait(self.governor.transfer(signer.address, 10**18))
        return Party(self.network, role, folder / f"{role}.toml", signer)

    def attest(self, party: Party, valid_s: int = VALID_S) -> int:
        """By both attesters; until when."""
        nodes, now_s = self.network.nodes, self.network.chain.timestamp()
        attestation = Attestation(
            node=party.address,
            jurisdiction=PLACE,
            assurance=0,
            evidence=DIGEST,
            valid_from_s=now_s,
            valid_until_s=now_s + valid_s,
            nonce=nodes.standing_of(party.address).nonce,
        )
        signers = sorted(ATTESTERS, key=lambda one: int(one.address, 16))
        document = nodes.typed_data(attestation)
        self.governor.act(nodes.attest(attestation, [one.sign_typed_data(document) for one in signers]))
        return now_s + valid_s

    def clear(self, party: Party, valid_s: int = VALID_S) -> int:
        """For special data; until when."""
        until_s = self.network.chain.timestamp() + valid_s
        self.governor.act(self.network.nodes.clear(party.address, Sensitivity.SPECIAL, DIGEST, until_s))
        return until_s

    def admit(self, party: Party) -> Party:
        """Registers, attests and clears."""
        assert party.does("register").code == 0
        self.attest(party)
        self.clear(party)
        return party

    def job(self, *, member: Party, helpers: list[Party], aggregator: Party) -> JobId:
        """One that trains: the member and its helpers in a shard, one aggregator on both committees."""
        committee = Committee(members=(aggregator.address,), quorum=1)
        parameters = JobParameters(
            spec=DIGEST,
            join_window_s=WINDOW_S,
            collect_window_s=WINDOW_S,
            global_rounds=2,
            min_regional_rounds=1,
            max_regional_rounds=1,
            patience=1,
            min_delta_micros=0,
            max_retries=1,
            min_nodes=3,
            min_contributors=3,
            min_shards=1,
            sensitivity=Sensitivity.SPECIAL,
            max_tier=Tier.OPEN,
            safeguards=Safeguard.NONE,
            denied=(),
        )
        shards = [ShardParameters(jurisdiction=PLACE, committee=committee)]
        self.governor.act(self.jobs.create_job(parameters, shards, committee))
        job = JobId(self.jobs.num_jobs())
        for party in (member, *helpers):
            Sender(self.network.chain, party.signer).act(self.jobs.join(job, ShardIndex(0)))
        self.governor.act(self.jobs.start(job))
        return job

    def commit(self, party: Party, job: JobId) -> None:
        Sender(self.network.chain, party.signer).act(self.jobs.commit(job, 0, 0, DIGEST))


def found(folder: Path, devnet: Devnet) -> Place:
    """Lists the place, and appoints its attesters, of whom both must sign."""
    network = settle(folder, devnet)
    place, nodes = Place(network, folder), network.nodes
    place.governor.act(network.places.list(PLACE, None, Tier.OPEN, DIGEST))
    for one in ATTESTERS:
        place.governor.act(nodes.add_attester(one.address, [PLACE]))
    place.governor.act(nodes.set_quorum(PLACE, len(ATTESTERS)))
    assert network.does("role", "grant", "auditor", GOVERNOR.address).code == 0
    return place
