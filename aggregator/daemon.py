"""The aggregator daemon: serves every committee that lists its account."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import torch

from aggregator import step
from aggregator.config import AggregatorConfig
from aggregator.dispatch import Dispatch
from aggregator.journal import AggregatorJournal
from aggregator.recovery import recover
from aggregator.regional import RegionalWork
from aggregator.retention import drop_finished_rounds
from aggregator.worldwide import GlobalWork
from domicile import metrics
from domicile.clock import JobClock
from domicile.daemon import Backoff, Confined, run
from domicile.errors import ConfigurationError, PeerError
from domicile.exchange import fetch_spec
from domicile.exit_code import guarded
from domicile.history import JobHistory
from domicile.log import configure_logging, log_event
from domicile.models import open_job_models
from domicile.outbox import Outbox
from domicile.party import Party, open_daemon
from domicile.protocol.round import FINAL_PHASES, JobPhase, JobState, ShardState
from domicile.settings import load_settings
from domicile.types import Address, JobId, ShardIndex
from domicile.watch import Watch

log = logging.getLogger(__name__)


class AggregatorDaemon:
    """One step looks at every job and does at most one act in each of its committees."""

    def __init__(self, config: AggregatorConfig, party: Party, journal: AggregatorJournal) -> None:
        journal.bind(party.deployment.identity(party.chain))
        self._config = config
        self._party = party
        self._journal = journal
        self._outbox = Outbox(config.journal)
        self._outbox.keep_only(journal.unsettled_digests())
        self._watch = Watch(party, self._forget)
        self._jobs: dict[JobId, CommitteeWork] = {}
        journal.forget_declined()

    @property
    def clock(self) -> JobClock:
        """The shortest of the jobs that the member serves."""
        return self._watch.clock

    def step(self) -> bool:
        """Looks and acts; `True` if it did something."""
        if not self._watch.is_due():
            return False
        acted = False
        for job, history in list(self._watch.jobs.items()):
            if job not in self._jobs and _serves(self._party.sender.address, history):
                self._jobs[job] = CommitteeWork(self._party, self._journal, self._outbox, job, history)
            work = self._jobs.get(job)
            if work is not None and not work.finished:
                acted |= work.confined("job").run(partial(self._advance, job, work))
        present = [job for job, work in self._jobs.items() if not work.finished]
        self._watch.looked(again=acted or any(self._jobs[job].pending for job in present), jobs=present)
        return acted

    def _advance(self, job: JobId, work: CommitteeWork) -> bool:
        acted = work.step(*self._watch.snapshot(job), self._watch.now_s)
        if acted or work.finished:
            drop_finished_rounds(self._party, self._journal, job, self._config.jobs.kept_rounds)
        return acted

    def _forget(self) -> None:
        """Drops what was built on a record that is another one now; the journal keeps what was done."""
        self._jobs.clear()


class CommitteeWork:
    """One member in all committees of one job that list it."""

    def __init__(
        self, party: Party, journal: AggregatorJournal, outbox: Outbox, job: JobId, history: JobHistory
    ) -> None:
        self._party = party
        self._journal = journal
        self._job = job
        self._history = history
        self._dispatch = Dispatch(party, journal, outbox, job, history)
        self._regional: list[tuple[ShardIndex, RegionalWork]] = []
        self._global: GlobalWork | None = None
        self._opened = False
        self._confined: dict[str, Confined] = {}
        self.finished = False

    @property
    def pending(self) -> bool:
        """Whether something failed and is to be tried again."""
        return any(one.pending for one in self._confined.values())

    def confined(self, subject: str) -> Confined:
        """Where acts of one subject of this job fail by themselves."""
        if subject not in self._confined:
            backoff = Backoff(self._party.poll_s, job_clock=self._history.clock)
            self._confined[subject] = Confined(backoff, job=self._job, subject=subject)
        return self._confined[subject]

    def step(self, state: JobState, shards: Sequence[ShardState], now_s: int) -> bool:
        """Does at most one act for each committee; the history MUST be at least as new as the states."""
        self.confined("outbox").run(partial(self._dispatch.tidy, state, shards))
        if state.phase in FINAL_PHASES:
            if self.confined("outbox").pending:
                return False
            log_event(log, "job_ended", job=self._job, phase=state.phase.name)
            self._leave()
            return False
        self.confined("stores").run(partial(self._dispatch.look_after, now_s))
        if not self._opened:
            self.confined("documents").run(self._open_committees)
            if self.finished:
                return False
        acted = self.confined("global").run(lambda: self._step_job(state, now_s))
        if state.phase is JobPhase.TRAINING:
            for index, work in self._regional:
                act = partial(work.advance, state, shards[index], now_s)
                acted |= self.confined(f"shard {index}").run(act)
        return acted

    def _step_job(self, state: JobState, now_s: int) -> bool:
        if self._global is not None:
            return self._global.advance(state, now_s)
        if not isinstance(step.decide_job(state.phase, step.outsider(now_s, state.deadline_s)), step.Advance):
            return False
        with metrics.acting("advance"):
            self._party.sender.act(self._party.jobs.advance(self._job), self._history.clock)
        return True

    def _open_committees(self) -> bool:
        """Opens this member's committees, or declines the job: its documents never change, so neither does what is
        wrong with them.
        """
        own = self._party.sender.address
        try:
            spec = fetch_spec(self._party.border, self._history.created.parameters.spec)
            spec.require_masked(self._history.created.parameters.safeguards)
            models = open_job_models(self._party, self._job, self._history, spec)
            recover(self._party, self._journal, self._job, self._history)
            regional = [
                (shard.shard, RegionalWork(self._party, self._journal, self._dispatch, models, shard.shard))
                for shard in self._history.shards
                if own in shard.parameters.committee.members
            ]
        except (ConfigurationError, PeerError) as exc:
            self._journal.record_declined(self._job, f"{type(exc).__name__}: {exc}")
            log_event(log, "declined", level=logging.WARNING, job=self._job, cause=str(exc))
            self._leave()
            return False
        self._regional = regional
        if own in self._history.created.global_committee.members:
            self._global = GlobalWork(self._party, self._journal, self._dispatch, models)
        self._opened = True
        return True

    def _leave(self) -> None:
        """Nothing will be to do here again; models are of no use any more."""
        self.finished = True
        self._regional, self._global = [], None


def _serves(address: Address, history: JobHistory) -> bool:
    regional = any(address in shard.parameters.committee.members for shard in history.shards)
    return regional or address in history.created.global_committee.members


def main(path: Path) -> int:
    """Runs an aggregator by its configuration file; returns the exit code."""

    def serve() -> int:
        config = load_settings(path, AggregatorConfig)
        configure_logging(config.name)
        # One thread: merging waits for memory, and threads that wait for one another would burn the other cores.
        torch.set_num_threads(1)
        with (
            open_daemon(path, config, role="aggregator") as party,
            closing(AggregatorJournal(config.journal)) as journal,
        ):
            daemon = AggregatorDaemon(config, party, journal)
            log_event(log, "started", address=party.sender.address)
            return run(daemon.step, poll_s=party.poll_s, clock=lambda: daemon.clock)

    return guarded(serve)
