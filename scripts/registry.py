"""The places, guardians, attesters and quorums of a network, folded from its events."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from domicile.chain import events as ev
from domicile.chain.client import Chain
from domicile.chain.deployment import Deployment
from domicile.errors import ConfigurationError
from domicile.lineage.registry import follow_registry
from domicile.protocol.complaint import ContractRefusal
from domicile.protocol.jurisdiction import Jurisdictions, Tier
from domicile.protocol.registry import Registry
from domicile.types import Address, Digest, JurisdictionCode
from scripts.access import Access

GOVERNANCE = (
    ev.AttesterAdded,
    ev.AttesterRemoved,
    ev.GuardianChanged,
    ev.JurisdictionListed,
    ev.QuorumChanged,
    ev.TierChanged,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Place:
    """A jurisdiction. `strictest`: the tier that counts, the strictest on its path; `quorum`: the one that holds."""

    code: JurisdictionCode
    parent: JurisdictionCode | None
    depth: int
    tier: Tier
    strictest: Tier
    quorum: int | None
    legal_basis: Digest


@dataclass(frozen=True, kw_only=True)
class Governance:
    """What governance made of a network. `legal_bases`: digest of the document behind each place's own tier."""

    registry: Registry
    legal_bases: dict[JurisdictionCode, Digest]

    @property
    def codes(self) -> tuple[JurisdictionCode, ...]:
        """Of all places, by index; index 0 is none."""
        return tuple(JurisdictionCode(code) for code in self.registry.places.codes)

    def tree(self) -> Iterator[Place]:
        """Each place, followed by those below it."""
        places = self.registry.places
        children: dict[int, list[int]] = {}
        for index in range(1, len(places.codes)):
            children.setdefault(parent_of(places, index), []).append(index)
        waiting = children.get(0, [])[::-1]
        while waiting:
            index = waiting.pop()
            yield self._place(index)
            waiting += children.get(index, [])[::-1]

    def quorum(self, index: int) -> int | None:
        """The quorum that holds in a place, or `None`: nobody is admitted there yet."""
        try:
            return self.registry.quorum_of(index)
        except ContractRefusal:
            return None

    def attesters_of(self, code: JurisdictionCode) -> list[Address]:
        """Who may attest in a place."""
        places = self.registry.places
        path = places.closures[places.codes.index(code)]
        return [one for one, held in self.registry.attesters.items() if held.scope & path]

    def check_listed(self, codes: Iterable[str], source: str) -> None:
        """Whether places are listed; `source` is where somebody named them.

        Raises:
            ConfigurationError: one is not.
        """
        places = self.registry.places
        unknown = next((code for code in codes if code not in places.codes), None)
        if unknown is not None:
            raise ConfigurationError(f"{source}: {not_listed(places, unknown)}")

    def scope(self, mask: int) -> list[JurisdictionCode]:
        """Places of a mask."""
        return [code for index, code in enumerate(self.codes) if mask >> index & 1]

    def _place(self, index: int) -> Place:
        places = self.registry.places
        parent = parent_of(places, index)
        return Place(
            code=self.codes[index],
            parent=self.codes[parent] if parent else None,
            depth=places.closures[index].bit_count() - 1,
            tier=places.tiers[index],
            strictest=places.strictest(index),
            quorum=self.quorum(index),
            legal_basis=self.legal_bases[self.codes[index]],
        )


def not_listed(places: Jurisdictions, code: str) -> str:
    """What to tell whoever names a place that is none, under the name by which the contract refuses it."""
    known = ", ".join(sorted(one for one in places.codes if one)) or "none yet"
    return (
        f"UnknownJurisdiction (code {code}): it is not listed on this network (listed: {known}); correct it, or have "
        "governance list it with `domicile jurisdiction set`"
    )


def parent_of(places: Jurisdictions, index: int) -> int:
    """Index of a place's parent, 0 for a root: parents are listed before their children."""
    above = places.closures[index] & ~(1 << index)
    return max(above.bit_length() - 1, 0)


def read_governance(network: Access) -> Governance:
    """As `governance_at`, for the network that an access file names."""
    return governance_at(network.chain, network.deployment)


def governance_at(chain: Chain, deployment: Deployment) -> Governance:
    """Reads the events up to the chain's newest block.

    Raises:
        LineageError: the events contradict each other; ChainFault: the endpoint cannot be reached.
    """
    return governance_of(ev.read_events(chain, deployment, deployment.first_block, chain.block_number()))


def governance_of(events: Iterable[ev.Event]) -> Governance:
    """The same, from events that were read already; others than those of governance may be among them.

    Raises:
        LineageError: they contradict each other.
    """
    registry, bases = Registry(), {}
    for event in events:
        if not isinstance(event, GOVERNANCE):
            continue
        # No act of governance depends on the time.
        registry = follow_registry(registry, event, 0)
        if isinstance(event, (ev.JurisdictionListed, ev.TierChanged)):
            bases[event.code] = event.legal_basis
    return Governance(registry=registry, legal_bases=bases)
