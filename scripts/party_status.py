"""``domicile node status`` and ``domicile aggregator status``: where a party stands, from the chain and its journal."""

from __future__ import annotations

from typing import Any

from aggregator.config import AggregatorConfig
from domicile.chain.account import address_in
from domicile.chain.client import Chain
from domicile.chain.contracts import Jobs, Nodes
from domicile.chain.deployment import Deployment
from domicile.history import Histories, JobHistory
from domicile.protocol.eligibility import Refusal
from domicile.protocol.round import FINAL_PHASES
from domicile.types import Address, JobId
from node.config import NodeConfig
from scripts.doctor.standing import ANYWHERE
from scripts.money import WEI, balance_wei
from scripts.party_journal import Diary, read_journal
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
    deployment = Deployment.load(config.chain.deployment)
    chain = Chain(config.chain.rpc_url, confirmations=config.chain.confirmations)
    deployment.check(chain)
    histories, jobs = Histories(chain, deployment), Jobs(chain, deployment)
    histories.update()
    address = address_in(config.keys.account)
    own = {job: history for job, history in histories.jobs.items() if _has_part(address, history)}
    diary = read_journal(config, histories.jobs)
    nodes = Nodes(chain, deployment)
    return {
        "name": config.name,
        "address": address,
        "now_s": histories.now_s,
        **_standing(chain, deployment, address),
        "gate": nodes.refusal(address, ANYWHERE).name.lower(),
        "balance_wei": balance_wei(chain, address),
        "journal": diary.problem,
        "jobs": [_job(jobs, nodes, job, history, address, diary) for job, history in own.items()],
        "stays_out": {job: one.stays_out for job, one in diary.remarks.items() if one.stays_out and job not in own},
    }


def _standing(chain: Chain, deployment: Deployment, address: Address) -> dict[str, object]:
    nodes, governance = Nodes(chain, deployment), governance_at(chain, deployment)
    standing, card = nodes.standing_of(address), nodes.key_card_of(address)
    present = sum(1 << one.index for one in governance.registry.attesters.values())
    return {
        "key_card": card.hex() if any(card) else None,
        "jurisdiction": governance.codes[standing.jurisdiction] or None,
        "attested_from_s": standing.attested_from_s or None,
        "attested_until_s": standing.attested_until_s or None,
        "attesters_left": (standing.attesters & present).bit_count(),
        "quorum": standing.quorum,
        "clearance": standing.clearance.name.lower(),
        "cleared_until_s": standing.cleared_until_s or None,
        "suspended": standing.suspended,
    }


def status_lines(role: str, told: dict[str, Any]) -> list[str]:
    """The same for people."""
    lines = [f"{told['name']}, account {told['address']}, {told['balance_wei'] / WEI:.6g} ether"]
    lines.append(f"registered with key card {told['key_card']}" if told["key_card"] else "not registered")
    lines.append(_attestation_line(told))
    if told["cleared_until_s"]:
        verb = "ended" if told["cleared_until_s"] <= told["now_s"] else "lasts until"
        lines.append(f"clearance for {told['clearance']} data {verb} {moment(told['cleared_until_s'])}")
    else:
        lines.append("cleared for public data alone")
    if told["suspended"]:
        lines.append("suspended by an auditor")
    lines.append(f"the gate: {_gate_line(role, Refusal[told['gate'].upper()])}")
    if told["journal"] is not None:
        lines.append(f"journal: {told['journal']}")
    for job in told["jobs"]:
        lines += _job_lines(role, job)
    lines += [f"stays out of job {job}: {reason}" for job, reason in told["stays_out"].items()]
    return lines if told["jobs"] else [*lines, "in no job"]


def _attestation_line(told: dict[str, Any]) -> str:
    if not told["jurisdiction"]:
        return "not attested anywhere"
    if told["attested_until_s"] <= told["now_s"]:
        return f"attestation in {told['jurisdiction']} ended {moment(told['attested_until_s'])}"
    return (
        f"attested in {told['jurisdiction']} until {moment(told['attested_until_s'])}; of the attesters who signed it, "
        f"{told['attesters_left']} still count and {told['quorum']} must"
    )


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


def _job(jobs: Jobs, nodes: Nodes, job: JobId, history: JobHistory, address: Address, diary: Diary) -> dict[str, Any]:
    (state, shards), remarks = jobs.snapshot(job), diary.remarks.get(job)
    parts = {
        history.shards[index].parameters.jurisdiction: {
            "part": "member" if history.members.get(address) == index else "committee",
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
        "global_committee_gate": (
            nodes.refusal(address, jobs.global_requirement_of(job)).name.lower()
            if address in history.created.global_committee.members
            else None
        ),
        "stays_out": None if remarks is None else remarks.stays_out,
        "notes": [] if remarks is None else list(remarks.notes),
    }


def _job_lines(role: str, told: dict[str, Any]) -> list[str]:
    lines = [f"job {told['job']}: {told['phase']}, global round {told['global_round']}"]
    for place, part in told["shards"].items():
        role_there = "a member" if part["part"] == "member" else "on the committee"
        line = f"  {place}, {role_there}: {part['phase']}, regional round {part['regional_round']}"
        lines.append(line + _refused_now(role, part["gate"]))
    if told["global_committee_gate"]:
        lines.append("  on the global committee" + _refused_now(role, told["global_committee_gate"]))
    if told["stays_out"]:
        lines.append(f"  stays out: {told['stays_out']}")
    return lines + [f"  {note}" for note in told["notes"]]


def _refused_now(role: str, gate: str) -> str:
    answer = Refusal[gate.upper()]
    return "" if answer is Refusal.NONE else f"; refused now: {_gate_line(role, answer)}"
