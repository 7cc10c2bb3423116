"""One masked round: nodes that mask and answer as they do in their daemons, and a committee member that unmasks; real
stores, keys and payloads. Only the chain is none: what it would tell is applied to the history.

Shapes: P flat parameters.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from eth_utils.address import to_checksum_address

from aggregator import step
from aggregator.derivation import RegionalMerge
from aggregator.journal import AggregatorJournal, LeftOut
from aggregator.masked import MaskedWork
from aggregator.remarks import Remarks
from domicile.chain import events as ev
from domicile.chain.client import Chain
from domicile.crypto.context import PayloadKind
from domicile.crypto.keys import HpkeKey, KeyCard
from domicile.crypto.sealing import SealingWriter
from domicile.exchange import CardDirectory
from domicile.founders import Founders
from domicile.learning.model import ModelMetadata
from domicile.learning.secure.settings import SecureSettings
from domicile.learning.training import Evaluation, TrainingResult
from domicile.models import JobModels
from domicile.outbox import Outbox
from domicile.privacy.randomness import SecureRandomness
from domicile.protocol.commitment import survivors_proposal_id
from domicile.protocol.proposal import SurvivorsProposal
from domicile.protocol.round import Committee, ShardParameters
from domicile.types import Address, Digest, JurisdictionCode, ShardIndex
from node.journal import NodeJournal
from node.masking import MaskedPayload, Masking
from tests.aggregator.regional_ground import JOB, KEY, NOWHERE, RegionalGround, origin

ROUNDS = {"global_round": KEY[1], "regional_round": KEY[2]}
NUM_PARAMETERS = 300
MAX_NORM = 2.0
DUTY = step.Duty(now_s=100, window_s=40, deadline_s=140, rank=0, size=1, refused=False)


class OneBlock(Chain):
    """All that is asked of it is the hash of the block in which the job was started."""

    def hash_of(self, block: int) -> str:
        return "0x" + block.to_bytes(32, "big").hex()


class KnownCards(CardDirectory):
    """Digests that the chain would tell."""

    def __init__(self, models: JobModels, digests: dict[Address, Digest]) -> None:
        super().__init__(models.party.nodes, models.party.border)
        self.digests = digests

    def card(self, address: Address) -> KeyCard:
        return self.card_of(address, self.digests[address])


def address_of(number: int) -> Address:
    return Address(to_checksum_address(f"0x{number + 1:040x}"))


class MaskedGround(RegionalGround):
    """`num_nodes` members, of whom each has an update of its own."""

    def __init__(self, folder: Path, num_nodes: int = 4) -> None:
        super().__init__(
            folder,
            NUM_PARAMETERS,
            aggregation="secure",
            max_update_norm=MAX_NORM,
            secure=SecureSettings(max_examples=50),
        )
        self.members = [address_of(number) for number in range(num_nodes)]
        self.keys = {member: HpkeKey.from_seed(bytes([number + 1]) * 32) for number, member in enumerate(self.members)}
        own = self.party.sender.address
        cards = {
            address: KeyCard.of(key, address=address, software="test")
            for address, key in {**self.keys, own: self.party.hpke}.items()
        }
        digests = {address: self.party.border.put_bytes(card.to_bytes()) for address, card in cards.items()}
        party = replace(self.party, chain=OneBlock(NOWHERE))
        self.models = replace(self.models, party=party, cards=KnownCards(self.models, digests))
        self.history = self.models.history
        self.history.founders = Founders(
            block=7, cards={ShardIndex(0): {member: digests[member] for member in self.members}}
        )
        committee = Committee(members=(own,), quorum=1)
        shard = ShardParameters(jurisdiction=JurisdictionCode("EU"), committee=committee)
        self.history.apply(ev.ShardCreated(**origin(), shard=ShardIndex(0), parameters=shard))
        self.journals = {member: NodeJournal(folder / f"{member}.sqlite") for member in self.members}
        self.maskings = {member: self._masking(folder, member) for member in self.members}
        self.member_journal = AggregatorJournal(folder / "member.sqlite")
        assert self.party.region is not None
        self.region = self.party.region
        self.work = MaskedWork(self.models, self.region, Remarks(self.member_journal, JOB), ShardIndex(0))
        generator = torch.Generator().manual_seed(1)
        self.updates = {member: torch.randn(NUM_PARAMETERS, generator=generator) / 20 for member in self.members}

    def mask(self, member: Address, num_examples: int = 10) -> MaskedPayload:
        result = TrainingResult(
            delta_P=self.updates[member].clone(), num_examples=num_examples, num_steps=1, training_loss=0.1
        )
        figures = Evaluation(metrics={}, loss_sum=1.0, correct=1, count=2)
        return self.maskings[member].mask(
            KEY, result, figures, figures, start=ModelMetadata(), randomness=SecureRandomness()
        )

    def masks(self, *members: Address) -> None:
        """They mask, seal and commit."""
        for member in members:
            payload = self.mask(member)
            self.commits(member, payload.head, payload)

    def commits(self, member: Address, sheet: bytes, payload: MaskedPayload, *, as_: Address | None = None) -> Digest:
        """A payload of any sheet and sealed part goes into the store, and its digest onto the chain."""
        card = KeyCard.of(self.party.hpke, address=self.party.sender.address, software="test")
        context = self.models.context(PayloadKind.UPDATE, *KEY, as_ or member)
        with self.region.writer() as writer:
            writer.write(sheet)
            sealing = SealingWriter(writer, [card], context, payload.num_bytes)
            for chunk in payload.chunks():
                sealing.write(chunk)
            sealing.close()
            digest = writer.commit()
        self.tells_commit(member, digest)
        return digest

    def tells_commit(self, member: Address, digest: Digest) -> None:
        self.history.apply(ev.UpdateCommitted(**origin(), **ROUNDS, shard=ShardIndex(0), node=member, digest=digest))

    def tells_survivors(self, proposal: SurvivorsProposal) -> None:
        """The committee agrees."""
        proposal_id = survivors_proposal_id(JOB, ShardIndex(0), proposal)
        shard = ShardIndex(0)
        voter = self.party.sender.address
        self.history.apply(
            ev.SurvivorsVote(**origin(), shard=shard, voter=voter, proposal_id=proposal_id, proposal=proposal)
        )
        survivors = len(self.history.commits_of(KEY)) - len(proposal.excluded)
        self.history.apply(
            ev.SurvivorsAgreed(**origin(), **ROUNDS, shard=shard, proposal_id=proposal_id, survivors=survivors)
        )

    def agrees(self) -> None:
        """This member adds, and the committee agrees on what it would propose."""
        self.work.add(KEY, frozenset(), 100)
        self.tells_survivors(self.proposal)

    @property
    def proposal(self) -> SurvivorsProposal:
        opened = self.work._opened
        assert opened is not None
        return self.work._proposal(opened)

    def answers(self, *members: Address, put: bool = True) -> None:
        """They answer to the agreed survivors, and the board tells it; unless `put`, the store loses the answers."""
        for member in members:
            self.maskings[member].answer(KEY, late=False)
            answer = self.journals[member].answer(JOB, KEY[1], KEY[2])
            assert answer is not None
            if put:
                self.put(member)
            self.history.apply(
                ev.Unmasked(**origin(), **ROUNDS, shard=ShardIndex(0), node=member, digest=answer.digest)
            )

    def put(self, member: Address) -> None:
        answer = self.journals[member].answer(JOB, KEY[1], KEY[2])
        assert answer is not None
        self.outboxes[member].deliver(answer.digest, self.region)

    def duty(self, now_s: int = 100) -> step.Duty:
        return self.work.observe(replace(DUTY, now_s=now_s), KEY, frozenset())

    def reads(self, now_s: int = 100) -> RegionalMerge | None:
        """Looks, and reads what has come."""
        self.duty(now_s)
        return self.work.read_answers(KEY, KEY[2], torch.empty(NUM_PARAMETERS), now_s)

    def remarks(self) -> list[LeftOut]:
        return self.member_journal.left_out(JOB)

    @property
    def outboxes(self) -> dict[Address, Outbox]:
        return {member: Outbox(journal.path) for member, journal in self.journals.items()}

    def _masking(self, folder: Path, member: Address) -> Masking:
        party = replace(self.models.party, hpke=self.keys[member])
        models = replace(self.models, party=party)
        assert party.region is not None
        return Masking(self.journals[member], Outbox(folder / f"{member}.sqlite"), models, party.region, member)
