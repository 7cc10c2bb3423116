"""A member's work in the global committee: merge the exported regional models and agree on the global one.

Shapes: P flat parameters.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from functools import cached_property

import torch

from aggregator import step
from aggregator.derivation import sum_figures, sum_rows
from aggregator.dispatch import Dispatch
from aggregator.journal import GLOBAL, AggregatorJournal, Unmerged
from aggregator.journal import LeftOut as JournaledExclusion
from aggregator.merging import LeftOut, Looks, MergedModel, global_merger, merge_into
from domicile import metrics
from domicile.crypto.context import PayloadKind
from domicile.errors import BlockCorrupt, BlockMissing, PeerError, SealError
from domicile.exchange import SealedModel, get_model, note_locked_out, seal_model
from domicile.history import GlobalTally
from domicile.learning.memory import within_memory
from domicile.learning.merging import Merger, weight_of
from domicile.learning.model import ModelFile, ModelMetadata
from domicile.log import log_event
from domicile.models import JobModels
from domicile.outbox import Delivered
from domicile.party import Party
from domicile.privacy.node_level.clipping import mean_norm
from domicile.protocol.eligibility import Requirement
from domicile.protocol.proposal import GlobalProposal, ShardExclusion
from domicile.protocol.round import ExclusionReason, JobState
from domicile.types import Digest, ShardIndex

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class GlobalMerge:
    """This member's own derivation of one global round. `model` is `None` where `impossible` says why.

    `num_rivals` counts the proposals that were known when it was derived.
    """

    global_round: int
    reports: Digest
    excluded: tuple[LeftOut, ...]
    num_rivals: int
    model: MergedModel | None
    impossible: str | None = None

    @property
    def exclusions(self) -> tuple[ShardExclusion, ...]:
        return tuple(ShardExclusion(shard=ShardIndex(int(one.subject)), reason=one.reason) for one in self.excluded)


class GlobalWork:
    """One committee member in the global committee of one job."""

    def __init__(self, party: Party, journal: AggregatorJournal, dispatch: Dispatch, models: JobModels) -> None:
        self._party = party
        self._journal = journal
        self._dispatch = dispatch
        self._models = models
        self._history = models.history
        self._committee = models.history.created.global_committee
        self._merged: GlobalMerge | None = None
        self._looks = Looks()
        self._gate = metrics.Gate()

    @cached_property
    def _requirement(self) -> Requirement:
        """What the gate demands of a member; it never changes while a job lives."""
        return self._party.jobs.global_requirement_of(self._models.job)

    def advance(self, state: JobState, now_s: int) -> bool:
        """Looks, decides and acts; `True` if it did something."""
        act = step.decide_job(state.phase, self._observe(state, now_s))
        if isinstance(act, step.Wait):
            return False
        with metrics.acting(act):
            self._perform(act, state, now_s)
        return True

    def _perform(self, act: step.Act, state: JobState, now_s: int) -> None:
        if isinstance(act, step.Merge):
            self._derive(state.global_round, now_s)
        elif isinstance(act, step.Propose):
            self._propose(state.global_round)
        elif isinstance(act, step.Confirm):
            self._confirm(self._history.global_tallies[state.global_round][act.proposal_id])
        elif isinstance(act, step.Advance):
            self._party.sender.act(self._party.jobs.advance(self._models.job), self._history.clock)

    def _observe(self, state: JobState, now_s: int) -> step.Duty:
        own = self._party.sender.address
        duty = step.Duty(
            now_s=now_s,
            window_s=state.collect_window_s,
            deadline_s=state.deadline_s,
            rank=step.rank(self._committee.members.index(own), len(self._committee.members), state.global_round),
            size=len(self._committee.members),
            refused=self._gate.said(self._party.nodes.refusal(own, self._requirement)),
        )
        merged = self._merged
        if merged is None or merged.global_round != state.global_round:
            return duty
        agreed = self._agreed(state.global_round)
        voted = agreed is not None and own in agreed[1].voters
        return replace(
            duty,
            merged=True,
            stale=self._is_stale(merged),
            voted=voted,
            acceptable=agreed[0] if agreed is not None and not voted else None,
            impossible=merged.impossible,
            look_again_s=self._looks.again_s,
            looked_again=self._looks.looked_again,
        )

    def _is_stale(self, merged: GlobalMerge) -> bool:
        if merged.reports != self._history.reports_hash(merged.global_round, self._party.deployment):
            return True
        return self._looks.again_s is not None and self._num_rivals(merged.global_round) > merged.num_rivals

    def _num_rivals(self, global_round: int) -> int:
        return len(self._history.global_tallies.get(global_round, {}))

    def _derive(self, global_round: int, now_s: int) -> None:
        """Derives the global model from every usable export."""
        self._merged = None  # The old derivation's memory is needed.
        with within_memory():
            self._merged = self._merge(global_round)
        new = self._looks.note(global_round, self._merged.excluded, now_s, self._history.clock)
        self._journal.forget_left_out(self._models.job, GLOBAL, global_round, 0)
        for one in self._merged.excluded:
            self._note_left_out(global_round, one, is_new=one in new)

    def _merge(self, global_round: int) -> GlobalMerge:
        layout = self._models.layout
        base_P, export_P = torch.empty(layout.num_parameters), torch.empty(layout.num_parameters)
        base = self._models.global_model(global_round - 1, base_P)
        merger = global_merger(self._models, self._dispatch.outbox.folder)
        found: list[tuple[ShardIndex, ModelMetadata]] = []
        excluded: list[LeftOut] = []
        for shard in sorted(self._history.exports.get(global_round, {})):
            opened = self._open_export(shard, global_round, export_P)
            if isinstance(opened, LeftOut):
                excluded.append(opened)
                continue
            merger.add(export_P.sub_(base_P), weight_of(self._models.spec.global_merging, opened.num_examples))
            found.append((shard, opened))
        del export_P
        outliers = {one.position: one.detail for one in merger.settle()}
        excluded += [
            LeftOut(subject=str(found[position][0]), reason=ExclusionReason.NORM_EXCEEDED, detail=detail)
            for position, detail in outliers.items()
        ]
        usable = [metadata for position, (_, metadata) in enumerate(found) if position not in outliers]
        impossible = self._impossible(len(usable), merger)
        where = {"job": self._models.job, "global_round": global_round}
        log_event(log, "merged", **where, shards=len(usable))
        self._note_unmerged(global_round, impossible)
        return GlobalMerge(
            global_round=global_round,
            reports=self._history.reports_hash(global_round, self._party.deployment),
            excluded=tuple(sorted(excluded, key=lambda one: int(one.subject))),
            num_rivals=self._num_rivals(global_round),
            model=self._finish(usable, base, base_P, merger) if impossible is None else None,
            impossible=impossible,
        )

    def _impossible(self, num_usable: int, merger: Merger) -> str | None:
        min_shards = self._history.created.parameters.min_shards
        if num_usable < min_shards:
            return f"{num_usable} usable exports, {min_shards} are needed"
        return merger.refusal()

    def _finish(
        self, usable: list[ModelMetadata], base: ModelFile, base_P: torch.Tensor, merger: Merger
    ) -> MergedModel:
        test = sum_figures([one.test for one in usable])
        metadata = ModelMetadata(
            num_examples=sum_rows([one.num_examples for one in usable]),
            test=test,
            clipping_norm=mean_norm([one.clipping_norm for one in usable]),
        )
        return merge_into(self._models.spec.global_merging, base, base_P, merger.mean(), metadata, keep_state=True)

    def _agreed(self, global_round: int) -> tuple[bytes, GlobalTally] | None:
        """A proposal that says exactly what this member derived, with its id."""
        for proposal_id, tally in self._history.global_tallies.get(global_round, {}).items():
            if tally.proposal == self._proposal(global_round, tally.proposal.payload):
                return proposal_id, tally
        return None

    def _propose(self, global_round: int) -> None:
        """Seals the own derivation to everybody in the job, stores it and votes for it."""
        assert self._merged is not None  # noqa: S101 - decide() proposes only what is merged
        assert self._merged.model is not None  # noqa: S101
        model = self._merged.model

        def deliver(digest: Digest) -> Delivered:
            return self._dispatch.outbox.deliver(digest, self._party.border)

        payload = self._dispatch.send(
            "global",
            GLOBAL,
            (global_round, 0),
            model.digest,
            seal=lambda: self._seal(global_round, model),
            deliver=deliver,
        )
        self._vote(self._proposal(global_round, payload))

    def _seal(self, global_round: int, model: MergedModel) -> SealedModel:
        regional = [address for shard in self._history.shards for address in shard.parameters.committee.members]
        others = [*self._history.members, *regional, self._history.created.owner]
        recipients = self._models.cards.recipients(self._committee, others)
        note_locked_out(self._journal, self._models.job, f"global model of round {global_round}", recipients)
        return seal_model(
            self._dispatch.outbox,
            model.file,
            model.values_P,
            recipients=recipients.cards,
            context=self._models.context(PayloadKind.GLOBAL_MODEL, None, global_round, 0, self._party.sender.address),
        )

    def _confirm(self, tally: GlobalTally) -> None:
        """Votes for another member's proposal once its payload has opened to the own derivation.

        Raises:
            PeerError: the payload is not what the proposal says.
        """
        context = self._models.context(PayloadKind.GLOBAL_MODEL, None, tally.proposal.global_round, 0, tally.voters[0])
        self._models.verify(self._party.border, tally.proposal.payload, context, expected=tally.proposal.model)
        self._vote(tally.proposal)

    def _open_export(self, shard: ShardIndex, global_round: int, out_P: torch.Tensor) -> ModelMetadata | LeftOut:
        event = self._history.exports[global_round][shard]
        last = max(r for s, g, r in self._history.regional_models if (s, g) == (shard, global_round))
        try:
            file = get_model(
                self._party.border,
                event.payload,
                key=self._party.hpke,
                context=self._models.context(PayloadKind.EXPORT, shard, global_round, last, event.exporter),
                layout=self._models.layout,
                out_P=out_P,
                expected=event.model,
            )
        except (BlockMissing, BlockCorrupt) as exc:
            return LeftOut(subject=str(shard), reason=ExclusionReason.UNAVAILABLE, detail=str(exc))
        except SealError as exc:
            return LeftOut(subject=str(shard), reason=ExclusionReason.UNOPENABLE, detail=str(exc))
        except PeerError as exc:
            return LeftOut(subject=str(shard), reason=ExclusionReason.MALFORMED, detail=str(exc))
        return file.metadata

    def _proposal(self, global_round: int, payload: Digest) -> GlobalProposal | None:
        merged = self._merged
        if merged is None or merged.model is None or merged.global_round != global_round:
            return None
        return GlobalProposal(
            global_round=global_round,
            reports=merged.reports,
            model=merged.model.digest,
            payload=payload,
            excluded=merged.exclusions,
        )

    def _vote(self, proposal: GlobalProposal | None) -> None:
        assert proposal is not None  # noqa: S101 - only a derived model is voted for
        self._party.sender.act(self._party.jobs.vote_global(self._models.job, proposal), self._history.clock)
        log_event(log, "voted", job=self._models.job, global_round=proposal.global_round, model=proposal.model)

    def _note_unmerged(self, global_round: int, impossible: str | None) -> None:
        job = self._models.job
        if impossible is None:
            self._journal.forget_unmerged(job, GLOBAL, global_round, 0)
            return
        unmerged = Unmerged(shard=GLOBAL, global_round=global_round, regional_round=0, reason=impossible)
        self._journal.record_unmerged(job, unmerged)
        log_event(log, "not_merged", level=logging.WARNING, job=job, global_round=global_round, cause=impossible)

    def _note_left_out(self, global_round: int, one: LeftOut, *, is_new: bool) -> None:
        left_out = JournaledExclusion(
            shard=GLOBAL,
            global_round=global_round,
            regional_round=0,
            subject=one.subject,
            reason=one.reason.name,
            detail=one.detail,
        )
        self._journal.record_left_out(self._models.job, left_out)
        if is_new:
            where = {"job": self._models.job, "global_round": global_round}
            log_event(log, "left_out", **where, shard=one.subject, reason=one.reason.name)
