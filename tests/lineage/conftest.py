"""One network whose record has every kind of event of all contracts, driven without daemons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

import pytest

from domicile.chain.account import Signer
from domicile.chain.client import Chain
from domicile.chain.contracts import Board, Budgets, Jobs, Jurisdictions, Nodes
from domicile.chain.deployment import deploy
from domicile.chain.devnet import DEVELOPMENT_MNEMONIC, Devnet
from domicile.chain.sender import Call, Sender
from domicile.protocol.attestation import Attestation
from domicile.protocol.budget import NOTHING, Budget
from domicile.protocol.eligibility import Safeguard, Sensitivity
from domicile.protocol.jurisdiction import Tier
from domicile.protocol.proposal import (
    GlobalProposal,
    NodeExclusion,
    RegionalProposal,
    ShardExclusion,
    SurvivorsProposal,
)
from domicile.protocol.round import (
    NO_DATASET,
    NO_LOSS,
    Committee,
    ExclusionReason,
    JobParameters,
    ShardParameters,
)
from domicile.types import Address, DatasetId, Digest, JobId, JurisdictionCode, ShardIndex

WINDOW_S = 1000
EU, US = ShardIndex(0), ShardIndex(1)
PLACE = dict.fromkeys(["e1", "e2", "e3", "ce1", "ce2", "g1"], "DE") | {"e4": "FR", "e5": "FR"}
PLACE |= dict.fromkeys(["u1", "u2", "u3", "cu1"], "US")
ATTESTERS = ["att1", "att2"]
NODES = ["e1", "e2", "e3", "e4", "e5", "u1", "u2", "u3"]
DATASETS = {name: DatasetId(number) for number, name in enumerate(NODES, 1)}
ASKED = Budget(epsilon_micros=1_000_003, delta_attos=7)
"""What jobs with a budget reserve."""

PARAMETERS = JobParameters(
    spec=Digest(b"\x07" * 32),
    join_window_s=WINDOW_S,
    collect_window_s=WINDOW_S,
    global_rounds=2,
    min_regional_rounds=1,
    max_regional_rounds=2,
    patience=1,
    min_delta_micros=5,
    max_retries=1,
    min_nodes=2,
    min_contributors=3,
    min_shards=1,
    sensitivity=Sensitivity.SPECIAL,
    max_tier=Tier.CONDITIONAL,
    safeguards=Safeguard.NONE,
    denied=(JurisdictionCode("XX"),),
)


class Stage:
    """Accounts by name, and what they do on a chain of their own."""

    def __init__(self, rpc_url: str) -> None:
        chain = Chain(rpc_url)
        self.rpc_url = rpc_url
        self.chain = chain
        self.governor = Sender(chain, Signer.from_mnemonic(DEVELOPMENT_MNEMONIC))
        self.deployment = deploy(chain, self.governor, loosening_delay_s=0)
        self.jobs = Jobs(chain, self.deployment)
        self.nodes = Nodes(chain, self.deployment)
        self.places = Jurisdictions(chain, self.deployment)
        self.budgets = Budgets(chain, self.deployment)
        self.board = Board(chain, self.deployment)
        names = [*PLACE, *ATTESTERS, "owner", "stranger"]
        self.signers = {name: Signer.from_key(bytes([number]) * 32) for number, name in enumerate(names, 1)}
        self.senders = {name: Sender(chain, signer) for name, signer in self.signers.items()}
        self._num_digests = 0
        for handle in [self.governor.transfer(signer.address, 10**18) for signer in self.signers.values()]:
            self.governor.wait(handle)

    def address(self, name: str) -> Address:
        return self.signers[name].address

    def act(self, name: str, call: Call) -> None:
        self.senders[name].act(call)

    def digest(self) -> Digest:
        """Another one each time."""
        self._num_digests += 1
        return Digest(self._num_digests.to_bytes(32, "big"))

    def pass_window(self) -> None:
        self.chain.request("evm_increaseTime", WINDOW_S)
        self.chain.request("evm_mine")

    def attest(self, name: str, nonce: int) -> None:
        signers = ATTESTERS if PLACE[name] != "US" else ATTESTERS[:1]
        now_s = self.chain.timestamp()
        attestation = Attestation(
            node=self.address(name),
            jurisdiction=JurisdictionCode(PLACE[name]),
            assurance=0,
            evidence=self.digest(),
            valid_from_s=now_s - 10,
            valid_until_s=now_s + 10**7,
            nonce=nonce,
        )
        document = self.nodes.typed_data(attestation)
        ordered = sorted((self.signers[one] for one in signers), key=lambda signer: int(signer.address, 16))
        self.governor.act(self.nodes.attest(attestation, [signer.sign_typed_data(document) for signer in ordered]))

    def clear(self, name: str) -> None:
        until_s = self.chain.timestamp() + 10**7
        self.governor.act(self.nodes.clear(self.address(name), Sensitivity.SPECIAL, self.digest(), until_s))

    def create_job(self, asked: Budget = NOTHING, safeguards: Safeguard = Safeguard.NONE) -> JobId:
        shards = [
            ShardParameters(
                jurisdiction=JurisdictionCode("EU"),
                committee=Committee(members=(self.address("ce1"), self.address("ce2")), quorum=2),
            ),
            ShardParameters(
                jurisdiction=JurisdictionCode("US"), committee=Committee(members=(self.address("cu1"),), quorum=1)
            ),
        ]
        worldwide = Committee(members=(self.address("g1"),), quorum=1)
        parameters = replace(PARAMETERS, safeguards=safeguards, **asdict(asked))
        self.act("owner", self.jobs.create_job(parameters, shards, worldwide))
        return JobId(self.jobs.num_jobs())

    def join(self, job: JobId, shard: ShardIndex, names: Sequence[str]) -> None:
        has_budget = self.jobs.snapshot(job)[0].has_budget
        for name in names:
            self.act(name, self.jobs.join(job, shard, DATASETS[name] if has_budget else NO_DATASET))

    def commit(self, job: JobId, shard: ShardIndex, names: Sequence[str]) -> None:
        state, shards = self.jobs.snapshot(job)
        for name in names:
            self.act(name, self.jobs.commit(job, state.global_round, shards[shard].regional_round, self.digest()))

    def vote(
        self, job: JobId, shard: ShardIndex, names: Sequence[str], *, loss: int = NO_LOSS, without: str = ""
    ) -> None:
        """The same proposal by each of `names`."""
        state, shards = self.jobs.snapshot(job)
        left_out = NodeExclusion(node=self.address(without or "e4"), reason=ExclusionReason.MALFORMED)
        proposal = RegionalProposal(
            global_round=state.global_round,
            regional_round=shards[shard].regional_round,
            commitments=self.jobs.commitments_of(job, shard),
            model=self.digest(),
            payload=self.digest(),
            loss_micros=loss,
            excluded=(left_out,) if without else (),
        )
        for name in names:
            self.act(name, self.jobs.vote_regional(job, shard, proposal))

    def agree(self, job: JobId, shard: ShardIndex, names: Sequence[str], *, without: str = "") -> None:
        """The same survivors by each of `names`."""
        state, shards = self.jobs.snapshot(job)
        left_out = NodeExclusion(node=self.address(without or "e4"), reason=ExclusionReason.MALFORMED)
        proposal = SurvivorsProposal(
            global_round=state.global_round,
            regional_round=shards[shard].regional_round,
            commitments=self.jobs.commitments_of(job, shard),
            excluded=(left_out,) if without else (),
        )
        for name in names:
            self.act(name, self.board.vote_survivors(job, shard, proposal))

    def unmask(self, job: JobId, shard: ShardIndex, names: Sequence[str]) -> None:
        state, shards = self.jobs.snapshot(job)
        for name in names:
            self.act(name, self.board.unmask(job, state.global_round, shards[shard].regional_round, self.digest()))

    def export(self, job: JobId, shard: ShardIndex, name: str) -> None:
        state, _ = self.jobs.snapshot(job)
        self.act(name, self.jobs.report_export(job, shard, state.global_round, self.digest()))

    def vote_globally(self, job: JobId, excluded: tuple[ShardExclusion, ...] = ()) -> None:
        state, _ = self.jobs.snapshot(job)
        proposal = GlobalProposal(
            global_round=state.global_round,
            reports=self.jobs.reports_of(job),
            model=self.digest(),
            payload=self.digest(),
            excluded=excluded,
        )
        self.act("g1", self.jobs.vote_global(job, proposal))

    def advance_shard(self, job: JobId, shard: ShardIndex) -> None:
        self.pass_window()
        self.act("stranger", self.jobs.advance_shard(job, shard))


def settle_in(stage: Stage) -> None:
    """Every act on the two registries, and then everybody in good standing, but the stranger."""
    govern, nodes, places = stage.governor.act, stage.nodes, stage.places
    for code, parent in (("EU", None), ("DE", "EU"), ("FR", "EU"), ("US", None), ("XX", None)):
        govern(
            places.list(JurisdictionCode(code), JurisdictionCode(parent) if parent else None, Tier.OPEN, stage.digest())
        )
    govern(places.set_guardian(stage.governor.address, True))
    govern(places.set_guardian(stage.address("stranger"), True))
    govern(places.set_guardian(stage.address("stranger"), False))
    govern(places.tighten(JurisdictionCode("FR"), Tier.CONDITIONAL, stage.digest()))
    for name in (*ATTESTERS, "stranger"):
        govern(nodes.add_attester(stage.address(name), [JurisdictionCode("EU"), JurisdictionCode("US")]))
    govern(nodes.remove_attester(stage.address("stranger")))
    govern(nodes.set_quorum(JurisdictionCode("EU"), 2))
    govern(nodes.set_quorum(JurisdictionCode("US"), 1))
    for name in PLACE:
        stage.act(name, nodes.register(stage.digest(), Safeguard.SECURE_AGGREGATION))
        stage.attest(name, nonce=0)
        stage.clear(name)
    stage.act("u3", nodes.update_key_card(stage.digest(), Safeguard.TEE))
    stage.act("att1", nodes.revoke_attestation(stage.address("u3"), stage.digest()))
    stage.attest("u3", nonce=2)
    govern(nodes.withdraw_clearance(stage.address("u3"), stage.digest()))
    stage.clear("u3")
    govern(nodes.suspend(stage.address("u3"), stage.digest()))
    govern(nodes.reinstate(stage.address("u3"), stage.digest()))
    stage.act("stranger", nodes.register(stage.digest(), Safeguard.NONE))
    stage.act("stranger", nodes.retire())
    until_s = stage.chain.timestamp() + 10**7
    for name in NODES:
        stage.act("owner", stage.budgets.register_dataset(stage.digest(), stage.address(name)))
        stage.act("owner", stage.budgets.grant_budget(DATASETS[name], ASKED + ASKED, until_s))


def first_round(stage: Stage, job: JobId) -> None:
    """The shard EU matures in two rounds; the shard US has too few contributors; the merge is late once."""
    for loss in (900_000, 800_000):
        stage.commit(job, EU, ["e1", "e2", "e3", "e4"])
        stage.vote(job, EU, ["ce1", "ce2"], loss=loss)
    stage.export(job, EU, "ce2")
    for retried in (True, False):
        stage.commit(job, US, ["u1", "u2"])
        stage.advance_shard(job, US)
        if retried:
            stage.advance_shard(job, US)
        stage.vote(job, US, ["cu1"])
    stage.pass_window()
    stage.act("stranger", stage.jobs.advance(job))
    stage.vote_globally(job)


def second_round(stage: Stage, job: JobId) -> None:
    """One update is left out in EU; nobody commits in US, which ends with the last window of all."""
    stage.commit(job, EU, ["e1", "e2", "e3", "e4"])
    stage.vote(job, EU, ["ce2", "ce1"], loss=700_000, without="e4")
    stage.commit(job, EU, ["e1", "e2", "e3", "e4"])
    stage.vote(job, EU, ["ce1", "ce2"], loss=700_000)
    stage.export(job, EU, "ce1")
    stage.act("u3", stage.jobs.leave(job))
    stage.act("u3", stage.budgets.return_budget(job, stage.address("u3"), NOTHING))
    stage.advance_shard(job, US)
    stage.advance_shard(job, US)
    stage.vote_globally(job)


def masked_rounds(stage: Stage, *, careless: bool) -> None:
    """Two regional rounds of masked updates. Of a careless committee, the first model is of survivors on whom nobody
    agreed, the second of one update more than those on whom it did.
    """
    job = stage.create_job(safeguards=Safeguard.SECURE_AGGREGATION)
    nodes, committee = ["e1", "e2", "e3", "e4"], ["ce1", "ce2"]
    stage.join(job, EU, nodes)
    stage.act("owner", stage.jobs.start(job))
    stage.commit(job, EU, nodes)
    if not careless:
        stage.agree(job, EU, committee, without="e4")
        stage.unmask(job, EU, nodes)
    stage.vote(job, EU, committee, loss=900_000, without="" if careless else "e4")
    stage.commit(job, EU, nodes)
    stage.agree(job, EU, committee[::-1], without="e4" if careless else "")
    stage.unmask(job, EU, ["e3", "e2", "e1"])
    stage.vote(job, EU, committee, loss=800_000)


@pytest.fixture(scope="session")
def stage() -> Iterator[Stage]:
    """Job 1 is complete, job 2 was cancelled, job 3 failed for want of members, job 4 is in its first round. The first
    two have budgets. The updates of the jobs 5 and 6 are masked, and the committee of the last is careless.
    """
    with Devnet() as devnet:
        stage = Stage(devnet.rpc_url)
        settle_in(stage)
        job = stage.create_job(ASKED)
        stage.join(job, EU, ["e1", "e2", "e3", "e4", "e5"])
        stage.join(job, US, ["u1", "u2", "u3"])
        stage.act("e5", stage.jobs.leave(job))
        stage.act("owner", stage.jobs.start(job))
        first_round(stage, job)
        second_round(stage, job)
        cancelled = stage.create_job(ASKED)
        stage.join(cancelled, EU, ["e1"])
        stage.act("owner", stage.jobs.cancel(cancelled))
        stage.act("e1", stage.budgets.return_budget(cancelled, stage.address("e1"), NOTHING))
        stage.act("owner", stage.budgets.return_budget(job, stage.address("e2"), ASKED))
        failed = stage.create_job()
        stage.pass_window()
        stage.act("stranger", stage.jobs.advance(failed))
        running = stage.create_job()
        stage.join(running, EU, ["e1", "e2", "e3"])
        stage.pass_window()
        stage.act("stranger", stage.jobs.advance(running))
        stage.commit(running, EU, ["e1", "e2"])
        for careless in (False, True):
            masked_rounds(stage, careless=careless)
        yield stage
