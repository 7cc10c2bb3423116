"""How members meet whom hostile nodes keep apart.

A node can seal so that some members alone open it, and a store can show some members alone what it holds. Each member
then leaves out others, and no proposal has a quorum. Members that see this leave out what any of them misses.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace

from aggregator.merging import LeftOut
from aggregator.survivors import Opened, survivors_among
from domicile.masked_round import MaskedRound
from domicile.protocol.proposal import SurvivorsProposal
from domicile.protocol.round import Committee, ExclusionReason
from domicile.survivors import SurvivorsTally
from domicile.types import Address

MISSED = frozenset({ExclusionReason.UNAVAILABLE, ExclusionReason.UNOPENABLE})
"""What may be so for one member alone. All else follows from what all members see alike."""


def is_split(
    own: SurvivorsProposal,
    tallies: Collection[SurvivorsTally],
    *,
    member: Address,
    committee: Committee,
    turns_are_over: bool,
) -> bool:
    """Whether the own proposal cannot have a quorum with those who voted for it and those who have not voted at all,
    who count until all turns are over. Members of whom a quorum sees alike are thus never moved by another one.
    """
    if all(tally.proposal == own for tally in tallies):
        return False
    voted = {voter for tally in tallies for voter in tally.voters}
    silent = set() if turns_are_over else set(committee.members) - voted
    agreeing = {voter for tally in tallies if tally.proposal == own for voter in tally.voters}
    return len(agreeing | silent | {member}) < committee.quorum


def joined(opened: Opened, masked: MaskedRound, rivals: Iterable[SurvivorsProposal], *, needed: int) -> Opened:
    """The own look without what a rival proposal of the same commits misses, for each that leaves enough survivors.

    Whoever has both views comes to the same exclusions: of two reasons for one node the later in the enumeration holds,
    and disputes are settled anew among the sheets that are left.
    """
    found = {one.subject: one for one in opened.found}
    missed = {one.subject: one.reason for one in opened.found if one.reason in MISSED}
    best = opened
    for rival in rivals:
        more = dict(missed)
        for one in rival.excluded:
            if one.reason in MISSED and one.node not in opened.ineligible:
                more[one.node] = max(one.reason, more.get(one.node, one.reason))
        sheets = {node: sheet for node, sheet in opened.sheets.items() if node not in more}
        nodes, unfit = survivors_among(masked, sheets)
        if len(nodes) < needed:
            continue
        missed = more
        others = [_missed(found.get(node), node, reason) for node, reason in missed.items()]
        kept = [one for one in opened.found if one.subject not in missed]
        excluded = tuple(sorted((*kept, *others, *unfit), key=lambda one: one.subject.lower()))
        best = replace(opened, nodes=nodes, excluded=excluded)
    return best


def _missed(found: LeftOut | None, node: str, reason: ExclusionReason) -> LeftOut:
    if found is not None and found.reason is reason:
        return found
    return LeftOut(subject=node, reason=reason, detail="another member misses it, and the committee was split")
