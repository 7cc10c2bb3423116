"""A node's place in a job, taken and given back by its operator.

The node's daemon may run meanwhile: no lock is taken, and what the journal must know is written before the contract is
asked. Of two transactions that want the same nonce at once, one is sent again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from domicile.clock import JobClock
from domicile.errors import ConfigurationError, Refused
from domicile.history import Histories
from domicile.party import Party, open_party
from domicile.protocol.eligibility import Refusal
from domicile.protocol.refusals import AlreadyCommitted, AlreadyMember
from domicile.protocol.round import FINAL_PHASES, JobPhase
from domicile.settings import load_settings, named
from domicile.types import Address, JobId, JurisdictionCode, ShardIndex
from node.config import NodeConfig
from node.journal import NodeJournal
from node.work import prepare
from scripts.access import known_job
from scripts.hindrance import who_mends
from scripts.view import RefusedParty
from scripts.wording import listed, moment


@dataclass(frozen=True, kw_only=True, slots=True)
class Joined:
    """`declined`: why the node's daemon wants no part in the job, if it said so since it started."""

    changed: bool
    account: Address
    shard: JurisdictionCode
    declined: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Left:
    """`phase`: of the job before; while it is joining, the daemon might have come back by itself."""

    changed: bool
    account: Address
    was_member: bool
    phase: JobPhase


class Membership:
    """One node and one job."""

    def __init__(self, config: NodeConfig, party: Party, journal: NodeJournal, job: JobId) -> None:
        self._config = config
        self._party = party
        self._journal = journal
        self._job = job
        self._own = party.sender.address
        self._state, shards = party.jobs.snapshot(job)
        self._codes = [party.jurisdictions.code_at(shard.jurisdiction) for shard in shards]

    @classmethod
    @contextmanager
    def open(cls, path: Path, number: int) -> Iterator[Membership]:
        """Opens the node's doors by its configuration file.

        Raises:
            ConfigurationError: the file is wrong, or there is no such job.
        """
        config = load_settings(path, NodeConfig)
        with named(path):
            party = open_party(config)
        job = known_job(party.jobs, number)
        with named(path), closing(NodeJournal(config.journal)) as journal:
            journal.bind(party.deployment.identity(party.chain))
            yield cls(config, party, journal, job)

    def join(self, code: str | None, say: Callable[[str], None]) -> Joined:
        """Takes a place in a shard, unless there is one already.

        Raises:
            ConfigurationError: there is no such shard, the node is in another one, or the job does not fit it.
            Refused: no shard takes it, or the job takes nobody any more.
        """
        wanted = self._wanted(code)
        present = self._present()
        if present is not None:
            if present not in wanted:
                raise ConfigurationError(
                    f"--shard: this node is in shard {self._codes[present]} of job {self._job}; name that one, or "
                    "leave the job first"
                )
            return self._joined(present, changed=self._journal.forget_left(self._job))
        self._require_open()
        shard = self._admitting(wanted)
        say("checking the job's documents, and the data against them")
        self._require_fit()
        self._journal.record_membership(self._job)
        self._journal.forget_left(self._job)
        try:
            joining = self._party.jobs.join(self._job, shard, self._config.data.reserved_of)
            self._party.sender.act(joining, self._clock)
        except AlreadyMember:
            # The daemon was faster, and may have taken another shard.
            shard = ShardIndex(self._party.jobs.member_of(self._job, self._own).shard)
        return self._joined(shard, changed=True)

    def is_final_to_leave(self) -> bool:
        """Whether the node is a member now and could not come back."""
        return self._state.phase is JobPhase.TRAINING and self._present() is not None

    def leave(self) -> Left:
        """Gives the place back, and keeps the daemon from taking it again.

        Raises:
            Refused: the contract refuses for now; the node stays a member.
        """
        is_member = self._present() is not None and self._state.phase not in FINAL_PHASES
        may_join = self._state.phase is JobPhase.JOINING
        noted = (is_member or may_join) and self._journal.record_left(self._job)
        if is_member:
            try:
                self._party.sender.act(self._party.jobs.leave(self._job), self._clock)
            except Refused as exc:
                self._journal.forget_left(self._job)
                if isinstance(exc, AlreadyCommitted):
                    told = f"{exc.complaint} Mend: leave after this round: repeat the command when the next one opens."
                    raise Refused(told) from exc
                raise
        return Left(changed=is_member or noted, account=self._own, was_member=is_member, phase=self._state.phase)

    @property
    def _clock(self) -> JobClock:
        return JobClock(self._state.collect_window_s)

    def _present(self) -> ShardIndex | None:
        member = self._party.jobs.member_of(self._job, self._own)
        return ShardIndex(member.shard) if member.joined else None

    def _joined(self, shard: ShardIndex, *, changed: bool) -> Joined:
        declined = self._journal.declined(self._job)
        return Joined(changed=changed, account=self._own, shard=self._codes[shard], declined=declined)

    def _wanted(self, code: str | None) -> list[ShardIndex]:
        found = [ShardIndex(index) for index, one in enumerate(self._codes) if code in (None, one)]
        if not found:
            raise ConfigurationError(
                f"--shard: {code!r} is no shard of job {self._job}; its shards are {listed(self._codes)}"
            )
        return found

    def _require_open(self) -> None:
        state, now_s = self._state, self._party.chain.timestamp()
        if state.phase is not JobPhase.JOINING:
            phase = state.phase.name.lower()
            raise Refused(f"job {self._job} is {phase} and takes no members any more; ask its owner for another one")
        if now_s >= state.deadline_s:
            raise Refused(
                f"the join window of job {self._job} ended at {moment(state.deadline_s)}; ask its owner for another one"
            )

    def _admitting(self, wanted: list[ShardIndex]) -> ShardIndex:
        """The first shard whose gate admits the node."""
        reasons = []
        for shard in wanted:
            requirement = self._party.jobs.requirement_of(self._job, shard)
            reason = self._party.nodes.refusal(self._own, requirement)
            if reason is Refusal.NONE:
                return shard
            place = self._party.jurisdictions.code_at(self._party.nodes.standing_of(self._own).jurisdiction)
            refused = RefusedParty(name="this node", reason=reason, place=place)
            mend = who_mends(refused, requirement.sensitivity.name.lower())
            reasons.append(f"{self._codes[shard]}: {reason.name}, {mend}")
        raise Refused(f"the gate refuses {self._own} in job {self._job}: {'; '.join(reasons)}")

    def _require_fit(self) -> None:
        """What the daemon does before it joins: a member that then declines would only cost its shard a window."""
        histories = Histories(self._party.chain, self._party.deployment)
        histories.update()
        prepare(self._config, self._party, self._job, histories.jobs[self._job])
