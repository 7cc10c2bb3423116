"""Following one job's events: each must be what the pure rules tell after the act that begins with it or before it."""

from __future__ import annotations

from collections import deque
from dataclasses import fields, replace

from domicile.chain import events as ev
from domicile.errors import LineageError
from domicile.lineage import act
from domicile.lineage.ancestry import Ancestry
from domicile.lineage.record import Record, place_of
from domicile.lineage.verdict import Findings
from domicile.protocol.budget import PrivacyLedger
from domicile.protocol.complaint import ContractRefusal, shown
from domicile.protocol.creation import create
from domicile.protocol.eligibility import Refusal
from domicile.protocol.job import Job
from domicile.protocol.notice import Notice
from domicile.protocol.registry import Registry
from domicile.protocol.round import ExclusionReason
from domicile.protocol.unmasking import is_secure


class JobReplay:
    """Drives the contract's twin through the acts that the events tell."""

    def __init__(self, record: Record) -> None:
        self.ancestry = Ancestry()
        self.findings = Findings()
        self._record = record
        self._opening: list[ev.JobCreated | ev.ShardCreated] = []
        self._job: Job | None = None
        self._expected: deque[Notice] = deque()
        self._begun_by: ev.JobEvent | None = None

    @property
    def job(self) -> Job:
        """The job after all events.

        Raises:
            LineageError: its creation, or the last of what an act tells, is missing.
        """
        if self._job is None:
            raise LineageError(f"job {self._record.job}: the events of its creation are not all there")
        if self._expected:
            assert self._begun_by is not None  # noqa: S101 - something is expected only after an act
            raise LineageError(f"{self._place(self._begun_by)}: {_told(self._expected[0])} is missing after it")
        return self._job

    def follow(self, event: ev.JobEvent, registry: Registry, ledger: PrivacyLedger, now_s: int) -> None:
        """Takes in the next event of the job; `registry` and `ledger` are those of the same moment.

        Raises:
            LineageError: the contract would not have told this now.
        """
        if self._job is None and isinstance(event, (ev.JobCreated, ev.ShardCreated)):
            self._opening.append(event)
            return
        if self._job is None:
            self._job = self._created(event, registry, now_s)
            for earlier in self._opening:
                self._match(earlier)
        if not self._expected:
            self._act(self._job, event, act.Moment(registry=registry, ledger=ledger, now_s=now_s))
        self._match(event)
        self.ancestry.note(event, self._job)
        if isinstance(event, ev.RegionalModelAccepted):
            self._remark_merge(event, self._job, registry, now_s)
            if is_secure(self._job):
                self._check_survivors(event)

    def _created(self, event: ev.JobEvent, registry: Registry, now_s: int) -> Job:
        if not self._opening or not isinstance(self._opening[0], ev.JobCreated):
            raise LineageError(f"{self._place(event)}: the job's creation is missing before it; ask another endpoint")
        creation = self._opening[0]
        self._begun_by = creation
        try:
            job = create(
                chain_id=self._record.chain_id,
                contract=self._record.contract,
                number=self._record.job,
                owner=creation.owner,
                parameters=creation.parameters,
                shards=[one.parameters for one in self._opening if isinstance(one, ev.ShardCreated)],
                global_committee=creation.global_committee,
                law=registry.places,
                now_s=now_s,
            )
        except ContractRefusal as exc:
            raise LineageError(f"{self._place(creation)}: {exc.complaint}") from exc
        self._expected.extend(job.told)
        return replace(job, told=())

    def _act(self, job: Job, event: ev.JobEvent, moment: act.Moment) -> None:
        try:
            after = act.after(job, event, moment)
        except ContractRefusal as exc:
            cause = "no act in the record leads to it: " if isinstance(event, act.TRACELESS) else ""
            raise LineageError(f"{self._place(event)}: {cause}{exc.complaint}") from exc
        if after is None:
            raise LineageError(f"{self._place(event)}: no act in the record leads to it")
        self._begun_by = event
        self._expected.extend(after.told)
        self._job = replace(after, told=())

    def _match(self, event: ev.JobEvent) -> None:
        assert self._begun_by is not None  # noqa: S101 - an act tells at least one event
        expected = self._expected.popleft() if self._expected else None
        if expected is None or not isinstance(event, type(expected)):
            missing = "it" if expected is None else _told(expected)
            raise LineageError(f"{self._place(event)}: {missing} is missing before it")
        for field in fields(expected):
            told, right = getattr(event, field.name), getattr(expected, field.name)
            if told != right:
                raise LineageError(
                    f"{self._place(event)}: {field.name} is {shown(told)}, after the events before it {shown(right)}"
                )
        if (event.block, event.transaction) != (self._begun_by.block, self._begun_by.transaction):
            raise LineageError(f"{self._place(event)}: not in the transaction that it is a consequence of")

    def _remark_merge(self, event: ev.RegionalModelAccepted, job: Job, registry: Registry, now_s: int) -> None:
        """Eligibility that changed after the commit: the contract leaves it to the committee to look again."""
        accepted = self.ancestry.last_round(event.shard, event.global_round)
        requirement = job.requirement(event.shard)
        place = self._place(event)
        for node, _ in accepted.included:
            reason = registry.refusal(node, requirement, now_s)
            if reason is not Refusal.NONE:
                self.findings.remark(f"{place}: {node} is in it, whom the gate refused by then ({reason.name})")
        for node, why in accepted.excluded:
            admitted = registry.refusal(node, requirement, now_s) is Refusal.NONE
            if why is ExclusionReason.INELIGIBLE and admitted:
                self.findings.remark(f"{place}: {node} was left out as ineligible, whom the gate admitted by then")

    def _check_survivors(self, event: ev.RegionalModelAccepted) -> None:
        """TrainingJobs does not know the board: that the merged updates are those whose masks were taken off is the
        committee's word until somebody compares.
        """
        merged = self.ancestry.last_round(event.shard, event.global_round)
        agreed = self.ancestry.survivors(event.shard, event.global_round, event.regional_round)
        left_out = None if agreed is None else {one.node for one in agreed.excluded}
        told = f"{self._place(event)}: of masked updates, "
        if left_out is None:
            self.findings.check(False, told + "on whose survivors nobody agreed")
            return
        differing = sorted(left_out ^ {node for node, _ in merged.excluded}, key=str.lower)
        problem = f"but {', '.join(differing)} was left out either of the agreed survivors or of the model, not of both"
        self.findings.check(not differing, told + problem)

    def _place(self, event: ev.Event) -> str:
        if self._job is not None:
            return place_of(event, self._job.places)
        return place_of(event, ())


def _told(notice: Notice) -> str:
    """A notice in words: its kind and what tells it from others of its kind."""
    told = {name: getattr(notice, name, None) for name in ("shard", "phase", "global_round", "regional_round")}
    named = ", ".join(f"{name} {shown(value)}" for name, value in told.items() if value is not None)
    return type(notice).__name__ + (f" ({named})" if named else "")
