"""A member's work on the masked rounds of one shard: add what was committed, agree on whose updates are in the sum, and
unmask it with their answers.

Shapes: P flat parameters.
"""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import torch

from aggregator import step
from aggregator.answers import Answers
from aggregator.derivation import RegionalMerge, loss_micros
from aggregator.meeting import is_split, joined
from aggregator.merging import Looks, merge_into
from aggregator.remarks import BAD_ANSWER, BAD_SECRET, BAD_SHARES, Remarks
from aggregator.survivors import Opened, SurvivorsSum
from domicile.chain.sender import Call
from domicile.clock import JobClock
from domicile.errors import SecureSumError
from domicile.history import RegionalKey
from domicile.learning.model import ModelMetadata
from domicile.learning.secure.figures import SummedFigures
from domicile.log import log_event
from domicile.masked_round import MaskedShard
from domicile.models import JobModels
from domicile.privacy.node_level.grid import NORMS_WITHIN
from domicile.protocol.proposal import NodeExclusion, SurvivorsProposal
from domicile.secure_sum.unmasking import SecureMean, Unmasking
from domicile.storage.store import Store
from domicile.survivors import Survivors, SurvivorsTally
from domicile.types import Address, ShardIndex

log = logging.getLogger(__name__)


class MaskedWork:
    """One committee member in one shard whose updates are masked. Holds one sum at a time."""

    def __init__(self, models: JobModels, region: Store, remarks: Remarks, shard: ShardIndex) -> None:
        self._models = models
        self._region = region
        self._remarks = remarks
        self._shard = MaskedShard(models, shard)
        self._looks = Looks()
        self._sum = SurvivorsSum(models, region)
        self._opened: Opened | None = None
        self._answers: Answers | None = None

    def observe(self, duty: step.Duty, key: RegionalKey, ineligible: frozenset[Address]) -> step.Duty:
        """What this member sees of a round that it has not unmasked."""
        survivors = self._models.history.survivors.get(key)
        if survivors is not None:
            return replace(duty, masked=self._observe_answers(key, survivors, duty.now_s))
        opened = self._opened_in(key)
        if opened is None:
            return replace(duty, masked=step.Masked())
        opened = self._joined(opened, duty)
        found = self._acceptable(opened)
        voted = found is not None and self._models.party.sender.address in found[1].voters
        num_rivals = len(self._models.history.survivors_tallies.get(key, {}))
        impossible = self._impossible(key, len(opened.nodes))
        return replace(
            duty,
            masked=step.Masked(summed=True),
            stale=ineligible != opened.ineligible or (opened.misses_payloads and num_rivals > opened.num_rivals),
            voted=voted,
            # The contract asks for fewer than members answer for; a set that nobody answers for ends the round.
            acceptable=found[0] if found is not None and not voted and impossible is None else None,
            impossible=impossible,
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
        self._answers = None
        if survivors is not None:
            known, self._opened = self._opened_in(key), self._sum.add(key, masked, survivors)
            if known is None or known.nodes != survivors.nodes:
                self._remarks.left_out(key, self._opened.excluded, self._opened.excluded)
            return
        self._opened = opened = self._sum.look(key, masked, ineligible)
        new = self._looks.note(key, opened.excluded, now_s, self._models.history.clock)
        self._remarks.left_out(key, opened.excluded, new)
        self._remarks.not_merged(key, self._impossible(key, len(opened.nodes)))
        log_event(log, "summed", **self._where(key), survivors=len(opened.nodes))

    def propose(self, key: RegionalKey) -> Call:
        """A vote for those in the own sum; the same proposal whoever makes it."""
        opened = self._opened_in(key)
        assert opened is not None  # noqa: S101 - decide_shard() proposes only what is summed
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
        for event in self._models.history.unmaskings_of(key):
            if answers.is_due(event, now_s):
                answers.take(event, now_s)
        for holder, why in answers.unmasking.bad_holders.items():
            self._remarks.misled(key, holder, BAD_ANSWER, why)
        for dealer, holders in answers.unmasking.complaints.items():
            self._remarks.misled(key, dealer, BAD_SHARES, f"{len(holders)} holders cannot open their shares")
        unsolved = answers.unmasking.unsolved()
        for dealer in answers.unmasking.bad_dealers:
            self._remarks.misled(key, dealer, BAD_SECRET, "its shares do not all lead to the secret of its sheet")
        if unsolved or answers.unmasking.lacking:
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
        return self._finish(opened, first_round, buffer_P, mean, figures)

    def _observe_answers(self, key: RegionalKey, survivors: Survivors, now_s: int) -> step.Masked:
        opened, answers = self._opened_in(key), self._answers
        if answers is not None and answers.key == key and answers.failure is not None:
            return step.Masked(agreed=True, summed=True, waits_for=answers.failure)
        if opened is None or opened.nodes != survivors.nodes or self._sum.added != survivors.nodes:
            return step.Masked(agreed=True)
        if answers is None or answers.key != key:
            masked = self._shard.round(key)
            agreed = masked.agreed(survivors.proposal.commitments, survivors.nodes)
            unmasking = Unmasking(agreed, graph=masked.graph, sheets=opened.sheets)
            self._answers = answers = Answers(self._models, self._region, key, masked, unmasking)
        unread = any(answers.is_due(event, now_s) for event in self._models.history.unmaskings_of(key))
        if lacking := answers.unmasking.lacking:
            waits_for = f"answers for {len(lacking)} of {len(survivors.nodes)} survivors are missing"
        else:
            waits_for = f"the shares of {', '.join(sorted(answers.unmasking.bad_dealers))} lead to no secret yet"
        return step.Masked(agreed=True, summed=True, unread=unread, waits_for=waits_for)

    def _opened_in(self, key: RegionalKey) -> Opened | None:
        return self._opened if self._opened is not None and self._opened.key == key else None

    def _impossible(self, key: RegionalKey, num_survivors: int) -> str | None:
        needed = self._needed(key)
        return None if num_survivors >= needed else f"{num_survivors} usable masked updates, {needed} are needed"

    def _needed(self, key: RegionalKey) -> int:
        graph = self._shard.round(key).graph
        return graph.required_survivors(self._models.history.created.parameters.min_survivors)

    def _joined(self, opened: Opened, duty: step.Duty) -> Opened:
        """The own look, or what lets a split committee meet."""
        history = self._models.history
        tallies = history.survivors_tallies.get(opened.key, {}).values()
        clock = JobClock(duty.window_s)
        split = is_split(
            self._proposal(opened),
            tallies,
            member=self._models.party.sender.address,
            committee=history.shards[opened.key[0]].parameters.committee,
            turns_are_over=duty.now_s >= duty.deadline_s - duty.window_s + clock.proposers_s + clock.look_again_s,
        )
        if not split:
            return opened
        commitments = history.running_hash(opened.key, self._models.party.deployment)
        rivals = [tally.proposal for tally in tallies if tally.proposal.commitments == commitments]
        met = joined(opened, self._shard.round(opened.key), rivals, needed=self._needed(opened.key))
        if met.excluded != opened.excluded:
            self._remarks.left_out(opened.key, met.excluded, set(met.excluded) - set(opened.excluded))
            self._opened = met
        return met

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
