"""A member's work in one shard: derive what was committed, agree on it, export it when it is mature.

Shapes: P flat parameters.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import cached_property

import torch

from aggregator import step
from aggregator.derivation import Derivation, RegionalMerge
from aggregator.dispatch import Dispatch
from aggregator.export import ExportDoor
from aggregator.journal import AggregatorJournal
from aggregator.masked import MaskedWork
from aggregator.merging import Looks, regional_merger
from aggregator.remarks import Remarks
from domicile import metrics
from domicile.chain.sender import Call
from domicile.crypto.context import PayloadKind
from domicile.errors import ConfigurationError
from domicile.exchange import Recipients, SealedModel, note_locked_out, seal_model
from domicile.history import RegionalKey, RegionalTally
from domicile.learning.memory import within_memory
from domicile.learning.merging import Merger
from domicile.log import log_event
from domicile.models import JobModels
from domicile.outbox import Delivered
from domicile.party import Party
from domicile.protocol.eligibility import Refusal, Requirement
from domicile.protocol.proposal import RegionalProposal
from domicile.protocol.round import JobState, ShardPhase, ShardState
from domicile.storage.store import Store
from domicile.types import Address, Digest, ShardIndex

log = logging.getLogger(__name__)


class RegionalWork:
    """One committee member in one shard of one job."""

    def __init__(
        self, party: Party, journal: AggregatorJournal, dispatch: Dispatch, models: JobModels, shard: ShardIndex
    ) -> None:
        """Opens the export door.

        Raises:
            ConfigurationError: no region store is configured.
        """
        if party.region is None:
            raise ConfigurationError("stores.region: missing; a regional committee needs the store of its region")
        self._party = party
        self._journal = journal
        self._dispatch = dispatch
        self._models = models
        self._shard = shard
        self._region: Store = party.region
        self._door = ExportDoor(jobs=party.jobs, border=party.border, outbox=dispatch.outbox)
        self._committee = models.history.shards[shard].parameters.committee
        self._merged: RegionalMerge | None = None
        self._looks = Looks()
        self._remarks = Remarks(journal, models.job)
        self._masked: MaskedWork | None = None
        if models.spec.is_secure:
            self._masked = MaskedWork(models, party.region, self._remarks, shard)
        self._unmasked_s: float | None = None
        self._gate = metrics.Gate()

    @cached_property
    def _buffer_P(self) -> torch.Tensor:  # noqa: N802 - P is the shape
        """Allocated when the first update is to be merged: a job that nobody joins costs no memory."""
        with within_memory():
            return torch.empty(self._models.layout.num_parameters)

    @cached_property
    def _merger(self) -> Merger:
        with within_memory():
            return regional_merger(self._models, self._dispatch.outbox.folder)

    @cached_property
    def _requirement(self) -> Requirement:
        """What the gate demands here; it never changes while a job lives."""
        return self._party.jobs.requirement_of(self._models.job, self._shard)

    def advance(self, state: JobState, shard: ShardState, now_s: int) -> bool:
        """Looks, decides and acts; `True` if it did something."""
        key = (self._shard, state.global_round, shard.regional_round)
        act = step.decide_shard(shard.phase, self._observe(key, state, shard, now_s))
        if isinstance(act, step.Wait):
            return False
        with metrics.acting(act):
            self._perform(act, key, state, shard, now_s)
        return True

    def _perform(self, act: step.Act, key: RegionalKey, state: JobState, shard: ShardState, now_s: int) -> None:
        if isinstance(act, step.Advance):
            self._send(self._party.jobs.advance_shard(self._models.job, self._shard))
        elif isinstance(act, step.Merge):
            self._derive(key, state, shard, now_s)
        elif isinstance(act, step.Sum | step.ProposeSurvivors | step.ConfirmSurvivors | step.ReadAnswers):
            self._unmask(act, key, shard.first_round, now_s)
        elif isinstance(act, step.Propose):
            self._propose(key)
        elif isinstance(act, step.Confirm):
            self._confirm(key, act.proposal_id)
        else:
            self._export(key)

    def _observe(self, key: RegionalKey, state: JobState, shard: ShardState, now_s: int) -> step.Duty:
        own = self._party.sender.address
        duty = step.Duty(
            now_s=now_s,
            window_s=state.collect_window_s,
            deadline_s=shard.deadline_s,
            rank=step.rank(self._committee.members.index(own), len(self._committee.members), key[1] + key[2]),
            size=len(self._committee.members),
            refused=self._gate.said(self._party.nodes.refusal(own, self._requirement)),
        )
        merged = self._merged
        if shard.phase is not ShardPhase.AGGREGATING:
            return duty
        if merged is None or merged.key != key:
            return duty if self._masked is None else self._masked.observe(duty, key, self._ineligible(key))
        agreed = self._agreed(key)
        voted = agreed is not None and own in agreed[1].voters
        return replace(
            duty,
            merged=True,
            stale=self._masked is None and self._is_stale(key, merged),
            voted=voted,
            acceptable=agreed[0] if agreed is not None and not voted else None,
            impossible=merged.impossible,
            look_again_s=self._looks.again_s,
            looked_again=self._looks.looked_again,
            masked=None if self._masked is None else step.Masked(agreed=True, unmasked_s=self._unmasked_s),
        )

    def _unmask(self, act: step.Act, key: RegionalKey, first_round: int, now_s: int) -> None:
        """One act on the way from masked updates to a model."""
        assert self._masked is not None  # noqa: S101 - decide_shard() decides so of masked rounds alone
        if isinstance(act, step.Sum):
            self._merged = None
            self._masked.add(key, self._ineligible(key), now_s)
        elif isinstance(act, step.ReadAnswers):
            self._merged = self._masked.read_answers(key, first_round, self._buffer_P, now_s)
            self._unmasked_s = now_s
        else:
            self._send(self._masked.propose(key))
            log_event(log, "voted_survivors", **self._where(key))

    def _is_stale(self, key: RegionalKey, merged: RegionalMerge) -> bool:
        if self._ineligible(key) != merged.ineligible:
            return True
        num_rivals = len(self._models.history.regional_tallies.get(key, {}))
        return merged.misses_payloads and num_rivals > merged.num_rivals

    def _ineligible(self, key: RegionalKey) -> frozenset[Address]:
        nodes = (event.node for event in self._models.history.commits_of(key))
        answers = self._party.nodes.refusals(nodes, self._requirement)
        return frozenset(node for node, answer in answers.items() if answer is not Refusal.NONE)

    def _derive(self, key: RegionalKey, state: JobState, shard: ShardState, now_s: int) -> None:
        self._merged = None  # Its memory is written over.
        derivation = Derivation(
            models=self._models,
            region=self._region,
            key=key,
            first_round=shard.first_round,
            ineligible=self._ineligible(key),
            min_nodes=state.min_nodes,
            num_rivals=len(self._models.history.regional_tallies.get(key, {})),
            buffer_P=self._buffer_P,
            merger=self._merger,
        )
        self._merged = derivation.run()
        new = self._looks.note(key, self._merged.excluded, now_s, self._models.history.clock)
        self._remarks.left_out(key, self._merged.excluded, new)
        log_event(log, "merged", **self._where(key), contributors=self._merged.contributors)
        self._remarks.not_merged(key, self._merged.impossible)

    def _agreed(self, key: RegionalKey) -> tuple[bytes, RegionalTally] | None:
        """A proposal that says exactly what this member derived, with its id."""
        for proposal_id, tally in self._models.history.regional_tallies.get(key, {}).items():
            if tally.proposal == self._proposal(key, tally.proposal.payload):
                return proposal_id, tally
        return None

    def _proposal(self, key: RegionalKey, payload: Digest) -> RegionalProposal | None:
        if self._merged is None or self._merged.model is None:
            return None
        return RegionalProposal(
            global_round=key[1],
            regional_round=key[2],
            commitments=self._models.history.running_hash(key, self._models.party.deployment),
            model=self._merged.model.digest,
            payload=payload,
            loss_micros=self._merged.loss_micros,
            excluded=self._merged.exclusions,
        )

    def _propose(self, key: RegionalKey) -> None:
        """Seals the own derivation to the shard, stores it and votes for it."""
        assert self._merged is not None  # noqa: S101 - decide_shard() proposes only what is merged
        assert self._merged.model is not None  # noqa: S101
        model = self._merged.model

        def seal() -> SealedModel:
            recipients = self._models.cards.recipients(self._committee, self._models.history.members_of(self._shard))
            self._note_locked_out(key, "regional model", recipients)
            context = self._models.context(PayloadKind.REGIONAL_MODEL, *key, self._party.sender.address)
            outbox = self._dispatch.outbox
            return seal_model(outbox, model.file, model.values_P, recipients=recipients.cards, context=context)

        def deliver(digest: Digest) -> Delivered:
            return self._dispatch.outbox.deliver(digest, self._region)

        payload = self._dispatch.send("regional", key[0], key[1:], model.digest, seal=seal, deliver=deliver)
        self._vote(key, self._proposal(key, payload))

    def _confirm(self, key: RegionalKey, proposal_id: bytes) -> None:
        """Votes for another member's proposal once its payload has opened to the own derivation."""
        tally = self._models.history.regional_tallies[key][proposal_id]
        context = self._models.context(PayloadKind.REGIONAL_MODEL, *key, tally.voters[0])
        self._models.verify(self._region, tally.proposal.payload, context, expected=tally.proposal.model)
        self._vote(key, tally.proposal)

    def _export(self, key: RegionalKey) -> None:
        """Moves the accepted model through the export door and enters it into the ledger."""
        model = self._models.history.regional_models[key].model

        def deliver(digest: Digest) -> Delivered:
            return self._door.carry(self._models.job, self._shard, model=model, payload=digest)

        payload = self._dispatch.send(
            "export", key[0], key[1:], model, seal=lambda: self._seal_export(key), deliver=deliver
        )
        self._send(self._party.jobs.report_export(self._models.job, self._shard, key[1], payload))
        log_event(log, "exported", **self._where(key), digest=payload)

    def _seal_export(self, key: RegionalKey) -> SealedModel:
        self._merged = None  # Its memory is written over.
        file = self._models.regional_model(self._region, key, self._buffer_P)
        recipients = self._models.cards.recipients(self._models.history.created.global_committee)
        self._note_locked_out(key, "export", recipients)
        return self._door.seal(
            self._models.job,
            self._shard,
            file=file,
            values_P=self._buffer_P,
            recipients=recipients.cards,
            context=self._models.context(PayloadKind.EXPORT, *key, self._party.sender.address),
        )

    def _vote(self, key: RegionalKey, proposal: RegionalProposal | None) -> None:
        assert proposal is not None  # noqa: S101 - only a derived model is voted for
        self._send(self._party.jobs.vote_regional(self._models.job, self._shard, proposal))
        log_event(log, "voted", **self._where(key), model=proposal.model)

    def _send(self, call: Call) -> None:
        self._party.sender.act(call, self._models.history.clock)

    def _note_locked_out(self, key: RegionalKey, kind: str, recipients: Recipients) -> None:
        shard, global_round, regional_round = key
        payload = f"{kind} of shard {shard}, round {global_round}.{regional_round}"
        note_locked_out(self._journal, self._models.job, payload, recipients)

    def _where(self, key: RegionalKey) -> dict[str, int]:
        return {"job": self._models.job, "shard": key[0], "global_round": key[1], "regional_round": key[2]}
