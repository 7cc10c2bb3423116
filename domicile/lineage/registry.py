"""Following the registries' events: which places were listed, and who was registered, attested and cleared when."""

from __future__ import annotations

from dataclasses import replace

from domicile.chain import events as ev
from domicile.errors import LineageError
from domicile.lineage.record import place_of
from domicile.protocol import registry as acts
from domicile.protocol.complaint import ContractRefusal
from domicile.protocol.listing import change_tier, list_place
from domicile.protocol.registry import Registry


def follow_registry(registry: Registry, event: ev.Event, now_s: int) -> Registry:
    """The registries after one more event that is of no job; those of datasets change none of them.

    Raises:
        LineageError: after the events before it, the contracts would have refused this act, or told something else.
    """
    if isinstance(event, ev.DatasetEvent):
        return registry
    try:
        return _of_nodes(registry, event, now_s)
    except ContractRefusal as exc:
        raise LineageError(f"{place_of(event, ())}: {exc.complaint}") from exc


def _of_nodes(registry: Registry, event: ev.Event, now_s: int) -> Registry:  # noqa: PLR0911 - a case an event
    match event:
        case ev.NodeRegistered():
            return acts.register(registry, event.node, event.key_card, event.safeguards)
        case ev.KeyCardChanged():
            return acts.update_key_card(registry, event.node, event.key_card, event.safeguards)
        case ev.NodeRetired():
            return acts.retire(registry, event.node)
        case ev.NodeAttested():
            return acts.attest(
                registry,
                event.node,
                event.jurisdiction,
                valid_from_s=event.valid_from_s,
                valid_until_s=event.valid_until_s,
                nonce=event.nonce,
                attesters=event.attesters,
                now_s=now_s,
            )
        case ev.AttestationRevoked():
            _require(event, "nonce", event.nonce, registry.standing_of(event.node).nonce)
            return acts.revoke_attestation(registry, event.node, event.attester)
        case ev.ClearanceGranted():
            return acts.clear(registry, event.node, event.sensitivity, event.valid_until_s, now_s)
        case ev.ClearanceWithdrawn():
            return acts.withdraw_clearance(registry, event.node)
        case ev.NodeSuspended():
            return acts.suspend(registry, event.node)
        case ev.NodeReinstated():
            return acts.reinstate(registry, event.node)
        case _:
            return _of_governance(registry, event)


def _of_governance(registry: Registry, event: ev.Event) -> Registry:
    match event:
        case ev.JurisdictionListed():
            _require(event, "index", event.index, len(registry.places.codes))
            places = list_place(registry.places, event.code, event.parent or None, event.tier)
            _require(event, "closure", event.closure, places.closures[event.index])
            return replace(registry, places=places)
        case ev.TierChanged():
            places = change_tier(registry.places, registry.guardians, event.code, event.tier)
            return replace(registry, places=places)
        case ev.GuardianChanged():
            others = registry.guardians - {event.account}
            return replace(registry, guardians=others | {event.account} if event.enabled else others)
        case ev.AttesterAdded():
            _require(event, "index", event.index, registry.num_ever_added)
            known = sum(1 << index for index in range(1, len(registry.places.codes)))
            _require(event, "scope", event.scope, event.scope & known)
            return acts.add_attester(registry, event.attester, event.scope)
        case ev.AttesterRemoved():
            held = registry.attesters.get(event.attester)
            if held is not None:
                _require(event, "index", event.index, held.index)
            return acts.remove_attester(registry, event.attester)
        case ev.QuorumChanged():
            return acts.set_quorum(registry, event.jurisdiction, event.quorum)
        case _:
            raise LineageError(f"{place_of(event, ())}: no event of a registry that this software knows")


def _require(event: ev.Event, name: str, told: int, expected: int) -> None:
    if told != expected:
        raise LineageError(f"{place_of(event, ())}: {name} is {told}, after the events before it {expected}")
