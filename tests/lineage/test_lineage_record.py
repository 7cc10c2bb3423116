"""A record with every kind of event: it holds as it is, and no part of it can be left out or altered unseen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace
from enum import IntEnum
from typing import Any

import pytest
from eth_utils.address import is_address, to_checksum_address

from domicile.chain import events as ev
from domicile.chain.artifacts import load_artifacts
from domicile.chain.client import Chain
from domicile.errors import Refused
from domicile.lineage.record import Record, read_record
from domicile.lineage.replay import replay
from domicile.lineage.state import Contracts, compare_board, compare_job, compare_ledger, compare_registries
from domicile.lineage.verdict import Findings
from domicile.protocol.budget import budget_of
from domicile.protocol.eligibility import Safeguard
from domicile.protocol.jurisdiction import Tier
from domicile.types import JobId

pytestmark = pytest.mark.timeout(120)

POSITION = {"block", "log_index", "transaction", "job"}
"""Where an event stands, and by what it is found; the order of events has tests of its own."""

KINDS = {
    entry["name"]
    for contract in ("NodeRegistry", "TrainingJobs", "PrivacyLedger", "UnmaskingBoard")
    for entry in load_artifacts()[contract].abi
    if entry["type"] == "event" and entry["name"] != "AuthorityUpdated"
}
FINISHED, CANCELLED, FAILED, RUNNING, MASKED, CARELESS = (JobId(number) for number in range(1, 7))

BOARD = (ev.SurvivorsVote, ev.SurvivorsAgreed, ev.Unmasked)
"""Events of the unmasking board."""

FREE = {
    (ev.JurisdictionListed, "legal_basis"),
    (ev.TierChanged, "legal_basis"),
    (ev.NodeAttested, "assurance"),
    (ev.NodeAttested, "evidence"),
    (ev.AttestationRevoked, "reason"),
    (ev.ClearanceGranted, "policy"),
    (ev.ClearanceWithdrawn, "policy"),
    (ev.NodeSuspended, "reason"),
    (ev.NodeReinstated, "reason"),
}
"""Digests of documents off the chain, and the attesters' own grade: no rule reads them, no contract keeps them."""

OVERWRITTEN_BY = {
    ev.GuardianChanged: (ev.GuardianChanged,),
    ev.NodeRegistered: (ev.KeyCardChanged, ev.NodeRetired),
    ev.NodeAttested: (ev.AttestationRevoked,),
    ev.ClearanceGranted: (ev.ClearanceWithdrawn,),
    ev.ClearanceWithdrawn: (ev.ClearanceGranted,),
}
"""What such an event said is nowhere on the chain any longer, and no gate was asked while it held."""


class RememberingChain(Chain):
    """An endpoint that is asked each question once: the chain stands still."""

    def __init__(self, rpc_url: str) -> None:
        super().__init__(rpc_url)
        self._answers: dict[tuple[str, bytes], bytes | Refused] = {}

    def call(self, target, data, *, sender=None):
        if (target, data) not in self._answers:
            try:
                self._answers[target, data] = super().call(target, data, sender=sender)
            except Refused as exc:
                self._answers[target, data] = exc
        answer = self._answers[target, data]
        if isinstance(answer, Refused):
            raise answer
        return answer


class Judge:
    """What the replay of a record finds, against the chain as it is."""

    def __init__(self, stage) -> None:
        chain = RememberingChain(stage.rpc_url)
        self.chain = chain.at(chain.block_number())
        self.deployment = stage.deployment
        self.contracts = Contracts.at(self.chain, self.deployment)

    def record(self, job: JobId) -> Record:
        return read_record(self.chain, self.deployment, job)

    def problems(self, record: Record) -> list[str]:
        return self.findings(record).problems

    def findings(self, record: Record) -> Findings:
        findings = Findings()
        replayed = replay(record, findings)
        if replayed.job is not None:
            compare_registries(record, replayed.registry, self.contracts, findings)
            compare_job(record, replayed.job, self.contracts, findings)
            compare_ledger(replayed.job, replayed.ledger, self.contracts, findings)
            compare_board(record, replayed.job, self.contracts, findings)
        return findings


def alterations(value: Any) -> Iterator[Any]:  # noqa: PLR0912 - one branch a kind of value
    """Other values of the same kind; of a structure, one for each of its parts."""
    if is_dataclass(value) and not isinstance(value, type):
        for field in fields(value):
            for other in alterations(getattr(value, field.name)):
                yield replace(value, **{field.name: other})
    elif isinstance(value, tuple):
        if value:
            yield value[:-1]
        for index, part in enumerate(value):
            for other in alterations(part):
                yield (*value[:index], other, *value[index + 1 :])
    elif isinstance(value, bool):
        yield not value
    elif isinstance(value, Safeguard):
        yield value ^ Safeguard.SECURE_AGGREGATION
    elif isinstance(value, IntEnum):
        kinds = list(type(value))
        yield kinds[(kinds.index(value) + 1) % len(kinds)]
    elif isinstance(value, int):
        yield value + 1
    elif isinstance(value, bytes):
        yield bytes([*value[:-1], value[-1] ^ 1])
    else:
        yield to_checksum_address((int(value, 16) ^ 1).to_bytes(20, "big")) if is_address(value) else f"{value}Q"


def account_of(event: ev.Event) -> str | None:
    return getattr(event, "node", getattr(event, "account", None))


def overwritten(record: Record) -> set[int]:
    """Positions of events that a later one of the same account made void."""
    return {
        index
        for index, event in enumerate(record.events)
        for later in record.events[index + 1 :]
        if isinstance(later, OVERWRITTEN_BY.get(type(event), ())) and account_of(event) == account_of(later)
    }


def is_of_another_job(event: ev.Event) -> bool:
    return isinstance(event, ev.JobEvent) and event.job != FINISHED


def spends_otherwise(event: ev.Event, altered: ev.Event) -> bool:
    """Whether the ledger, which is all that reads other jobs' events, is told something else."""
    if isinstance(event, ev.JobCreated):
        return budget_of(event.parameters) != budget_of(altered.parameters)
    return not isinstance(event, ev.MemberJoined) or (event.node, event.dataset) != (altered.node, altered.dataset)


def with_event(record: Record, index: int, *events: ev.Event) -> Record:
    """The record with the event at an index replaced."""
    return replace(record, events=(*record.events[:index], *events, *record.events[index + 1 :]))


def index_of(record: Record, kind: type[ev.Event], number: int = 0) -> int:
    return [index for index, event in enumerate(record.events) if isinstance(event, kind)][number]


def just_before(record: Record, index: int, kind: type[ev.Event], /, **said: object) -> Record:
    """The record with one more event before that at `index`, in the block of the one before."""
    previous = record.events[index - 1]
    more = kind(block=previous.block, log_index=previous.log_index + 1, transaction="0x", **said)
    return replace(record, events=(*record.events[:index], more, *record.events[index:]))


@pytest.fixture(scope="module")
def judge(stage) -> Judge:
    return Judge(stage)


@pytest.fixture(scope="module")
def record(judge) -> Record:
    """The record of the job that is complete."""
    return judge.record(FINISHED)


@pytest.fixture(scope="module")
def masked(judge) -> Record:
    """The record of the job whose updates are masked."""
    return judge.record(MASKED)


class TestAWholeRecord:
    def test_has_every_kind_of_event(self, record, masked):
        assert {type(event).__name__ for event in (*record.events, *masked.events)} == KINDS

    @pytest.mark.parametrize("job", [FINISHED, CANCELLED, FAILED, RUNNING, MASKED])
    def test_holds(self, judge, job):
        findings = judge.findings(judge.record(job))
        assert (findings.problems, findings.remarks) == ([], [])
        assert findings.num_checks > 150

    @pytest.mark.parametrize("job", [FINISHED, CANCELLED, FAILED, RUNNING, MASKED])
    def test_is_missed_by_its_end_alone(self, judge, job):
        whole = judge.record(job)
        last = whole.events.index(whole.of_job()[-1])
        assert judge.problems(with_event(whole, last)) != []

    def test_misses_every_event_that_is_left_out(self, judge, record):
        void = overwritten(record)
        unseen = {i for i in range(len(record.events)) if not judge.problems(with_event(record, i))}
        assert unseen <= void
        assert len(void) == 6

    def test_shows_every_altered_field(self, judge, record):
        void = overwritten(record)
        unseen = []
        for index, event in enumerate(record.events):
            for name in {field.name for field in fields(event)} - POSITION:
                for other in alterations(getattr(event, name)):
                    altered = replace(event, **{name: other})
                    if is_of_another_job(event) and not spends_otherwise(event, altered):
                        continue
                    seen = judge.problems(with_event(record, index, altered))
                    if (type(event), name) in FREE:
                        assert seen == [], f"{type(event).__name__}.{name} is checked after all: {seen}"
                    elif not seen and index not in void:
                        unseen.append((event, name, other))
        assert unseen == []

    def test_breaks_off_where_an_event_is_missing_and_names_the_place(self, judge, record):
        index = index_of(record, ev.UpdateCommitted, 3)
        following = record.events[index + 1]
        (problem,) = judge.problems(with_event(record, index))
        assert problem.startswith(
            f"block {following.block}, log {following.log_index}, global round 1, shard EU, regional round 1: "
            "ShardPhaseChanged: no act in the record leads to it: WindowStillOpen"
        )

    def test_names_the_field_that_was_altered(self, judge, record):
        index = index_of(record, ev.ModelExported)
        event = record.events[index]
        (problem,) = judge.problems(with_event(record, index, replace(event, contributors=9)))
        assert f"ModelExported of {event.exporter}: contributors is 9, after the events before it 4" in problem

    def test_names_the_participant_whose_clearance_is_missing(self, judge, record):
        index = index_of(record, ev.ClearanceGranted, 5)
        event = record.events[index]
        problems = judge.problems(with_event(record, index))
        assert any(event.node in problem for problem in problems)

    def test_names_the_place_of_which_no_event_tells(self, judge, record):
        problems = judge.problems(with_event(record, index_of(record, ev.JurisdictionListed, -1)))
        assert any("XX" in problem for problem in problems)


class TestTheBoard:
    def places(self, masked: Record) -> list[int]:
        found = [index for index, event in enumerate(masked.events) if isinstance(event, BOARD)]
        assert len(found) == 2 * (2 + 1) + 4 + 3
        return found

    def test_misses_each_of_its_events(self, judge, masked):
        assert [i for i in self.places(masked) if not judge.problems(with_event(masked, i))] == []

    def test_shows_each_of_its_altered_fields(self, judge, masked):
        unseen = []
        for index in self.places(masked):
            event = masked.events[index]
            for name in {field.name for field in fields(event)} - POSITION:
                for other in alterations(getattr(event, name)):
                    altered = with_event(masked, index, replace(event, **{name: other}))
                    if not judge.problems(altered):
                        unseen.append((event, name, other))
        assert unseen == []

    def test_every_answer_of_a_member_is_bound_also_those_before_its_last(self, judge, masked, stage):
        first = next(i for i in self.places(masked) if getattr(masked.events[i], "node", "") == stage.address("e1"))
        (problem,) = judge.problems(with_event(masked, first))
        assert problem.startswith(f"member {stage.address('e1')}: its answers: record is 0x")

    def test_a_suspended_member_or_voter_does_nothing(self, judge, masked):
        for kind in (ev.SurvivorsVote, ev.Unmasked):
            index = index_of(masked, kind)
            account = getattr(masked.events[index], "voter", getattr(masked.events[index], "node", None))
            (problem,) = judge.problems(just_before(masked, index, ev.NodeSuspended, node=account, reason=b""))
            assert f"{kind.__name__} of {account}: NotEligible (account {account}, reason SUSPENDED)" in problem

    def test_a_model_of_other_updates_than_the_survivors_is_a_problem(self, judge, stage):
        nobody, other = judge.problems(judge.record(CARELESS))
        assert "regional round 1: RegionalModelAccepted: of masked updates, on whose survivors nobody agreed" in nobody
        assert "regional round 2: RegionalModelAccepted: of masked updates" in other
        assert f"but {stage.address('e4')} was left out either of the agreed survivors or of the model" in other


class TestTheLedger:
    def test_a_hidden_reservation_of_another_job_shows_at_its_return(self, judge, record, stage):
        hidden = index_of(record, ev.MemberJoined, -1)
        assert record.events[hidden].job == CANCELLED
        (problem,) = judge.problems(with_event(record, hidden))
        assert f"BudgetReturned of {stage.address('e1')}: NothingReserved" in problem

    def test_a_smaller_grant_than_was_reserved_shows_at_the_reservation(self, judge, record):
        index = index_of(record, ev.BudgetGranted)
        smaller = replace(record.events[index], epsilon_micros=1_000_002)
        (problem,) = judge.problems(with_event(record, index, smaller))
        assert "BudgetExceeded (dataset 1, remaining_epsilon_micros 1000002, remaining_delta_attos 14)" in problem

    def test_more_returned_than_the_rounds_allow_shows(self, judge, record):
        index = index_of(record, ev.BudgetReturned, -1)
        more = replace(record.events[index], epsilon_micros=1_000_003, delta_attos=7)
        (problem,) = judge.problems(with_event(record, index, more))
        assert "InvalidSpending (least_epsilon_micros 500002, least_delta_attos 4)" in problem

    def test_a_hidden_return_shows_at_the_dataset_and_its_member(self, judge, record, stage):
        problems = judge.problems(with_event(record, index_of(record, ev.BudgetReturned, 1)))
        assert [f"member {stage.address('u3')}: its budget returned" in one for one in problems] == [False, True]
        assert problems[0].startswith("dataset 8 is ")


class TestTheOrderOfEvents:
    @pytest.mark.parametrize("index", range(0, 140, 10))
    def test_two_events_cannot_change_places(self, judge, record, index):
        first, second = record.events[index : index + 2]
        swapped = replace(record, events=(*record.events[:index], second, first, *record.events[index + 2 :]))
        assert judge.problems(swapped) != []

    def test_an_event_is_not_told_twice(self, judge, record):
        event = record.events[60]
        (problem,) = judge.problems(with_event(record, 60, event, event))
        assert f"block {event.block}, log {event.log_index}" in problem
        assert "not in the chain's order" in problem

    def test_a_consequence_stands_in_the_transaction_of_its_cause(self, judge, record):
        index = index_of(record, ev.RegionalModelAccepted)
        elsewhere = replace(record.events[index], transaction="0x" + "00" * 32)
        (problem,) = judge.problems(with_event(record, index, elsewhere))
        assert "not in the transaction that it is a consequence of" in problem


class TestTime:
    def moved(self, record: Record, index: int, by_s: int) -> Record:
        """The record with everything from one event on at another time."""
        block = record.events[index].block
        return replace(record, times_s={at: s + by_s * (at >= block) for at, s in record.times_s.items()})

    @pytest.mark.parametrize("kind", [ev.MemberJoined, ev.UpdateCommitted, ev.RegionalVote, ev.ModelExported])
    def test_an_act_after_its_window_shows(self, judge, record, kind):
        (problem,) = judge.problems(self.moved(record, index_of(record, kind), 1000))
        assert f"{kind.__name__} of" in problem
        assert "WindowClosed" in problem

    def test_an_early_advance_shows(self, judge, record):
        retried = next(i for i, e in enumerate(record.events) if isinstance(e, ev.ShardPhaseChanged) and e.retries)
        (problem,) = judge.problems(self.moved(record, retried, -500))
        assert "WindowStillOpen" in problem

    def test_a_deadline_that_does_not_follow_from_time_and_window_shows(self, judge, record):
        opened = index_of(record, ev.ShardPhaseChanged)
        (problem,) = judge.problems(self.moved(record, opened, 7))
        assert "deadline_s is" in problem


class TestTheGate:
    @pytest.mark.parametrize(
        "kind", [ev.MemberJoined, ev.UpdateCommitted, ev.RegionalVote, ev.ModelExported, ev.GlobalVote]
    )
    def test_a_suspended_account_does_nothing(self, judge, record, kind):
        index = index_of(record, kind)
        event = record.events[index]
        account = next(getattr(event, name) for name in ("node", "voter", "exporter") if hasattr(event, name))
        (problem,) = judge.problems(just_before(record, index, ev.NodeSuspended, node=account, reason=b""))
        assert f"{kind.__name__} of {account}: NotEligible (account {account}, reason SUSPENDED)" in problem

    @pytest.mark.parametrize(
        ("kind", "said", "reason"),
        [
            (ev.ClearanceWithdrawn, {"node": "e1", "policy": b""}, "NOT_CLEARED"),
            (ev.NodeRetired, {"node": "e1"}, "NOT_REGISTERED"),
            (ev.AttesterRemoved, {"attester": "att1", "index": 0}, "ATTESTATION_EXPIRED"),
            (
                ev.AttestationRevoked,
                {"node": "e1", "attester": "att1", "nonce": 1, "reason": b""},
                "ATTESTATION_EXPIRED",
            ),
            (ev.TierChanged, {"code": "EU", "tier": Tier.PROHIBITED, "legal_basis": b""}, "TIER_FORBIDS"),
        ],
    )
    def test_what_changed_before_a_commit_counts_at_once(self, judge, record, stage, kind, said, reason):
        index = index_of(record, ev.UpdateCommitted)
        known = {name: stage.address(who) if who in {"e1", "att1"} else who for name, who in said.items()}
        (problem,) = judge.problems(just_before(record, index, kind, **known))
        assert f"reason {reason}" in problem

    def test_a_merge_of_an_update_whose_node_became_ineligible_is_remarked(self, judge, record, stage):
        vote = index_of(record, ev.RegionalVote, 1)
        node = stage.address("e2")
        findings = judge.findings(just_before(record, vote, ev.NodeSuspended, node=node, reason=b""))
        assert f"{node} is in it, whom the gate refused by then (SUSPENDED)" in findings.remarks[0]
