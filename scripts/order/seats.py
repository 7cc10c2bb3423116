"""Whether the committees of an order can do their work: registered, with key cards, and admitted by the gate now."""

from __future__ import annotations

from collections.abc import Iterator

from domicile.errors import PeerError, StoreFault
from domicile.exchange import CardDirectory
from domicile.protocol.eligibility import Refusal, Requirement
from domicile.types import Address
from scripts.doctor.finding import Finding, ok, problem, warning
from scripts.hindrance import who_mends
from scripts.order.draft import Draft
from scripts.order.file import GLOBAL
from scripts.order.span import latest_end_s
from scripts.view import RefusedParty
from scripts.wording import counted, moment


def key_cards(draft: Draft) -> Iterator[Finding]:
    """Whether updates and models can be sealed to every member, each to a key of its own."""
    cards = CardDirectory(draft.party.nodes, draft.party.border)
    for key, committee in draft.committees.items():
        owners: dict[bytes, Address] = {}
        found: list[Finding] = []
        for member in committee.members:
            found += _card(draft, cards, key, member, owners)
        yield from found or [ok(f"{key}: {counted(len(committee.members), 'key card')} readable")]


def _card(
    draft: Draft, cards: CardDirectory, key: str, member: Address, owners: dict[bytes, Address]
) -> Iterator[Finding]:
    where = f"{key}: {draft.name_of(member)}"
    if member not in draft.record.registry.key_cards:
        yield problem(f"{where} is not registered; its operator must register it, or name another member")
        return
    try:
        card = cards.card(member)
    except (PeerError, StoreFault) as exc:
        yield problem(f"{where}: its key card cannot be read ({exc}); its operator must publish it anew")
        return
    other = owners.setdefault(card.recipient_id, member)
    if other != member:
        yield problem(f"{where} has the same key as {draft.name_of(other)}; one of them must register a key of its own")


def admission(draft: Draft) -> Iterator[Finding]:
    """What the gate says of every member now, and whether that holds until the job may end.

    No more than a warning: the gate is asked when a member votes.
    """
    if isinstance(draft.job, Exception):
        return
    for index, (key, committee) in enumerate(draft.committees.items()):
        requirement = draft.job.global_requirement() if key == GLOBAL else draft.job.requirement(index)
        found = [told for member in committee.members if (told := _admitted(draft, key, member, requirement))]
        yield from found or [
            ok(f"{key}: {counted(len(committee.members), 'member')} admitted, quorum {committee.quorum}")
        ]


def _admitted(draft: Draft, key: str, member: Address, requirement: Requirement) -> Finding | None:
    registry, where = draft.record.registry, f"{key}: {draft.name_of(member)}"
    if member not in registry.key_cards:
        return None  # The check of key cards has told.
    place = registry.places.codes[registry.standing_of(member).jurisdiction]
    answer = registry.refusal(member, requirement, draft.record.now_s)
    if answer is not Refusal.NONE:
        mend = who_mends(RefusedParty(name="it", reason=answer, place=place), requirement.sensitivity.name.lower())
        return warning(f"{where}: the gate refuses it now: {answer.name}; {mend}")
    end_s = latest_end_s(draft.order.parameters, draft.record.now_s)
    if registry.refusal(member, requirement, end_s) is not Refusal.NONE:
        return warning(
            f"{where}: its attestation or clearance ends before the job may end ({moment(end_s)}); attesters of "
            f"{place} and an auditor must renew it in time"
        )
    return None
