"""``domicile node status`` and ``domicile aggregator status``: where a party stands, from the chain and its journal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aggregator.config import AggregatorConfig
from aggregator.journal import AggregatorJournal
from domicile.chain.client import Chain
from domicile.chain.contracts import Jobs, Nodes
from domicile.chain.deployment import Deployment
from domicile.history import Histories, JobHistory
from domicile.protocol.eligibility import Refusal
from domicile.protocol.round import FINAL_PHASES
from domicile.types import Address, JobId
from node.config import NodeConfig
from node.journal import NodeJournal
from scripts.doctor.standing import ANYWHERE
from scripts.money import WEI, balance_wei
from scripts.registry import governance_at
from scripts.wording import moment, spaced

MENDS = {
    Refusal.NOT_REGISTERED: "`domicile {role} register` enters it",
    Refusal.ATTESTATION_EXPIRED: "the attesters of its jurisdiction must attest it (`domicile attest request`)",
    Refusal.OUTSIDE_SHARD: "the job does not take parties of this jurisdiction",
    Refusal.TIER_FORBIDS: "the jurisdiction's tier is too strict for the job; governance alone can loosen it",
    Refusal.NOT_CLEARED: "an auditor must clear it for this class (`domicile clear`)",
    Refusal.SUSPENDED: "an auditor has suspended it; ask why (`domicile suspend --lift` ends it)",
    Refusal.MISSING_SAFEGUARD: "the job asks for a safeguard that this party does not offer",
}
"""Who can mend a refusal of the gate, and how."""


def status_of(config: NodeConfig | AggregatorConfig) -> dict[str, Any]:
    """Everything that a person asks first, as plain data; needs no password and no lock.

    Raises:
        ConfigurationError: the configuration is wrong; ChainFault: the endpoint failed.
    """
    from domicile.chain.account import address_in

    deployment = Deployment.load(config.chain.deployment)
    chain = Chain(config.chain.rpc_url, confirmations=config.chain.confirmations)
    deployment.check(chain)
    nodes, jobs = Nodes(chain, deployment), Jobs(chain, deployment)
    address = address_in(config.keys.account)
    standing = nodes.standing_of(address)
    governance = governance_at(chain, deployment)
    present = sum(1 << one.index for one in governance.registry.attesters.values())
    histories = Histories(chain, deployment)
    histories.update()
    card = nodes.key_card_of(address)
    journal = _journal(config)
    return {
        "name": config.name,
        "address": address,
        "now_s": histories.now_s,
        "key_card": card.hex() if any(card) else None,
        "jurisdiction": governance.codes[standing.jurisdiction] or None,
        "attested_until_s": standing.attested_until_s or None,
        "attesters_left": (standing.attesters & present).bit_count(),
        "quorum": standing.quorum,
        "clearance": standing.clearance.name.lower(),
        "cleared_until_s": standing.cleared_until_s or None,
        "suspended": standing.suspended,
        "gate": nodes.refusal(address, ANYWHERE).name.lower(),
        "balance_wei": balance_wei(chain, address),
        "jobs": [
            _job(journal, jobs, nodes, job, history, address)
            for job, history in histories.jobs.items()
            if _has_part(address, history)
        ],
    }


def _journal(config: NodeConfig | AggregatorConfig) -> NodeJournal | AggregatorJournal | None:
    """Only one that is there: a look makes no journal."""
    if not config.journal.exists():
        return None
    return NodeJournal(config.journal) if isinstance(config, NodeConfig) else AggregatorJournal(config.journal)


def status_lines(role: str, told: dict[str, Any]) -> list[str]:
    """The same for people."""
    lines = [f"{told['name']}, account {told['address']}, {told['balance_wei'] / WEI:.6g} ether"]
    lines.append(f"key card {told['key_card']}" if told["key_card"] else "not registered")
    if told["attested_until_s"]:
        lines.append(
            f"attested in {told['jurisdiction']} until {moment(told['attested_until_s'])}, by {told['attesters_left']} "
            f"present attesters of {told['quorum']} that are needed"
        )
    else:
        lines.append("not attested anywhere")
    if told["cleared_until_s"]:
        lines.append(f"cleared for {told['clearance']} data until {moment(told['cleared_until_s'])}")
    else:
        lines.append("cleared for public data alone")
    lines += [f"the gate: {_gate_line(role, Refusal[told['gate'].upper()])}"]
    for job in told["jobs"]:
        lines += _job_lines(role, job)
    return lines


def _gate_line(role: str, answer: Refusal) -> str:
    if answer is Refusal.NONE:
        return "open"
    return f"closed ({spaced(answer.name)}); {MENDS[answer].format(role=role)}"


def running_jobs(chain: Chain, deployment: Deployment, address: Address) -> list[JobId]:
    """Jobs that are not over and in which an account is a member or sits on a committee."""
    histories, jobs = Histories(chain, deployment), Jobs(chain, deployment)
    histories.update()
    parts = (job for job, history in histories.jobs.items() if _has_part(address, history))
    return [job for job in parts if jobs.snapshot(job)[0].phase not in FINAL_PHASES]


def _has_part(address: Address, history: JobHistory) -> bool:
    committees = [shard.parameters.committee for shard in history.shards] + [history.created.global_committee]
    return address in history.members or any(address in one.members for one in committees)


def _job(
    journal: NodeJournal | AggregatorJournal | None,
    jobs: Jobs,
    nodes: Nodes,
    job: JobId,
    history: JobHistory,
    address: Address,
) -> dict[str, Any]:
    state, shards = jobs.snapshot(job)
    parts = {
        history.shards[index].parameters.jurisdiction: {
            "phase": shard.phase.name.lower(),
            "regional_round": shard.regional_round + 1,
            "gate": nodes.refusal(address, jobs.requirement_of(job, history.shards[index].shard)).name.lower(),
        }
        for index, shard in enumerate(shards)
        if history.members.get(address) == index or address in history.shards[index].parameters.committee.members
    }
    return {
        "job": job,
        "phase": state.phase.name.lower(),
        "global_round": state.global_round + 1,
        "shards": parts,
        "in_global_committee": address in history.created.global_committee.members,
        "declined": None if journal is None else journal.declined(job),
        "notes": [] if journal is None else list(_notes(journal, job)),
    }


def _notes(journal: NodeJournal | AggregatorJournal, job: JobId) -> Iterator[str]:
    """What the journal says of a job, the newest last; people count rounds from 1."""
    if isinstance(journal, AggregatorJournal):
        for payload in journal.payloads(job)[-1:]:
            at = f"{payload.global_round + 1}.{payload.regional_round + 1}"
            yield f"last sealed: {payload.kind} model of round {at}"
        for left_out in journal.left_out(job)[-3:]:
            at = f"{left_out.global_round + 1}.{left_out.regional_round + 1}"
            yield f"left out in round {at}: {left_out.subject} ({spaced(left_out.reason)})"
        return
    for update in journal.updates(job)[-1:]:
        yield f"last trained: round {update.global_round + 1}.{update.regional_round + 1}"
    for skipped in journal.skipped(job)[-3:]:
        yield f"gave up to {skipped.act} in round {skipped.global_round + 1}: {skipped.reason}"
    for action, reason in journal.refusals(job)[-3:]:
        yield f"refused by the contract, {action}: {reason}"


def _job_lines(role: str, told: dict[str, Any]) -> list[str]:
    lines = [f"job {told['job']}: {told['phase']}, global round {told['global_round']}"]
    for place, part in told["shards"].items():
        line = f"  {place}: {part['phase']}, regional round {part['regional_round']}"
        answer = Refusal[part["gate"].upper()]
        lines.append(line if answer is Refusal.NONE else f"{line}; refused now: {_gate_line(role, answer)}")
    if told["in_global_committee"]:
        lines.append("  in the global committee")
    if told["declined"]:
        lines.append(f"  declined: {told['declined']}")
    return lines + [f"  {note}" for note in told["notes"]]
