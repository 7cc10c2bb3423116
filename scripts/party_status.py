"""``domicile node status`` and ``domicile aggregator status``: where a party stands, from the chain and its journal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from typing import Any

from aggregator.config import AggregatorConfig
from aggregator.journal import AggregatorJournal
from domicile.chain.contracts import Jobs
from domicile.errors import ConfigurationError, DiskFault
from domicile.history import Histories
from domicile.protocol.eligibility import Refusal
from node.config import NodeConfig
from node.journal import NodeJournal
from scripts.doctor.standing import ANYWHERE
from scripts.money import WEI, balance_wei
from scripts.party_access import PartyAccess
from scripts.party_jobs import PartySight, job_lines
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
    jobs, problem = _jobs_told(party, config, histories)
    return {
        "name": config.name,
        "address": address,
        "now_s": histories.now_s,
        "key_card": card.hex() if any(card) else None,
        "jurisdiction": governance.codes[standing.jurisdiction] or None,
        "attested_until_s": standing.attested_until_s or None,
        "attesters": [one for one, held in attesters if standing.attesters >> held.index & 1],
        "quorum": standing.quorum,
        "clearance": standing.clearance.name.lower(),
        "cleared_until_s": standing.cleared_until_s or None,
        "suspended": standing.suspended,
        "gate": nodes.refusal(address, ANYWHERE).name.lower(),
        "balance_wei": balance_wei(party.chain, address),
        "journal_problem": problem,
        "jobs": jobs,
    }


def _jobs_told(
    party: PartyAccess, config: NodeConfig | AggregatorConfig, histories: Histories
) -> tuple[list[dict[str, Any]], str | None]:
    """The party's jobs, and what is wrong with its journal: then the chain alone tells of them."""
    sight = PartySight(
        address=party.address,
        histories=histories,
        jobs=Jobs(party.chain, party.deployment),
        nodes=party.nodes,
        journal=None,
    )
    try:
        with _journal(config) as journal:
            return replace(sight, journal=journal).told(), None
    except (ConfigurationError, DiskFault) as exc:
        return sight.told(), f"{exc}"


@contextmanager
def _journal(config: NodeConfig | AggregatorConfig) -> Iterator[NodeJournal | AggregatorJournal | None]:
    """Only one that is there: a look makes no journal."""
    if not config.journal.exists():
        yield None
        return
    kind = NodeJournal if isinstance(config, NodeConfig) else AggregatorJournal
    with closing(kind(config.journal)) as journal:
        yield journal


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
    if told["journal_problem"] is not None:
        yield told["journal_problem"]
    if not told["jobs"]:
        yield "no job lists this account"
    for job in told["jobs"]:
        yield from job_lines(job, mends)


def _attested(told: dict[str, Any]) -> str:
    until_s = told["attested_until_s"]
    if told["jurisdiction"] is None:
        return "not attested anywhere"
    ended = f"the attestation in {told['jurisdiction']} ended at {moment(until_s)}"
    if told["now_s"] >= until_s:
        return ended
    return (
        f"attested in {told['jurisdiction']} until {moment(until_s)}; attesters who still count: "
        f"{len(told['attesters'])} of {told['quorum']} that are needed: {listed(told['attesters'])}"
    )


def _cleared(told: dict[str, Any]) -> str:
    until_s = told["cleared_until_s"]
    if until_s is None:
        return "cleared for public data alone"
    if told["now_s"] >= until_s:
        return f"the clearance for {told['clearance']} data ended at {moment(until_s)}"
    return f"cleared for {told['clearance']} data until {moment(until_s)}"
