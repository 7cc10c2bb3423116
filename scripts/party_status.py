"""``domicile node status`` and ``domicile aggregator status``: where a party stands, from the chain and its journal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aggregator.config import AggregatorConfig
from domicile.chain.contracts import Jobs
from domicile.history import Histories
from domicile.protocol.eligibility import Refusal
from node.config import NodeConfig
from scripts.doctor.standing import ANYWHERE
from scripts.money import WEI, balance_wei
from scripts.party_access import PartyAccess
from scripts.party_jobs import PartySight, job_lines
from scripts.party_journal import read_journal
from scripts.registry import governance_of
from scripts.wording import listed, moment, spaced

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


def status_of(party: PartyAccess, config: NodeConfig | AggregatorConfig) -> dict[str, Any]:
    """Everything that a person asks first, as plain data; needs no password and no lock.

    Raises:
        ChainFault: the endpoint failed.
    """
    address, nodes = party.address, party.nodes
    histories = Histories(party.chain, party.deployment)
    histories.update()
    standing, card = nodes.standing_of(address), nodes.key_card_of(address)
    governance = governance_of(histories.registry_events)
    attesters = governance.registry.attesters.items()
    sight = PartySight(
        address=address,
        histories=histories,
        jobs=Jobs(party.chain, party.deployment),
        nodes=nodes,
        diary=read_journal(config, party.deployment.identity(party.chain), histories.jobs),
    )
    return {
        "name": config.name,
        "address": address,
        "now_s": histories.now_s,
        "key_card": card.hex() if any(card) else None,
        "jurisdiction": governance.codes[standing.jurisdiction] or None,
        "attested_from_s": standing.attested_from_s or None,
        "attested_until_s": standing.attested_until_s or None,
        "attesters": [one for one, held in attesters if standing.attesters >> held.index & 1],
        "quorum": standing.quorum,
        "clearance": standing.clearance.name.lower(),
        "cleared_until_s": standing.cleared_until_s or None,
        "suspended": standing.suspended,
        "gate": nodes.refusal(address, ANYWHERE).name.lower(),
        "balance_wei": balance_wei(party.chain, address),
        "journal": sight.diary.problem,
        "jobs": sight.told(),
        "stays_out": sight.stays_out(),
    }


def status_lines(role: str, told: dict[str, Any]) -> Iterator[str]:
    """The same for people."""
    mends = {reason: mend.format(role=role) for reason, mend in MENDS.items()}
    yield f"{told['name']}, account {told['address']}, {told['balance_wei'] / WEI:.6g} ether"
    yield f"registered with key card {told['key_card']}" if told["key_card"] else "not registered"
    yield _attested(told)
    yield _cleared(told)
    if told["suspended"]:
        yield "suspended by an auditor"
    answer = Refusal[told["gate"].upper()]
    yield "the gate: open" if answer is Refusal.NONE else f"the gate: closed ({spaced(answer.name)}); {mends[answer]}"
    if told["journal"] is not None:
        yield f"journal: {told['journal']}"
    for job in told["jobs"]:
        yield from job_lines(job, mends)
    yield from (f"stays out of job {job}: {reason}" for job, reason in told["stays_out"].items())
    if not told["jobs"]:
        yield "in no job"


def _attested(told: dict[str, Any]) -> str:
    if told["jurisdiction"] is None:
        return "not attested anywhere"
    if told["attested_until_s"] <= told["now_s"]:
        return f"attestation in {told['jurisdiction']} ended {moment(told['attested_until_s'])}"
    return (
        f"attested in {told['jurisdiction']} until {moment(told['attested_until_s'])}; of the attesters who signed it, "
        f"{len(told['attesters'])} still count and {told['quorum']} must: {listed(told['attesters'])}"
    )


def _cleared(told: dict[str, Any]) -> str:
    if told["cleared_until_s"] is None:
        return "cleared for public data alone"
    verb = "ended" if told["cleared_until_s"] <= told["now_s"] else "lasts until"
    return f"clearance for {told['clearance']} data {verb} {moment(told['cleared_until_s'])}"
