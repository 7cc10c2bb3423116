"""The node daemon: takes part in jobs with the data that lies here."""

from __future__ import annotations

import logging
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import torch

from domicile import metrics
from domicile.chain.sender import Call
from domicile.clock import JobClock
from domicile.daemon import Backoff, Confined, run
from domicile.errors import ConfigurationError, Overtaken, PeerError, Refused, UnmaskingRefused
from domicile.exit_code import guarded
from domicile.history import JobHistory, RegionalKey
from domicile.learning.memory import within_memory
from domicile.log import configure_logging, log_event
from domicile.outbox import Outbox
from domicile.party import Party, open_daemon
from domicile.protocol.budget import Budget
from domicile.protocol.eligibility import Requirement
from domicile.protocol.refusals import (
    BudgetExceeded,
    NotEligible,
    WindowClosed,
    WrongJobPhase,
    WrongRound,
    WrongShardPhase,
)
from domicile.protocol.round import JobState, ShardState
from domicile.settings import load_settings
from domicile.types import JobId, ShardIndex
from domicile.watch import Watch
from node import step
from node.config import NodeConfig
from node.delivery import Delivery, region_of
from node.journal import NodeJournal, Skipped
from node.recovery import compare, recover
from node.reservation import settle
from node.training import LocalTrainer, Trainer
from node.work import GLOBAL, JobWork

log = logging.getLogger(__name__)


class NodeDaemon:
    """One step looks at every job and does at most one act in each."""

    def __init__(self, config: NodeConfig, party: Party, journal: NodeJournal, trainer: Trainer) -> None:
        journal.bind(party.deployment.identity(party.chain))
        self._config = config
        self._party = party
        self._journal = journal
        self._outbox = Outbox(config.journal)
        self._outbox.keep_only(journal.sealed_digests())
        self._trainer = trainer
        self._watch = Watch(party, self._forget)
        self._jobs: dict[JobId, NodeJob] = {}
        self._confined: dict[JobId, Confined] = {}
        journal.forget_declined()

    @property
    def clock(self) -> JobClock:
        """The shortest of the jobs that the node is in."""
        return self._watch.clock

    def step(self) -> bool:
        """Looks and acts; `True` if it did something."""
        if not self._watch.is_due():
            return False
        acted = False
        for job, history in list(self._watch.jobs.items()):
            if not self._takes_part(job, history):
                continue
            if job not in self._jobs:
                self._jobs[job] = self._open(job, history)
                self._confined[job] = Confined(Backoff(self._party.poll_s, job_clock=history.clock), job=job)
            if not self._jobs[job].finished:
                acted |= self._confined[job].run(partial(self._advance, job))
        present = [job for job, one in self._jobs.items() if not one.finished]
        self._watch.looked(again=acted or any(self._confined[job].pending for job in present), jobs=present)
        return acted

    def _takes_part(self, job: JobId, history: JobHistory) -> bool:
        """What the operator chose, in the configuration or by hand."""
        chosen = self._config.jobs.join
        return chosen == "all" or job in chosen or self._party.sender.address in history.members or job in self._jobs

    def _open(self, job: JobId, history: JobHistory) -> NodeJob:
        return NodeJob(self._config, self._party, self._journal, self._outbox, job, history, self._trainer)

    def _advance(self, job: JobId) -> bool:
        return self._jobs[job].advance(*self._watch.snapshot(job), self._watch.now_s)

    def _forget(self) -> None:
        """Drops what was built on a record that is another one now; the journal keeps what was done."""
        self._jobs.clear()
        self._confined.clear()


class NodeJob:
    """A node in one job, from asking for membership to the last evaluation."""

    def __init__(
        self,
        config: NodeConfig,
        party: Party,
        journal: NodeJournal,
        outbox: Outbox,
        job: JobId,
        history: JobHistory,
        trainer: Trainer,
    ) -> None:
        self._config = config
        self._party = party
        self._journal = journal
        self._outbox = outbox
        self._delivery = Delivery(party, journal, outbox, job)
        self._present: RegionalKey | None = None
        self._job = job
        self._history = history
        self._trainer = trainer
        self._work: JobWork | None = None
        self._requirement: Requirement | None = None
        self._gate = metrics.Gate()
        self.finished = False

    def advance(self, state: JobState, shards: tuple[ShardState, ...], now_s: int) -> bool:
        """Looks, decides and acts; the history MUST be at least as new as the states."""
        act = step.decide(self._observe(state, shards, now_s))
        if isinstance(act, step.Finished):
            settle(self._party, self._journal, self._history, state)
            self.finished = True
            self._delivery.leave_behind(None)
            self._work = None  # Data and model are of no use any more.
            log_event(log, "job_ended", job=self._job, reason=act.reason)
            return False
        if isinstance(act, step.Wait):
            return False
        try:
            with metrics.acting(act):
                return self._perform(act, state, shards)
        except Overtaken:
            return False
        except Refused as exc:
            self._note_refusal(type(act).__name__.lower(), exc)
        return False

    def _observe(self, state: JobState, shards: tuple[ShardState, ...], now_s: int) -> step.Observation:
        own = self._party.sender.address
        shard = self._history.members.get(own)
        outside = step.Observation(
            now_s=now_s,
            job_phase=state.phase,
            job_deadline_s=state.deadline_s,
            collect_window_s=state.collect_window_s,
            declined=self._journal.declined(self._job) is not None,
            left=self._journal.has_left(self._job),
            has_budget=state.has_budget,
        )
        if shard is None:
            return outside
        present = shards[shard]
        key = (shard, state.global_round, present.regional_round)
        forgotten = not self._journal.knows_membership(self._job)
        if not forgotten:
            self._compare(key)
        sealed = self._journal.update(self._job, state.global_round, present.regional_round)
        skipped = self._journal.skipped(self._job)
        given_up = {(one.act, one.global_round, one.regional_round) for one in skipped}
        survivors = self._history.survivors.get(key)
        answer = self._journal.answer(self._job, *key[1:])
        measured = [one.global_round for one in self._journal.evaluations(self._job)]
        measured += [one.global_round for one in skipped if one.regional_round == GLOBAL]
        return replace(
            outside,
            forgotten=forgotten,
            shard_phase=present.phase,
            shard_deadline_s=present.deadline_s,
            global_round=state.global_round,
            regional_round=present.regional_round,
            committed=any(event.node == own for event in self._history.commits_of(key)),
            refused=self._is_refused(shard),
            sealed=sealed.digest if sealed else None,
            stored=sealed is not None and self._delivery.is_stored(sealed.digest, now_s),
            lost=("store", *key[1:]) in given_up,
            given_up=("train", *key[1:]) in given_up,
            agreed=survivors is not None and own in survivors.nodes,
            answer=answer.digest if answer else None,
            answer_stored=answer is not None and self._delivery.is_stored(answer.digest, now_s),
            unmasked=any(event.node == own for event in self._history.unmaskings_of(key)),
            silent=("answer", *key[1:]) in given_up,
            newest_global_round=self._history.newest_global_round,
            measured_global_rounds=frozenset(measured),
        )

    def _compare(self, key: RegionalKey) -> None:
        """Compares chain and journal: the present round at each look, and all of them when a round is new."""
        own, is_new = self._party.sender.address, key != self._present
        keys = list(self._history.commits) if is_new else [key]
        compare(self._journal, self._job, self._history, region_of(self._party), own, keys)
        if is_new:
            self._delivery.leave_behind(key[1:])
            self._present = key

    def _perform(self, act: step.Act, state: JobState, shards: tuple[ShardState, ...]) -> bool:
        if isinstance(act, step.Join):
            return self._join(len(shards))
        if isinstance(act, step.AdvanceJob):
            self._send(self._party.jobs.advance(self._job))
            return True
        shard = self._history.members[self._party.sender.address]
        if isinstance(act, step.AdvanceShard):
            self._send(self._party.jobs.advance_shard(self._job, shard))
        elif isinstance(act, step.Adopt):
            self._journal.record_membership(self._job)
        elif isinstance(act, step.Recover):
            key = (shard, act.global_round, act.regional_round)
            own = self._party.sender.address
            recover(self._journal, self._job, self._history, region_of(self._party), own, key)
        elif isinstance(act, step.Store | step.StoreAnswer):
            self._delivery.store(act, self._party.chain.timestamp(), state.collect_window_s)
        elif isinstance(act, step.Evaluate | step.Train | step.Answer):
            self._learn(act, shard, shards[shard].first_round)
        elif isinstance(act, step.Commit):
            self._send(self._party.jobs.commit(self._job, act.global_round, act.regional_round, act.digest))
            log_event(log, "committed", job=self._job, global_round=act.global_round, regional_round=act.regional_round)
        elif isinstance(act, step.Unmask):
            return self._unmask(act, shard)
        return True

    def _unmask(self, act: step.Unmask, shard: ShardIndex) -> bool:
        """Enters the answer on the board; once others were enough, the round may be over before this one is mined."""
        work = self._open()
        if work is None:
            return True
        try:
            work.require_same_set((shard, act.global_round, act.regional_round))
            self._send(self._party.board.unmask(self._job, act.global_round, act.regional_round, act.digest))
        except UnmaskingRefused as exc:
            self._give_up("answer", act.global_round, act.regional_round, exc)
            return True
        except (WrongShardPhase, WrongRound, WrongJobPhase):
            return False
        log_event(log, "unmasked", job=self._job, global_round=act.global_round, regional_round=act.regional_round)
        return True

    def _send(self, call: Call) -> None:
        self._party.sender.act(call, self._history.clock)

    def _join(self, num_shards: int) -> bool:
        """Asks for the first shard that takes this node; where none does, keeps the refusal that came closest."""
        if self._open() is None:
            return True
        closest: NotEligible | None = None
        self._journal.record_membership(self._job)
        for shard in range(num_shards):
            try:
                self._send(self._party.jobs.join(self._job, ShardIndex(shard), self._config.data.reserved_of))
            except NotEligible as exc:
                closest = exc if closest is None or exc.reason > closest.reason else closest
                continue
            except (WindowClosed, WrongJobPhase):
                return False
            log_event(log, "joined", job=self._job, shard=shard)
            return True
        if closest is not None:
            self._note_refusal("join", closest)
        return False

    def _learn(self, act: step.Evaluate | step.Train | step.Answer, shard: ShardIndex, first_round: int) -> None:
        """Evaluates, trains or answers; where that fails for what the models, rows or survivors are, this round is
        given up for good.
        """
        work = self._open()
        if work is None:
            return
        regional_round = GLOBAL if isinstance(act, step.Evaluate) else act.regional_round
        try:
            with within_memory():
                if isinstance(act, step.Evaluate):
                    work.evaluate(shard, act.global_round)
                elif isinstance(act, step.Answer):
                    work.answer((shard, act.global_round, act.regional_round), late=act.late)
                else:
                    self._drop_finished_rounds()
                    work.train((shard, act.global_round, act.regional_round), first_round)
        except (ConfigurationError, PeerError) as exc:
            self._give_up(type(act).__name__.lower(), act.global_round, regional_round, exc)

    def _give_up(self, act: str, global_round: int, regional_round: int, exc: Exception) -> None:
        reason = f"{type(exc).__name__}: {exc}"
        given_up = Skipped(act=act, global_round=global_round, regional_round=regional_round, reason=reason)
        self._journal.record_skipped(self._job, given_up)
        log_event(log, "given_up", level=logging.WARNING, job=self._job, **asdict(given_up))

    def _is_refused(self, shard: ShardIndex) -> bool:
        if self._requirement is None:
            # It never changes while a job lives.
            self._requirement = self._party.jobs.requirement_of(self._job, shard)
        own = self._party.sender.address
        reason = self._party.nodes.refusal(own, self._requirement)
        refused = self._gate.said(reason)
        if refused:
            self._note_refusal("commit", NotEligible(account=own, reason=reason))
        return refused

    def _note_refusal(self, action: str, refusal: Refused) -> None:
        name = refusal.reason.name if isinstance(refusal, NotEligible) else type(refusal).__name__
        if isinstance(refusal, BudgetExceeded):
            left = Budget(epsilon_micros=refusal.remaining_epsilon_micros, delta_attos=refusal.remaining_delta_attos)
            name += f": {left} are left of dataset {refusal.dataset}"
        if self._journal.record_refusal(self._job, action, name):
            log_event(log, "refused", level=logging.WARNING, job=self._job, action=action, reason=name)

    def _open(self) -> JobWork | None:
        """The work in this job; `None` where it is declined: its documents never change, so neither does what is wrong
        with them.
        """
        if self._work is None:
            try:
                self._work = JobWork(
                    self._config, self._party, self._journal, self._outbox, self._job, self._history, self._trainer
                )
            except (ConfigurationError, PeerError) as exc:
                self._journal.record_declined(self._job, f"{type(exc).__name__}: {exc}")
                log_event(log, "declined", level=logging.WARNING, job=self._job, cause=str(exc))
        return self._work

    def _drop_finished_rounds(self) -> None:
        """Lets go of all updates and answers but those of the last kept rounds."""
        region = self._party.region
        for update in self._journal.pinned_updates(self._job)[: -self._config.jobs.kept_rounds]:
            if region is not None:
                region.unpin(update.digest)
                self._journal.record_unpinned(self._job, update)
        for answer in self._journal.pinned_answers(self._job)[: -self._config.jobs.kept_rounds]:
            if region is not None:
                region.unpin(answer.digest)
                self._journal.record_answer_unpinned(self._job, answer)


def main(path: Path, trainer: Trainer | None = None) -> int:
    """Runs a node by its configuration file; returns the exit code."""

    def serve() -> int:
        config = load_settings(path, NodeConfig)
        configure_logging(config.name)
        # One thread a node: sums then come out the same in every run, and neighbours on one machine do not starve.
        torch.set_num_threads(1)
        with open_daemon(path, config, role="node") as party, closing(NodeJournal(config.journal)) as journal:
            daemon = NodeDaemon(config, party, journal, trainer or LocalTrainer())
            log_event(log, "started", address=party.sender.address)
            return run(daemon.step, poll_s=party.poll_s, clock=lambda: daemon.clock)

    return guarded(serve)
