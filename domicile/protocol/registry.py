"""Participants, attesters and clearance: the twin of NodeRegistry's acts, over the places that they name.

Signatures are not looked at: an accepted attestation is given by the mask of attesters who signed it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from domicile.protocol import eligibility
from domicile.protocol.eligibility import Refusal, Requirement, Safeguard, Sensitivity, Standing
from domicile.protocol.jurisdiction import Jurisdictions
from domicile.protocol.listing import index_of
from domicile.protocol.refusals import (
    AlreadyRegistered,
    AlreadySuspended,
    AttesterAlreadyAdded,
    AttestersFull,
    EmptyScope,
    InvalidQuorum,
    NotAttested,
    NotAttesterFor,
    NotHigher,
    NotSuspended,
    OutsideValidity,
    QuorumNotSet,
    TooFewSignatures,
    UnknownAttester,
    UnknownNode,
    WrongNonce,
    ZeroKeyCard,
)
from domicile.types import Address, Digest, JurisdictionCode

MAX_ATTESTERS = 64
UNKNOWN = Standing(
    jurisdiction=0,
    quorum=0,
    clearance=Sensitivity.PUBLIC,
    suspended=False,
    safeguards=Safeguard.NONE,
    attested_from_s=0,
    attested_until_s=0,
    cleared_until_s=0,
    nonce=0,
    attesters=0,
)
"""Standing of an account that never registered."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Attester:
    """`index`: bit in masks of attesters; `scope`: mask of the places it attests, with all below them."""

    index: int
    scope: int


@dataclass(frozen=True, kw_only=True)
class Registry:
    """`quorums` by index of the place; `num_ever_added` counts removed attesters too."""

    places: Jurisdictions = field(default_factory=Jurisdictions)
    guardians: frozenset[Address] = frozenset()
    key_cards: Mapping[Address, Digest] = field(default_factory=dict)
    standings: Mapping[Address, Standing] = field(default_factory=dict)
    attesters: Mapping[Address, Attester] = field(default_factory=dict)
    quorums: Mapping[int, int] = field(default_factory=dict)
    num_ever_added: int = 0

    def standing_of(self, account: Address) -> Standing:
        return self.standings.get(account, UNKNOWN)

    def refusal(self, account: Address, requirement: Requirement, now_s: int) -> Refusal:
        """The gate's answer."""
        return eligibility.refusal(
            self.standing_of(account),
            requirement,
            self.places,
            sum(1 << attester.index for attester in self.attesters.values()),
            registered=account in self.key_cards,
            now_s=now_s,
        )

    def quorum_of(self, place: int) -> int:
        """Nearest quorum on the path to the root.

        Raises:
            QuorumNotSet: there is none.
        """
        closure = self.places.closures[place]
        nearest = max((index for index in self.quorums if closure >> index & 1), default=None)
        if nearest is None:
            raise QuorumNotSet(jurisdiction=self.places.codes[place])
        return self.quorums[nearest]

    def with_standing(self, account: Address, standing: Standing) -> Registry:
        return replace(self, standings={**self.standings, account: standing})


def register(registry: Registry, node: Address, key_card: Digest, safeguards: Safeguard) -> Registry:
    if node in registry.key_cards:
        raise AlreadyRegistered(node=node)
    return _with_card(registry, node, key_card, safeguards)


def update_key_card(registry: Registry, node: Address, key_card: Digest, safeguards: Safeguard) -> Registry:
    _require_registered(registry, node)
    return _with_card(registry, node, key_card, safeguards)


def retire(registry: Registry, node: Address) -> Registry:
    """Everything but the nonce and a suspension is forgotten."""
    _require_registered(registry, node)
    standing = registry.standing_of(node)
    cards = {account: card for account, card in registry.key_cards.items() if account != node}
    kept = replace(UNKNOWN, nonce=standing.nonce, suspended=standing.suspended)
    return replace(registry, key_cards=cards).with_standing(node, kept)


def add_attester(registry: Registry, account: Address, scope: int) -> Registry:
    if account in registry.attesters:
        raise AttesterAlreadyAdded(attester=account)
    if not scope:
        raise EmptyScope()
    if registry.num_ever_added == MAX_ATTESTERS:
        raise AttestersFull()
    added = Attester(index=registry.num_ever_added, scope=scope)
    return replace(
        registry, attesters={**registry.attesters, account: added}, num_ever_added=registry.num_ever_added + 1
    )


def remove_attester(registry: Registry, account: Address) -> Registry:
    if account not in registry.attesters:
        raise UnknownAttester(attester=account)
    return replace(registry, attesters={one: held for one, held in registry.attesters.items() if one != account})


def set_quorum(registry: Registry, code: JurisdictionCode, quorum: int) -> Registry:
    place = index_of(registry.places, code)
    if not 0 < quorum <= MAX_ATTESTERS:
        raise InvalidQuorum(quorum=quorum)
    return replace(registry, quorums={**registry.quorums, place: quorum})


def raise_quorum(registry: Registry, code: JurisdictionCode, quorum: int) -> Registry:
    current = registry.quorum_of(index_of(registry.places, code))
    if quorum <= current:
        raise NotHigher(jurisdiction=code, current=current, requested=quorum)
    return set_quorum(registry, code, quorum)


def attest(
    registry: Registry,
    node: Address,
    code: JurisdictionCode,
    *,
    valid_from_s: int,
    valid_until_s: int,
    nonce: int,
    attesters: int,
    now_s: int,
) -> Registry:
    """Accepts an attestation."""
    _require_registered(registry, node)
    standing = registry.standing_of(node)
    if nonce != standing.nonce:
        raise WrongNonce(node=node, expected=standing.nonce, given=nonce)
    _require_within(valid_from_s, valid_until_s, now_s)
    place = index_of(registry.places, code)
    quorum = registry.quorum_of(place)
    if attesters.bit_count() < quorum:
        raise TooFewSignatures(required=quorum, given=attesters.bit_count())
    closure = registry.places.closures[place]
    able = sum(1 << one.index for one in registry.attesters.values() if one.scope & closure)
    if attesters & ~able:
        raise NotAttesterFor(signer=_with_bit(registry, attesters & ~able), jurisdiction=code)
    attested = replace(
        standing,
        jurisdiction=place,
        quorum=quorum,
        attested_from_s=valid_from_s,
        attested_until_s=valid_until_s,
        attesters=attesters,
        nonce=nonce + 1,
    )
    return registry.with_standing(node, attested)


def revoke_attestation(registry: Registry, node: Address, attester: Address) -> Registry:
    standing = registry.standing_of(node)
    if not standing.jurisdiction:
        raise NotAttested(node=node)
    held = registry.attesters.get(attester)
    if held is None or not held.scope & registry.places.closures[standing.jurisdiction]:
        raise NotAttesterFor(signer=attester, jurisdiction=registry.places.codes[standing.jurisdiction])
    revoked = replace(
        standing,
        jurisdiction=0,
        quorum=0,
        attested_from_s=0,
        attested_until_s=0,
        attesters=0,
        nonce=standing.nonce + 1,
    )
    return registry.with_standing(node, revoked)


def clear(registry: Registry, node: Address, sensitivity: Sensitivity, valid_until_s: int, now_s: int) -> Registry:
    _require_registered(registry, node)
    _require_within(0, valid_until_s, now_s)
    standing = registry.standing_of(node)
    return registry.with_standing(node, replace(standing, clearance=sensitivity, cleared_until_s=valid_until_s))


def withdraw_clearance(registry: Registry, node: Address) -> Registry:
    _require_registered(registry, node)
    standing = registry.standing_of(node)
    return registry.with_standing(node, replace(standing, clearance=Sensitivity.PUBLIC, cleared_until_s=0))


def suspend(registry: Registry, node: Address) -> Registry:
    _require_registered(registry, node)
    standing = registry.standing_of(node)
    if standing.suspended:
        raise AlreadySuspended(node=node)
    return registry.with_standing(node, replace(standing, suspended=True))


def reinstate(registry: Registry, node: Address) -> Registry:
    standing = registry.standing_of(node)
    if not standing.suspended:
        raise NotSuspended(node=node)
    return registry.with_standing(node, replace(standing, suspended=False))


def _with_card(registry: Registry, node: Address, key_card: Digest, safeguards: Safeguard) -> Registry:
    if not any(key_card):
        raise ZeroKeyCard()
    registry = replace(registry, key_cards={**registry.key_cards, node: key_card})
    return registry.with_standing(node, replace(registry.standing_of(node), safeguards=safeguards))


def _with_bit(registry: Registry, mask: int) -> Address:
    """An attester of the mask; nobody, where all of them are unknown or removed."""
    found = (account for account, held in registry.attesters.items() if mask >> held.index & 1)
    return next(found, Address(""))


def _require_registered(registry: Registry, node: Address) -> None:
    if node not in registry.key_cards:
        raise UnknownNode(node=node)


def _require_within(valid_from_s: int, valid_until_s: int, now_s: int) -> None:
    if not valid_from_s <= now_s < valid_until_s:
        raise OutsideValidity(valid_from_s=valid_from_s, valid_until_s=valid_until_s, now_s=now_s)
