"""Comparing where a record leads with what the contracts hold at the record's last block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, Self, TypeVar

from domicile.chain import events as ev
from domicile.chain.client import Chain
from domicile.chain.contracts import Board, Budgets, Jobs, Jurisdictions, Nodes
from domicile.chain.deployment import Deployment
from domicile.lineage.record import Record
from domicile.lineage.verdict import Findings
from domicile.protocol import jurisdiction
from domicile.protocol.budget import PrivacyLedger
from domicile.protocol.complaint import ContractRefusal, shown
from domicile.protocol.job import Job
from domicile.protocol.listing import MAX_INDEX
from domicile.protocol.registry import Attester, Registry
from domicile.protocol.round import NO_DATASET, Committee
from domicile.types import DIGEST_BYTES, Address, Digest, JurisdictionCode, ShardIndex

NO_CARD = Digest(bytes(DIGEST_BYTES))
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Contracts:
    """Views of the contracts, all at one block."""

    places: Jurisdictions
    nodes: Nodes
    jobs: Jobs
    budgets: Budgets
    board: Board

    @classmethod
    def at(cls, chain: Chain, deployment: Deployment) -> Self:
        """`chain` MUST be pinned to a block."""
        return cls(
            places=Jurisdictions(chain, deployment),
            nodes=Nodes(chain, deployment),
            jobs=Jobs(chain, deployment),
            budgets=Budgets(chain, deployment),
            board=Board(chain, deployment),
        )


def compare_registries(record: Record, registry: Registry, contracts: Contracts, findings: Findings) -> None:
    """Every place, guardian, attester and participant that an event names, and the job's parties in any case."""
    _compare_places(registry.places, contracts.places, findings)
    for index, name in enumerate(registry.places.codes[1:], 1):
        code = JurisdictionCode(name)
        quorum = _if_any(partial(contracts.nodes.quorum_of, code))
        _equal(findings, f"jurisdiction {code}: its quorum", quorum, _if_any(partial(registry.quorum_of, index)))
    for account in {event.account for event in record.events if isinstance(event, ev.GuardianChanged)}:
        is_guardian = contracts.places.is_guardian(account)
        _equal(findings, f"{account}: being a guardian", is_guardian, account in registry.guardians)
    for account in {event.attester for event in record.events if isinstance(event, ev.AttesterAdded)}:
        held = _if_any(partial(contracts.nodes.attester_of, account))
        seen = registry.attesters.get(account)
        _equal(findings, f"attester {account}", None if held is None else Attester(index=held[0], scope=held[1]), seen)
    for account in sorted(record.parties() | set(registry.standings)):
        standing = contracts.nodes.standing_of(account)
        _equal(findings, f"{account}: its standing", standing, registry.standing_of(account))
        card = contracts.nodes.key_card_of(account)
        _equal(findings, f"{account}: its key card", card, registry.key_cards.get(account, NO_CARD))


def _compare_places(seen: jurisdiction.Jurisdictions, places: Jurisdictions, findings: Findings) -> None:
    for index, name in enumerate(seen.codes):
        code = JurisdictionCode(name)
        _equal(findings, f"jurisdiction {index}: its code", places.code_at(index), code)
        _equal(findings, f"jurisdiction {code}: its closure", places.closure_of(index), seen.closures[index])
        if index:
            _equal(findings, f"jurisdiction {code}: its tier", places.tier_of(code), seen.strictest(index))
    following = len(seen.codes)
    if following <= MAX_INDEX:
        _equal(findings, f"jurisdiction {following}, of which no event tells: its code", places.code_at(following), "")


def compare_job(record: Record, job: Job, contracts: Contracts, findings: Findings) -> None:
    """Every field that the contract lets be read."""
    jobs, number = contracts.jobs, job.id
    state, shards = jobs.snapshot(number)
    _equal_fields(findings, "the job", state, job.state)
    _equal(findings, "the job: its owner", jobs.owner_of(number), job.owner)
    _equal_fields(findings, "the job", jobs.parameters_of(number), job.parameters)
    _equal(findings, "the job: its global committee", jobs.global_committee_of(number), job.global_committee)
    _equal(findings, "the job: its global requirement", jobs.global_requirement_of(number), job.global_requirement())
    _equal(findings, "the job: its running hash of reports", jobs.reports_of(number), job.reports)
    _equal(findings, "the job: its global model", jobs.global_model_of(number), job.model)
    _equal(findings, "the job: its number of shards", len(shards), len(job.shards))
    for position, (held, seen) in enumerate(zip(shards, job.shards, strict=False)):
        index, place = ShardIndex(position), f"shard {job.places[position]}"
        _equal_fields(findings, place, held, seen)
        _equal(findings, f"{place}: its committee", jobs.committee_of(number, index), job.committees[index])
        _equal(findings, f"{place}: its requirement", jobs.requirement_of(number, index), job.requirement(index))
        _equal(findings, f"{place}: its running hash", jobs.commitments_of(number, index), job.commitments[index])
        _equal(findings, f"{place}: its model", jobs.regional_model_of(number, index), job.models[index])
    for account, member in job.members.items():
        _equal_fields(findings, f"member {account}", jobs.member_of(number, account), member)
    _compare_votes(record, job, jobs, findings)


def compare_ledger(job: Job, ledger: PrivacyLedger, contracts: Contracts, findings: Findings) -> None:
    """Every dataset with its grant and what is reserved of it, and whose reservation for the job ended."""
    budgets = contracts.budgets
    _equal(findings, "the number of datasets", budgets.num_datasets(), len(ledger.datasets))
    for commitment, number in ledger.commitments.items():
        _equal(findings, f"dataset {number}: its commitment", budgets.dataset_of(commitment), number)
        held = _if_any(partial(budgets.dataset_at, number))
        _equal(findings, f"dataset {number}", held, ledger.datasets[number])
    for account, member in job.members.items():
        ended = member.dataset != NO_DATASET and (job.id, account) not in ledger.reservations
        _equal(findings, f"member {account}: its budget returned", budgets.has_returned(job.id, account), ended)


def compare_board(record: Record, job: Job, contracts: Contracts, findings: Findings) -> None:
    """What every shard agreed on, what every member answered, and each vote for survivors."""
    board, number = contracts.board, job.id
    for position, place in enumerate(job.places):
        index = ShardIndex(position)
        agreed, seen = board.agreement_of(number, index), job.board.agreement_of(index)
        _equal_fields(findings, f"shard {place}: its agreed survivors", agreed, seen)
    for account in job.members:
        answer = board.answer_of(number, account)
        _equal_fields(findings, f"member {account}: its answers", answer, job.board.answer_of(account))
    votes = (event for event in record.of_job() if isinstance(event, ev.SurvivorsVote))
    committees = {event.proposal_id: job.committees[event.shard] for event in votes}
    for proposal_id, committee in committees.items():
        held, mask = board.survivors_votes(proposal_id), _mask(job.board.votes[proposal_id], committee)
        _equal(findings, f"proposal 0x{proposal_id.hex()} of survivors: its votes", held, mask)


def _compare_votes(record: Record, job: Job, jobs: Jobs, findings: Findings) -> None:
    committees: dict[bytes, Committee] = {}
    for event in record.events:
        if isinstance(event, ev.RegionalVote):
            committees[event.proposal_id] = job.committees[event.shard]
        elif isinstance(event, ev.GlobalVote):
            committees[event.proposal_id] = job.global_committee
    for proposal_id, committee in committees.items():
        mask = _mask(job.votes[proposal_id], committee)
        _equal(findings, f"proposal 0x{proposal_id.hex()}: its votes", jobs.proposal_votes(proposal_id), mask)


def _mask(voters: frozenset[Address], committee: Committee) -> int:
    """Voters by position, as a contract keeps them; of a quorum of one, nothing: the vote is the acceptance."""
    return sum(1 << committee.members.index(voter) for voter in voters) if committee.quorum > 1 else 0


def _equal(findings: Findings, place: str, held: object, seen: object) -> None:
    # Most hold, and spelling out a whole standing takes longer than comparing it.
    same = held == seen
    findings.check(same, "" if same else f"{place} is {shown(held)} on chain, after its events {shown(seen)}")


def _equal_fields(findings: Findings, place: str, held: Any, seen: Any) -> None:
    for field in fields(seen):
        _equal(findings, f"{place}: {field.name}", getattr(held, field.name), getattr(seen, field.name))


def _if_any(question: Callable[[], T]) -> T | None:
    try:
        return question()
    except ContractRefusal:
        return None
