"""The pure rules and the contracts, driven by the same random actions, agree after each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields, replace

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from domicile.chain import events as ev
from domicile.chain.account import Signer
from domicile.chain.client import Chain
from domicile.chain.contracts import Board, Budgets, Jobs, Jurisdictions, Nodes
from domicile.chain.deployment import deploy
from domicile.chain.devnet import DEVELOPMENT_MNEMONIC, Devnet
from domicile.chain.sender import Call, Sender
from domicile.errors import Refused
from domicile.lineage.record import read_record
from domicile.lineage.replay import replay
from domicile.lineage.state import Contracts, compare_board, compare_job, compare_ledger, compare_registries
from domicile.lineage.verdict import Findings
from domicile.protocol import acts, budget, commitment, eligibility, reservation, unmasking
from domicile.protocol import jurisdiction as places
from domicile.protocol.attestation import Attestation
from domicile.protocol.budget import NOTHING, Budget, PrivacyLedger, budget_of, least_spent
from domicile.protocol.condition import has_committed, member_of
from domicile.protocol.creation import create
from domicile.protocol.eligibility import Refusal, Safeguard, Sensitivity
from domicile.protocol.job import Job
from domicile.protocol.jurisdiction import Tier
from domicile.protocol.notice import Notice, RegionalModelAccepted
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
    JobPhase,
    ShardParameters,
    ShardPhase,
    StallReason,
)
from domicile.types import DatasetId, Digest, JobId, JurisdictionCode, ShardIndex

pytestmark = [pytest.mark.slow, pytest.mark.timeout(480)]

WINDOW_S = 40
NODES = ["e1", "e2", "e3", "u1", "u2", "u3"]
MEMBERS = ["ce1", "ce2", "cu1", "g1", "g2"]
OWNER = "owner"
ASKED = Budget(epsilon_micros=1_000_003, delta_attos=7)
"""What a job with a budget reserves: neither figure is a multiple of any number of rounds."""

PLACE = dict.fromkeys(["e1", "e2", "e3", "ce1", "ce2"], "DE") | dict.fromkeys(
    ["u1", "u2", "u3", "cu1", "g1", "g2"], "US"
)
SIGNERS = {
    name: Signer.from_key(bytes([number]) * 32) for number, name in enumerate([*NODES, *MEMBERS, OWNER, "att"], 1)
}
ADDRESS = {name: signer.address for name, signer in SIGNERS.items()}


VOTE_SURVIVORS, UNMASK = 100, 106
"""The first kinds of moves of each act on the board."""


def digest(number: int) -> Digest:
    return Digest(bytes([number % 255 + 1]) * 32)


def plain(event: ev.Event, kind: type[Notice]) -> Notice:
    """An event without its place on the chain."""
    assert isinstance(event, kind)
    return kind(**{field.name: getattr(event, field.name) for field in fields(kind)})


class World:
    """The contracts on a chain of their own, and the twin beside them."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.governor = Sender(chain, Signer.from_mnemonic(DEVELOPMENT_MNEMONIC))
        self.deployment = deploy(chain, self.governor, loosening_delay_s=0)
        self.jobs = Jobs(chain, self.deployment)
        self.nodes = Nodes(chain, self.deployment)
        self.places = Jurisdictions(chain, self.deployment)
        self.budgets = Budgets(chain, self.deployment)
        self.board = Board(chain, self.deployment)
        self.ledger = PrivacyLedger()
        self.seen: Counter[str] = Counter()
        self._settle_in()
        self.num_unagreed = 0
        """Regional models of masked updates that were accepted with no survivors agreed on."""

        self.job: Job

    def _settle_in(self) -> None:
        act = self.governor.act
        for code, parent in (("EU", None), ("DE", "EU"), ("US", None), ("FR", "EU")):
            act(self.places.list(code, parent, Tier.OPEN, digest(1)))
        act(self.places.set_guardian(self.governor.address, True))
        act(self.nodes.add_attester(ADDRESS["att"], ["EU", "US"]))
        for code in ("EU", "US"):
            act(self.nodes.set_quorum(code, 1))
        now_s = self.chain.timestamp()
        for name in (*NODES, *MEMBERS, OWNER):
            self.governor.wait(self.governor.transfer(ADDRESS[name], 10**19))
        for number, name in enumerate((*NODES, *MEMBERS)):
            Sender(self.chain, SIGNERS[name]).act(self.nodes.register(digest(number), Safeguard.SECURE_AGGREGATION))
            # The attestation of u3 lapses while jobs run.
            act(self.attest(name, PLACE[name], until_s=now_s + (400 if name == "u3" else 10**8)))
            act(self.nodes.clear(ADDRESS[name], Sensitivity.SPECIAL, digest(2), now_s + 10**8))
        for name in (*NODES, *MEMBERS, OWNER):
            self.chain.request("anvil_impersonateAccount", ADDRESS[name])
        for number, name in enumerate(NODES, 1):
            commitment_of, holder = digest(100 + number), ADDRESS[name]
            Sender(self.chain, SIGNERS[OWNER]).act(self.budgets.register_dataset(commitment_of, holder))
            self.ledger = budget.register(self.ledger, ADDRESS[OWNER], commitment_of, holder)
            self.now_s = self.chain.timestamp() + 1
            self.grant(OWNER, number, ASKED, self.now_s + 10**6)

    def attest(self, name: str, place: str, *, until_s: int = 10**11) -> Call:
        """An attestation of a participant in a place, signed."""
        attestation = Attestation(
            node=ADDRESS[name],
            jurisdiction=JurisdictionCode(place),
            assurance=0,
            evidence=digest(1),
            valid_from_s=1,
            valid_until_s=until_s,
            nonce=self.nodes.standing_of(ADDRESS[name]).nonce,
        )
        return self.nodes.attest(attestation, [SIGNERS["att"].sign_typed_data(self.nodes.typed_data(attestation))])

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Whatever happens meanwhile is taken back."""
        snapshot, ledger = self.chain.request("evm_snapshot"), self.ledger
        try:
            yield
        finally:
            self.chain.request("evm_revert", snapshot)
            self.ledger = ledger
            self.governor._nonce = None

    def begin(self, parameters: JobParameters) -> None:
        """Creates one and the same job on both sides."""
        self.law = (
            places.Jurisdictions()
            .list("EU", None, Tier.OPEN)
            .list("DE", "EU", Tier.OPEN)
            .list("US", None, Tier.OPEN)
            .list("FR", "EU", Tier.OPEN)
        )
        self.now_s = self.chain.timestamp() + 1
        self.num_unagreed = 0
        committees = (
            Committee(members=(ADDRESS["ce1"], ADDRESS["ce2"]), quorum=2),
            Committee(members=(ADDRESS["cu1"],), quorum=1),
        )
        worldwide = Committee(members=(ADDRESS["g1"], ADDRESS["g2"]), quorum=1)
        shards = [
            ShardParameters(jurisdiction=code, committee=committee)
            for code, committee in zip(("EU", "US"), committees, strict=True)
        ]
        self._mine()
        told = self._send(OWNER, self.jobs.create_job(parameters, shards, worldwide))
        self.job = create(
            chain_id=self.deployment.chain_id,
            contract=self.deployment.training_jobs,
            number=JobId(self.jobs.num_jobs()),
            owner=ADDRESS[OWNER],
            parameters=parameters,
            shards=shards,
            global_committee=worldwide,
            law=self.law,
            now_s=self.now_s,
        )
        self.compare(told)

    def note(self, *reached: object) -> None:
        """Remembers what was reached, by name: members of different enums are equal as numbers."""
        self.seen.update(str(one) if one is None else f"{type(one).__name__}.{one.name}" for one in reached)  # type: ignore[attr-defined]

    def gate(self, name: str, shard: int | None) -> Refusal:
        """The twin's gate, compared with the contract's."""
        if shard is not None and shard >= 2:
            return Refusal.NONE
        requirement = (
            self.jobs.global_requirement_of(self.job.id)
            if shard is None
            else self.jobs.requirement_of(self.job.id, ShardIndex(shard))
        )
        assert requirement == (self.job.global_requirement() if shard is None else self.job.requirement(shard))
        standing = self.nodes.standing_of(ADDRESS[name])
        registered = any(self.nodes.key_card_of(ADDRESS[name]))
        ours = eligibility.refusal(standing, requirement, self.law, 1, registered=registered, now_s=self.now_s)
        assert ours is self.nodes.refusal(ADDRESS[name], requirement)
        self.note(ours)
        return ours

    def both(self, name: str, call: object, twin: object) -> None:
        """Does one act on both sides and compares outcome and state."""
        self._mine()
        ours: Refused | None = None
        try:
            after = twin(self.now_s)  # type: ignore[operator]
        except Refused as exc:
            ours, after = exc, self.job
        theirs: Refused | None = None
        try:
            self.chain.call(call.target, call.data, sender=ADDRESS[name])  # type: ignore[attr-defined]
        except Refused as exc:
            theirs = exc
        assert ours == theirs, f"{call.action}: twin {ours!r}, contract {theirs!r}"  # type: ignore[attr-defined]
        self.seen[type(ours).__name__] += 1
        told = self._send(name, call) if theirs is None else []
        self.job = after
        self.compare(told)

    def grant(self, name: str, number: int, granted: Budget, valid_until_s: int) -> None:
        """Somebody says on both sides what a dataset may spend."""
        self._mine()
        dataset, ours = DatasetId(number), None
        try:
            self.ledger = budget.grant(self.ledger, ADDRESS[name], dataset, granted, valid_until_s)
        except Refused as exc:
            ours = exc
        call, theirs = self.budgets.grant_budget(dataset, granted, valid_until_s), None
        try:
            self.chain.call(call.target, call.data, sender=ADDRESS[name])
        except Refused as exc:
            theirs = exc
        assert ours == theirs
        self.seen[type(ours).__name__] += 1
        if theirs is None:
            self._send(name, call)
        self.compare_dataset(dataset)

    def compare_dataset(self, number: DatasetId) -> None:
        if number in self.ledger.datasets:
            assert self.budgets.dataset_at(number) == self.ledger.datasets[number]

    def govern(self, call: object) -> None:
        self._mine()
        self.chain.request("evm_setNextBlockTimestamp", self.now_s)
        self.governor.act(call)  # type: ignore[arg-type]

    def compare(self, told: list[ev.Event]) -> None:
        """The contract holds what the twin holds, and its events are what the twin tells."""
        assert [plain(event, type(notice)) for event, notice in zip(told, self.job.told, strict=True)] == [
            *self.job.told
        ]
        for told_here in self.job.told:
            if isinstance(told_here, RegionalModelAccepted) and unmasking.is_secure(self.job):
                where = (told_here.shard, told_here.global_round, told_here.regional_round)
                self.num_unagreed += not unmasking.is_agreed(self.job, *where)
            self.ledger = reservation.after(self.ledger, self.job, told_here, self.now_s)
            self.seen[type(told_here).__name__] += 1
            self.compare_dataset(getattr(told_here, "dataset", NO_DATASET))
        self.job = replace(self.job, told=())
        state, shards = self.jobs.snapshot(self.job.id)
        assert state == self.job.state
        for ours, theirs in zip(self.job.shards, shards, strict=True):
            assert ours == theirs
            self.note(theirs.phase, theirs.stall)
            self.seen["reopened"] += theirs.first_round > 0
        self.note(state.phase)
        if state.phase not in {JobPhase.JOINING, JobPhase.CANCELLED}:
            opened = [index for index, shard in enumerate(shards) if shard.phase not in {ShardPhase.IDLE}]
            for index in opened:
                if shards[index].stall is not StallReason.TOO_FEW_MEMBERS:
                    assert self.jobs.commitments_of(self.job.id, ShardIndex(index)) == self.job.commitments[index]
            assert self.jobs.reports_of(self.job.id) == self.job.reports
            assert self.jobs.global_model_of(self.job.id) == self.job.model
        for name in NODES:
            theirs = self.jobs.member_of(self.job.id, ADDRESS[name])
            assert theirs == member_of(self.job, ADDRESS[name])
        if unmasking.is_secure(self.job):
            self.compare_board()

    def compare_board(self) -> None:
        for index in (ShardIndex(0), ShardIndex(1)):
            assert self.board.agreement_of(self.job.id, index) == self.job.board.agreement_of(index)
        for name in NODES:
            assert self.board.answer_of(self.job.id, ADDRESS[name]) == self.job.board.answer_of(ADDRESS[name])

    def replay(self) -> None:
        """The job's record, followed from its events alone, leads to what the contracts hold."""
        pinned = self.chain.at(self.chain.block_number())
        record, findings = read_record(pinned, self.deployment, self.job.id), Findings()
        replayed = replay(record, findings)
        unagreed = [one for one in findings.problems if one.endswith("on whose survivors nobody agreed")]
        assert findings.problems == unagreed
        assert len(unagreed) == self.num_unagreed
        assert replayed.job == self.job
        contracts = Contracts.at(pinned, self.deployment)
        compare_registries(record, replayed.registry, contracts, findings)
        compare_job(record, self.job, contracts, findings)
        compare_board(record, self.job, contracts, findings)
        assert replayed.ledger == self.ledger
        compare_ledger(self.job, self.ledger, contracts, findings)
        assert findings.problems == unagreed

    def _mine(self) -> None:
        self.chain.request("evm_setNextBlockTimestamp", self.now_s)
        self.chain.request("evm_mine")

    def _send(self, name: str, call: object) -> list[ev.Event]:
        self.chain.request("evm_setNextBlockTimestamp", self.now_s)
        transaction = {"from": ADDRESS[name], "to": call.target, "data": "0x" + call.data.hex(), "gas": hex(3_000_000)}  # type: ignore[attr-defined]
        receipt = self.chain.request("eth_sendTransactionSync", transaction)
        assert receipt["status"] == "0x1"
        names = {address.lower(): name for name, address in self.deployment.event_sources().items()}
        told = [ev.decode_log(names[log["address"]], log) for log in receipt["logs"]]
        return [event for event in told if event is not None]


@pytest.fixture(scope="module")
def world():
    with Devnet() as devnet:
        yield World(Chain(devnet.rpc_url))


BUDGETS = st.sampled_from([NOTHING, ASKED, replace(ASKED, delta_attos=0)])
PARAMETERS = st.builds(
    lambda asked, **others: JobParameters(**others, **asdict(asked)),
    BUDGETS,
    spec=st.just(digest(3)),
    join_window_s=st.just(WINDOW_S),
    collect_window_s=st.just(WINDOW_S),
    global_rounds=st.integers(1, 2),
    min_regional_rounds=st.just(1),
    max_regional_rounds=st.integers(1, 3),
    patience=st.just(1),
    min_delta_micros=st.just(5),
    max_retries=st.integers(0, 1),
    min_nodes=st.just(2),
    min_contributors=st.just(3),
    min_shards=st.integers(1, 2),
    sensitivity=st.sampled_from([Sensitivity.PUBLIC, Sensitivity.SPECIAL]),
    max_tier=st.sampled_from([Tier.CONDITIONAL, Tier.HIGH_RISK]),
    safeguards=st.sampled_from([Safeguard.SECURE_AGGREGATION, Safeguard.NONE]),
    denied=st.sampled_from([(), (JurisdictionCode("FR"),)]),
)
MOVES = st.lists(st.tuples(st.integers(0, 112), st.integers(0, 5), st.integers(0, 9)), min_size=30, max_size=45)


def expected_regional(job: Job, index: int, salt: int) -> RegionalProposal:
    """A proposal that is right, unless `salt` makes it wrong in one way."""
    shard = job.shards[index]
    committed = sorted((a for a, m in job.members.items() if m.shard == index and has_committed(job, m)), key=str.lower)
    leave_out = committed[:1] if salt == 8 else []
    contributors = len(committed) - len(leave_out)
    loss = 1000 - 10 * shard.regional_round if contributors >= job.parameters.min_contributors else NO_LOSS
    proposal = RegionalProposal(
        global_round=job.state.global_round,
        regional_round=shard.regional_round,
        commitments=job.commitments[index],
        model=digest(10 + shard.regional_round),
        payload=digest(20),
        loss_micros=loss,
        excluded=tuple(NodeExclusion(node=node, reason=ExclusionReason.MALFORMED) for node in leave_out),
    )
    wrong = {
        1: {"commitments": digest(200)},
        2: {"loss_micros": NO_LOSS if loss != NO_LOSS else 7},
        3: {"excluded": (NodeExclusion(node=ADDRESS["g1"], reason=ExclusionReason.MALFORMED),)},
        4: {"regional_round": shard.regional_round + 1},
        5: {"model": Digest(bytes(32))},
    }
    return replace(proposal, **wrong.get(salt, {}))


def expected_survivors(job: Job, index: int, salt: int) -> SurvivorsProposal:
    """A proposal that is right, unless `salt` makes it wrong in one way."""
    shard = job.shards[index]
    proposal = SurvivorsProposal(
        global_round=job.state.global_round,
        regional_round=shard.regional_round,
        commitments=job.commitments[index],
        excluded=(),
    )
    node = ADDRESS["g1" if salt == 3 else NODES[3 * index]]
    wrong = {
        1: {"commitments": digest(200)},
        3: {"excluded": (NodeExclusion(node=node, reason=ExclusionReason.MALFORMED),)},
        4: {"regional_round": shard.regional_round + 1},
        5: {"excluded": (NodeExclusion(node=node, reason=ExclusionReason.NONE),)},
        8: {"excluded": (NodeExclusion(node=node, reason=ExclusionReason.UNAVAILABLE),)},
    }
    return replace(proposal, **wrong.get(salt, {}))


def move_on_board(world: World, kind: int, who: int, salt: int) -> None:
    """A vote for survivors, or an answer to them."""
    job, number, node = world.job, world.job.id, NODES[who]
    if kind < UNMASK:
        index = who % 2 if salt != 9 else 2
        committee = [["ce1", "ce2"], ["cu1"], ["ce1"]][index]
        name = committee[who // 2 % len(committee)] if salt != 7 else node
        proposal = expected_survivors(job, who % 2, salt)
        refusal = world.gate(name, index)
        world.both(
            name,
            world.board.vote_survivors(number, ShardIndex(index), proposal),
            lambda now_s: unmasking.vote_survivors(job, ADDRESS[name], index, proposal, now_s=now_s, refusal=refusal),
        )
    else:
        shard = member_of(job, ADDRESS[node]).shard
        rounds = (job.state.global_round + (salt == 8), job.shards[shard].regional_round + (salt == 9))
        refusal, what = world.gate(node, shard), digest(salt) if salt else Digest(bytes(32))
        world.both(
            node,
            world.board.unmask(number, *rounds, what),
            lambda now_s: unmasking.unmask(job, ADDRESS[node], *rounds, what, now_s=now_s, refusal=refusal),
        )


def move(world: World, kind: int, who: int, salt: int) -> None:
    """One random act; most of them are what honest parties would do next, so that jobs get far."""
    job, jobs, number = world.job, world.jobs, world.job.id
    node = NODES[who]
    shard = 0 if who < 3 else 1
    now = world.job.state
    if kind < 8:
        world.now_s += [1, 2, 5, WINDOW_S - 1, WINDOW_S, WINDOW_S + 1, 3, 1, 2, 150][salt]
    elif 26 <= kind < 30:
        name = OWNER if salt < 8 else node
        world.both(name, jobs.start(number), lambda now_s: acts.start(job, ADDRESS[name], now_s=now_s))
    elif kind < 26 or (now.phase is JobPhase.JOINING and kind < 76):
        target = shard if salt < 8 else salt - 7
        refusal, dataset, ledger = world.gate(node, target), named_dataset(job, who, salt), world.ledger
        world.both(
            node,
            jobs.join(number, ShardIndex(target), dataset),
            lambda now_s: acts.join(
                job, ADDRESS[node], target, now_s=now_s, refusal=refusal, dataset=dataset, ledger=ledger
            ),
        )
    elif kind < 58 and now.phase is not JobPhase.MERGING:
        seat = member_of(job, ADDRESS[node])
        rounds = (now.global_round, job.shards[seat.shard].regional_round + (salt == 9))
        refusal = world.gate(node, seat.shard)
        what = digest(who) if salt else Digest(bytes(32))
        world.both(
            node,
            jobs.commit(number, *rounds, what),
            lambda now_s: acts.commit(job, ADDRESS[node], *rounds, what, now_s=now_s, refusal=refusal),
        )
    elif kind < 78 and now.phase is not JobPhase.MERGING:
        index = who % 2
        name = [["ce1", "ce2"], ["cu1"]][index][who // 2 % (2 - index)] if salt != 7 else node
        proposal = expected_regional(job, index, salt)
        refusal = world.gate(name, index)
        world.both(
            name,
            jobs.vote_regional(number, ShardIndex(index), proposal),
            lambda now_s: acts.vote_regional(job, ADDRESS[name], index, proposal, now_s=now_s, refusal=refusal),
        )
    elif kind < 86 and now.phase is not JobPhase.MERGING:
        index = who % 2
        name = ["ce1", "cu1"][index] if salt != 7 else node
        refusal = world.gate(name, index)
        world.both(
            name,
            jobs.report_export(number, ShardIndex(index), now.global_round, digest(30)),
            lambda now_s: acts.report_export(
                job, ADDRESS[name], index, now.global_round, digest(30), now_s=now_s, refusal=refusal
            ),
        )
    elif kind < 91 or (now.phase is JobPhase.MERGING and kind < 85):
        left = (ShardExclusion(shard=ShardIndex(salt % 3), reason=ExclusionReason.MALFORMED),) if salt > 7 else ()
        proposal_g = GlobalProposal(
            global_round=now.global_round,
            reports=job.reports if salt != 1 else digest(99),
            model=digest(40 + now.global_round),
            payload=digest(50),
            excluded=left,
        )
        name = ["g1", "g2"][who % 2] if salt != 7 else node
        refusal = world.gate(name, None)
        world.both(
            name,
            jobs.vote_global(number, proposal_g),
            lambda now_s: acts.vote_global(job, ADDRESS[name], proposal_g, now_s=now_s, refusal=refusal),
        )
    elif kind < 94:
        world.both(node, jobs.advance(number), lambda now_s: acts.advance(job, now_s=now_s))
    elif kind < 97:
        index = who % 3
        world.both(
            node,
            jobs.advance_shard(number, ShardIndex(index)),
            lambda now_s: acts.advance_shard(job, index, now_s=now_s),
        )
    elif kind == 97:
        world.both(node, jobs.leave(number), lambda now_s: acts.leave(job, ADDRESS[node], now_s=now_s))
    elif kind < VOTE_SURVIVORS:
        (settle_up if kind == 98 else change_the_law)(world, who, salt)
    else:
        move_on_board(world, kind, who, salt)


def settle_up(world: World, who: int, salt: int) -> None:
    """The owner ends the job, a reservation ends, or a grant becomes another one."""
    job = world.job
    if salt < 2:
        world.both(OWNER, world.jobs.cancel(job.id), lambda _now_s: acts.cancel(job, ADDRESS[OWNER]))
    elif salt < 6:
        give_back(world, who, salt)
    else:
        grant(world, who, salt)


def named_dataset(job: Job, who: int, salt: int) -> DatasetId:
    """A node's own dataset where the job has a budget, unless `salt` makes it wrong in one way."""
    own = DatasetId(who + 1 if job.state.has_budget else NO_DATASET)
    wrong = {3: NO_DATASET, 4: 99, 5: (who + 1) % 6 + 1, 6: who + 1}
    return DatasetId(wrong.get(salt, own))


def grant(world: World, who: int, salt: int) -> None:
    """What a dataset may spend becomes enough for one job, for none, for the half of one figure, or is over."""
    granted = {
        0: ASKED,
        6: NOTHING,
        7: replace(ASKED, epsilon_micros=ASKED.epsilon_micros // 2),
        8: replace(ASKED, delta_attos=3),
    }.get(salt, ASKED)
    until_s = world.now_s + (0 if salt == 9 else WINDOW_S)
    name, number = (NODES[who], who + 1) if salt == 5 else (OWNER, 99 if salt == 4 else who + 1)
    world.grant(name, number, granted, until_s)


def give_back(world: World, who: int, salt: int) -> None:
    """A reservation ends; what was spent is right, unless `salt` makes it too little or too much."""
    job, node = world.job, NODES[who]
    least = least_spent(member_of(job, ADDRESS[node]), job.parameters)
    one = Budget(epsilon_micros=1, delta_attos=0)
    spent = {3: least - one, 4: budget_of(job.parameters) + one, 5: budget_of(job.parameters)}.get(salt, least)
    name, ledger = {6: NODES[who - 1], 7: OWNER}.get(salt, node), world.ledger
    world.both(
        name,
        world.budgets.return_budget(job.id, ADDRESS[node], spent),
        lambda _now_s: reservation.return_budget(job, ADDRESS[name], ADDRESS[node], spent, ledger),
    )


def change_the_law(world: World, who: int, salt: int = 0) -> None:
    """A node moves, a tier turns stricter, or a node is suspended."""
    if salt > 3:
        world.govern(world.attest(NODES[who], "FR" if salt < 8 else PLACE[NODES[who]]))
    elif who % 2:
        tier = Tier.CONDITIONAL if world.law.tiers[2] is Tier.OPEN else Tier.PROHIBITED
        if world.law.tiers[2] is not Tier.PROHIBITED:
            world.govern(world.places.tighten("DE", tier, digest(1)))
            world.law = world.law.with_tier("DE", tier)
    elif not world.nodes.standing_of(ADDRESS[NODES[who]]).suspended:
        world.govern(world.nodes.suspend(ADDRESS[NODES[who]], digest(1)))


def test_twin_and_contracts_agree_after_every_act(world: World) -> None:
    @seed(20261123)
    @settings(max_examples=45, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(PARAMETERS, MOVES)
    def drive(parameters: JobParameters, moves: list[tuple[int, int, int]]) -> None:
        with world.undone():
            world.begin(parameters)
            for who in range(6):
                if moves[who][0] < 20:
                    grant(world, who, moves[who][2])
            for name in NODES if moves[0][2] < 8 else []:
                move(world, 10, NODES.index(name), 0)
            for kind, who, salt in moves:
                move(world, kind, who, salt)
            for kind, who, salt in moves[:6]:
                give_back(world, kind % 6, salt if who else 2)
            world.replay()

    drive()
    honest_life(world)
    wanted = [JobPhase.TRAINING, JobPhase.MERGING, JobPhase.COMPLETE, JobPhase.FAILED, JobPhase.CANCELLED, *ShardPhase]
    wanted += [StallReason.TOO_FEW_UPDATES, StallReason.NO_QUORUM, StallReason.TOO_FEW_CONTRIBUTORS]
    wanted += [StallReason.ROUND_OVER, Refusal.TIER_FORBIDS, Refusal.SUSPENDED, Refusal.OUTSIDE_SHARD]
    wanted_refusals = ["BudgetExceeded", "GrantOver", "NotHolder", "UnknownDataset", "NoBudget", "DatasetRequired"]
    wanted_refusals += ["NothingMasked", "SurvivorsNotAgreed", "SurvivorsAlreadyAgreed", "AlreadyUnmasked"]
    wanted_refusals += ["SurvivorsVote", "SurvivorsAgreed", "Unmasked"]
    wanted_refusals += ["NotDatasetOwner", "NothingReserved", "ReservationInUse", "InvalidSpending", "BudgetReturned"]
    missed = [f"{type(one).__name__}.{one.name}" for one in wanted]
    assert [name for name in (*missed, *wanted_refusals, "reopened") if not world.seen[name]] == []


def honest_life(world: World) -> None:
    """Whole lives on both sides: to completion, and through stalls, a re-opening and cancelling."""
    base = JobParameters(
        spec=digest(3),
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
        min_shards=2,
        sensitivity=Sensitivity.SPECIAL,
        max_tier=Tier.CONDITIONAL,
        safeguards=Safeguard.NONE,
        denied=(),
    )
    for script in ("complete", "stall", "few", "nothing", "silent", "law", "cancel", "moved", "masked"):
        with world.undone():
            _live(world, script, replace(base, **asdict(NOTHING if script == "law" else ASKED)))
    with world.undone():
        _two_jobs_of_one_grant(world, replace(base, **asdict(ASKED)))


def _two_jobs_of_one_grant(world: World, base: JobParameters) -> None:
    """Every refusal at joining; then one job's reservations, of which half return, stand in the way of the next."""
    world.begin(base)
    for who, granted in ((0, 6), (1, 7), (2, 8), (3, 9)):
        grant(world, who, granted)
        for salt in (0, 3, 4, 5):
            move(world, 10, who, salt)
        grant(world, who, 0)
    for who in range(6):
        for kind in (10, 97, 10):
            move(world, kind, who, 0)
    move(world, 98, 0, 0)
    for who in range(3):
        give_back(world, who, 2)
    world.begin(base)
    for who in range(6):
        move(world, 10, who, 0)
    assert [member_of(world.job, ADDRESS[name]).joined for name in NODES] == [True] * 3 + [False] * 3
    world.replay()


def _unmask(world: World) -> None:
    """Every refusal of the board but the gate's, then a set agreed on in each shard, and all answers to it."""
    move(world, UNMASK, 0, 6)
    for salt in (1, 3, 4, 5, 7, 8, 9, 6, 6):
        move(world, VOTE_SURVIVORS, 0, salt)
    for who in (2, 0, 1, 1):
        move(world, VOTE_SURVIVORS, who, 6)
    for who in range(6):
        for salt in (0, 8, 9, 6, 7):
            move(world, UNMASK, who, salt)


def _live(world: World, script: str, base: JobParameters) -> None:  # noqa: PLR0912 - one script after the other
    few = script == "few"
    denied = (JurisdictionCode("FR"),) if script == "moved" else ()
    safeguards = Safeguard.SECURE_AGGREGATION if script == "masked" else Safeguard.NONE
    base = replace(base, denied=denied, safeguards=safeguards)
    world.begin(replace(base, min_shards=1 if few else 2, max_retries=0 if few else 1))
    for who in range(6):
        move(world, 10, who, 0)
    move(world, 27, 0, 0)
    if script == "law":
        for law in (0, 1, 1):
            change_the_law(world, law)
            for who in (0, 1, 4):
                move(world, 40, who, 6)
    if script == "moved":
        # Refused where it is denied, accepted again at home, also in later rounds.
        for place in ("FR", "DE"):
            world.govern(world.attest("e1", place))
            move(world, 40, 0, 6)
    if script == "silent":
        for who in range(6):
            move(world, 40, who, 6)
        for who in (0, 1, 0, 1):
            world.now_s += WINDOW_S
            move(world, 95, who, 0)
    for _ in range(8 if script == "complete" else 3):
        for who in range(6):
            if not (script in {"stall", "nothing"} and who < 3) and not (script == "few" and who in {2, 5}):
                move(world, 40, who, 6)
        if script in {"stall", "few", "nothing"}:
            world.now_s += WINDOW_S
            for who in (0, 1):
                move(world, 95, who, 0)
        if script == "masked":
            _unmask(world)
        if script != "nothing":
            for who in (0, 2, 1):
                move(world, 60, who, 6)
        for who in (0, 1):
            move(world, 82, who, 6)
        move(world, 88, 0, 6)
    if script == "nothing":
        for _ in range(6):
            world.now_s += 8 * WINDOW_S
            move(world, 92, 0, 0)
    if script == "cancel":
        move(world, 98, 0, 0)
    for who in range(6):
        for salt in (3, 4, 6)[: 3 - who] + (7 if who % 2 else 2, 2)[: 1 + who // 5]:
            give_back(world, who, salt)
    world.replay()


def test_an_equal_proposal_has_an_equal_id_and_any_difference_shows() -> None:
    proposal = GlobalProposal(global_round=1, reports=digest(1), model=digest(2), payload=digest(3), excluded=())
    same = commitment.global_proposal_id(JobId(1), replace(proposal))
    assert commitment.global_proposal_id(JobId(1), proposal) == same
    assert commitment.global_proposal_id(JobId(2), proposal) != same
    assert commitment.global_proposal_id(JobId(1), replace(proposal, model=digest(4))) != same
