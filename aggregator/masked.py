"""A member's work on the masked rounds of one shard: add what was committed, agree on whose updates are in the sum, and
unmask it with their answers.

Shapes: P flat parameters.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace

import numpy as np
import torch

from aggregator import step
from aggregator.derivation import RegionalMerge, loss_micros
from aggregator.merging import LeftOut, Looks, merge_into
from aggregator.remarks import BAD_ANSWER, BAD_SHARES, Remarks
from domicile.chain.events import Unmasked, UpdateCommitted
from domicile.chain.sender import Call
from domicile.crypto.context import PayloadKind
from domicile.crypto.sealing import OpeningReader, sealed_size
from domicile.errors import BlockCorrupt, BlockMissing, PeerError, SealError, SecureSumError
from domicile.exchange import NUM_RECIPIENTS_MAX
from domicile.history import RegionalKey
from domicile.learning.memory import within_memory
from domicile.learning.model import ModelMetadata
from domicile.learning.secure.figures import SummedFigures
from domicile.log import log_event
from domicile.masked_round import MaskedRound, MaskedShard
from domicile.models import JobModels
from domicile.privacy.node_level.grid import NORMS_WITHIN
from domicile.protocol.proposal import NodeExclusion, SurvivorsProposal
from domicile.protocol.round import ExclusionReason
from domicile.secure_sum.sheet import Sheet, disputed
from domicile.secure_sum.unmasking import MaskedSum, SecureMean, Unmasking
from domicile.storage.store import Store
from domicile.survivors import Survivors, SurvivorsTally
from domicile.types import Address, ShardIndex

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Opened:
    """One look at what was committed in a masked round: whose updates can be in the sum, and who is left out.

    `num_rivals` counts the proposals that were known then.
    """

    key: RegionalKey
    sheets: dict[Address, Sheet]
    nodes: tuple[Address, ...]
    excluded: tuple[LeftOut, ...]
    ineligible: frozenset[Address]
    num_rivals: int

    @property
    def misses_payloads(self) -> bool:
        """Whether another member may have found in the store what this one did not."""
        return any(one.reason is ExclusionReason.UNAVAILABLE for one in self.excluded)


class MaskedWork:
    """One committee member in one shard whose updates are masked. Holds one sum at a time."""

    def __init__(self, models: JobModels, region: Store, remarks: Remarks, shard: ShardIndex) -> None:
        self._models = models
        self._region = region
        self._remarks = remarks
        self._shard = MaskedShard(models, shard)
        self._looks = Looks()
        self._sum: MaskedSum | None = None
        self._opened: Opened | None = None
        # Whose vectors the sum holds; `None` while it is spoiled or used up.
        self._added: tuple[Address, ...] | None = None
        self._answers: Answers | None = None

    def observe(self, duty: step.Duty, key: RegionalKey, ineligible: frozenset[Address]) -> step.Duty:
        """What this member sees of a round that it has not unmasked."""
        survivors = self._models.history.survivors.get(key)
        if survivors is not None:
            return replace(duty, masked=self._observe_answers(key, survivors, duty.now_s))
        opened = self._opened_in(key)
        if opened is None:
            return replace(duty, masked=step.Masked())
        found = self._acceptable(opened)
        voted = found is not None and self._models.party.sender.address in found[1].voters
        num_rivals = len(self._models.history.survivors_tallies.get(key, {}))
        return replace(
            duty,
            masked=step.Masked(summed=True),
            stale=ineligible != opened.ineligible or (opened.misses_payloads and num_rivals > opened.num_rivals),
            voted=voted,
            acceptable=found[0] if found is not None and not voted else None,
            impossible=self._impossible(len(opened.nodes)),
            look_again_s=self._looks.again_s,
            looked_again=self._looks.looked_again,
        )

    def add(self, key: RegionalKey, ineligible: frozenset[Address], now_s: int) -> None:
        """Opens and adds what was committed: by the agreed survivors alone, once they are agreed.

        Raises:
            StoreFault: a store cannot be reached, or what an agreed survivor committed is not there.
            PeerError: what an agreed survivor committed does not hold for this member.
        """
        masked = self._shard.round(key)
        survivors = self._models.history.survivors.get(key)
        if survivors is not None:
            self._add_agreed(key, masked, survivors)
            return
        self._opened = opened = self._look(key, masked, ineligible)
        new = self._looks.note(key, opened.excluded, now_s, self._models.history.clock)
        self._remarks.left_out(key, opened.excluded, new)
        self._remarks.not_merged(key, self._impossible(len(opened.nodes)))
        log_event(log, "summed", **self._where(key), survivors=len(opened.nodes))

    def propose(self, key: RegionalKey) -> Call:
        """A vote for those in the own sum; the same proposal whoever makes it."""
        opened = self._opened_in(key)
        assert opened is not None  # noqa: S101 - decide_shard() proposes only what is summed
        log_event(log, "voted_survivors", **self._where(key), survivors=len(opened.nodes))
        return self._models.party.board.vote_survivors(self._models.job, key[0], self._proposal(opened))

    def read_answers(
        self, key: RegionalKey, first_round: int, buffer_P: torch.Tensor, now_s: int
    ) -> RegionalMerge | None:
        """Takes the answers that have come; once they are enough, the model that follows, in `buffer_P`.

        Raises:
            StoreFault: a store cannot be reached; PeerError: the round's start model does not hold.
        """
        answers, opened = self._answers, self._opened_in(key)
        assert answers is not None  # noqa: S101 - decide_shard() reads answers to what is summed
        assert opened is not None  # noqa: S101
        assert self._sum is not None  # noqa: S101
        for event in self._models.history.unmaskings_of(key):
            if answers.is_due(event, now_s):
                answers.take(event, now_s)
        for holder, why in answers.unmasking.bad_holders.items():
            self._remarks.misled(key, holder, BAD_ANSWER, why)
        for dealer, holders in answers.unmasking.complaints.items():
            self._remarks.misled(key, dealer, BAD_SHARES, f"{len(holders)} holders cannot open their shares")
        if answers.unmasking.lacking:
            return None
        try:
            mean = self._sum.finish(answers.unmasking)
            num_nodes = len(opened.nodes)
            noised = self._shard.noise is not None
            figures = SummedFigures.withheld(num_nodes) if noised else SummedFigures.of(mean.figures, num_nodes)
        except SecureSumError as exc:
            answers.failure = str(exc)
            self._remarks.not_merged(key, answers.failure)
            return None
        finally:
            self._added = None
        return self._finish(opened, first_round, buffer_P, mean, figures)

    def _observe_answers(self, key: RegionalKey, survivors: Survivors, now_s: int) -> step.Masked:
        opened, answers = self._opened_in(key), self._answers
        if answers is not None and answers.key == key and answers.failure is not None:
            return step.Masked(agreed=True, summed=True, waits_for=answers.failure)
        if opened is None or opened.nodes != survivors.nodes or self._added != survivors.nodes:
            return step.Masked(agreed=True)
        if answers is None or answers.key != key:
            masked = self._shard.round(key)
            agreed = masked.agreed(survivors.proposal.commitments, survivors.nodes)
            unmasking = Unmasking(agreed, graph=masked.graph, sheets=opened.sheets)
            self._answers = answers = Answers(self._models, self._region, key, masked, unmasking)
        unread = any(answers.is_due(event, now_s) for event in self._models.history.unmaskings_of(key))
        waits_for = f"answers for {len(answers.unmasking.lacking)} of {len(survivors.nodes)} survivors are missing"
        return step.Masked(agreed=True, summed=True, unread=unread, waits_for=waits_for)

    def _opened_in(self, key: RegionalKey) -> Opened | None:
        return self._opened if self._opened is not None and self._opened.key == key else None

    def _impossible(self, num_survivors: int) -> str | None:
        needed = self._models.history.created.parameters.min_survivors
        return None if num_survivors >= needed else f"{num_survivors} usable masked updates, {needed} are needed"

    def _acceptable(self, opened: Opened) -> tuple[bytes, SurvivorsTally] | None:
        """A proposal of exactly the own survivors, with its id."""
        own = self._proposal(opened)
        tallies = self._models.history.survivors_tallies.get(opened.key, {})
        return next((found for found in tallies.items() if found[1].proposal == own), None)

    def _proposal(self, opened: Opened) -> SurvivorsProposal:
        return SurvivorsProposal(
            global_round=opened.key[1],
            regional_round=opened.key[2],
            commitments=self._models.history.running_hash(opened.key, self._models.party.deployment),
            excluded=tuple(NodeExclusion(node=Address(one.subject), reason=one.reason) for one in opened.excluded),
        )

    def _look(self, key: RegionalKey, masked: MaskedRound, ineligible: frozenset[Address]) -> Opened:
        """Adds while it checks; once something did not hold the sum is spoiled, and the rest is checked alone."""
        total = self._fresh_sum(masked)
        sheets: dict[Address, Sheet] = {}
        excluded: list[LeftOut] = []
        whole = True
        for event in sorted(self._models.history.commits_of(key), key=lambda one: one.node.lower()):
            if event.node in ineligible:
                detail = "the contract's gate refuses it now"
                excluded.append(LeftOut(subject=event.node, reason=ExclusionReason.INELIGIBLE, detail=detail))
                continue
            try:
                sheets[event.node] = self._open(total, key, masked, event, add=whole)
            except (BlockMissing, BlockCorrupt, SealError, SecureSumError) as exc:
                whole = False
                excluded.append(LeftOut(subject=event.node, reason=_reason_of(exc), detail=str(exc)))
        nodes, unfit = _survivors(masked, sheets)
        excluded += unfit
        self._added = nodes if whole and not unfit else None
        return Opened(
            key=key,
            sheets=sheets,
            nodes=nodes,
            excluded=tuple(sorted(excluded, key=lambda one: one.subject.lower())),
            ineligible=ineligible,
            num_rivals=len(self._models.history.survivors_tallies.get(key, {})),
        )

    def _add_agreed(self, key: RegionalKey, masked: MaskedRound, survivors: Survivors) -> None:
        total, sheets = self._fresh_sum(masked), {}
        for event in sorted(self._models.history.commits_of(key), key=lambda one: one.node.lower()):
            if event.node in survivors.nodes:
                sheets[event.node] = self._open(total, key, masked, event, add=True)
        left_out = "not among the survivors that the committee agreed on"
        excluded = [LeftOut(subject=one.node, reason=one.reason, detail=left_out) for one in survivors.excluded]
        known = self._opened_in(key)
        if known is None or known.nodes != survivors.nodes:
            self._remarks.left_out(key, excluded, excluded)
        self._opened = Opened(
            key=key,
            sheets=sheets,
            nodes=survivors.nodes,
            excluded=tuple(excluded),
            ineligible=frozenset(),
            num_rivals=0,
        )
        self._added = survivors.nodes

    def _fresh_sum(self, masked: MaskedRound) -> MaskedSum:
        self._added, self._answers = None, None
        if self._sum is None:
            with within_memory():
                self._sum = MaskedSum(masked.grid, masked.quantities, masked.num_values)
        self._sum.reset()
        return self._sum

    def _open(
        self, total: MaskedSum, key: RegionalKey, masked: MaskedRound, event: UpdateCommitted, *, add: bool
    ) -> Sheet:
        context = self._models.context(PayloadKind.UPDATE, *key, event.node)
        with self._region.open(event.digest, max_bytes=masked.payload_bytes_max) as source:
            sheet = masked.read_sheet(source, event.node)
            reader = OpeningReader(source, self._models.party.hpke, context, max_plaintext_bytes=masked.masked_bytes)
            if add:
                total.add(sheet, reader)
            else:
                total.check(sheet, reader)
        return sheet

    def _finish(
        self, opened: Opened, first_round: int, buffer_P: torch.Tensor, mean: SecureMean, figures: SummedFigures
    ) -> RegionalMerge:
        starts_global = opened.key[2] == first_round
        base = self._models.start_of(self._region, opened.key, first_round, buffer_P)
        metadata = ModelMetadata(
            num_examples=figures.num_examples,
            test=figures.test if starts_global else base.metadata.test,
            clipping_norm=self._scale(base.metadata, mean, len(opened.nodes)),
        )
        log_event(log, "unmasked", **self._where(opened.key), survivors=len(opened.nodes))
        return RegionalMerge(
            key=opened.key,
            excluded=opened.excluded,
            ineligible=opened.ineligible,
            num_rivals=0,
            contributors=len(opened.nodes),
            loss_micros=loss_micros(figures.validation),
            model=merge_into(
                self._models.spec.regional_merging,
                base,
                buffer_P,
                torch.from_numpy(mean.mean_P),
                metadata,
                keep_state=not starts_global,
            ),
        )

    def _scale(self, base: ModelMetadata, mean: SecureMean, num_nodes: int) -> float | None:
        """Brings a noised mean back from units of the clipping norm; the norm of the next round."""
        noise = self._shard.noise
        if noise is None:
            return None
        clipping_norm = noise.norm_at(base.clipping_norm)
        np.multiply(mean.mean_P, np.float32(clipping_norm), out=mean.mean_P)
        return noise.next_norm(clipping_norm, mean.figures[NORMS_WITHIN], num_nodes)

    def _where(self, key: RegionalKey) -> dict[str, int]:
        return {"job": self._models.job, "shard": key[0], "global_round": key[1], "regional_round": key[2]}


class Answers:
    """The answers to one round's survivors, as far as they were read. `failure`: why the sum cannot be unmasked."""

    def __init__(
        self, models: JobModels, region: Store, key: RegionalKey, masked: MaskedRound, unmasking: Unmasking
    ) -> None:
        self.key = key
        self.unmasking = unmasking
        self.failure: str | None = None
        self._models = models
        self._region = region
        self._limit = masked.sheet_bytes
        self._read: set[Address] = set()
        self._look_again_s: dict[Address, float] = {}

    def is_due(self, event: Unmasked, now_s: int) -> bool:
        """Whether an answer is still to be read, and was not missing a short while ago."""
        return event.node not in self._read and now_s >= self._look_again_s.get(event.node, now_s)

    def take(self, event: Unmasked, now_s: int) -> None:
        """Fetches and opens an answer; what is missing is looked for again.

        Raises:
            StoreFault: the store cannot be reached.
        """
        context = self._models.context(PayloadKind.UNMASKING, *self.key, event.node)
        try:
            with self._region.open(event.digest, max_bytes=sealed_size(self._limit, NUM_RECIPIENTS_MAX)) as source:
                reader = OpeningReader(source, self._models.party.hpke, context, max_plaintext_bytes=self._limit)
                raw = reader.read(reader.size)
        except (BlockMissing, BlockCorrupt):
            self._look_again_s[event.node] = now_s + self._models.history.clock.look_again_s
            return
        except SealError as exc:
            self.unmasking.bad_holders[event.node] = str(exc)
        else:
            self.unmasking.take(event.node, raw)
        self._read.add(event.node)


def _survivors(masked: MaskedRound, sheets: dict[Address, Sheet]) -> tuple[tuple[Address, ...], list[LeftOut]]:
    """Those whose masks can be taken away again, in ascending order of address; and why the others cannot be."""
    unfit = disputed(masked.graph, sheets)
    nodes = [node for node in sheets if node not in unfit]
    while lacking := masked.graph.lacking(nodes):
        threshold = masked.graph.threshold
        unfit |= dict.fromkeys(lacking, f"fewer than {threshold} holders of its shares are in the sum")
        nodes = [node for node in nodes if node not in unfit]
    left_out = [
        LeftOut(subject=node, reason=ExclusionReason.MALFORMED, detail=detail) for node, detail in unfit.items()
    ]
    return tuple(sorted(nodes, key=str.lower)), left_out


def _reason_of(exc: PeerError | BlockMissing | BlockCorrupt) -> ExclusionReason:
    if isinstance(exc, BlockMissing | BlockCorrupt):
        return ExclusionReason.UNAVAILABLE
    return ExclusionReason.UNOPENABLE if isinstance(exc, SealError) else ExclusionReason.MALFORMED
