"""How the chain stands to this account: its key card, attestation, clearance and suspension."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

from domicile.protocol.eligibility import Refusal, Requirement, Safeguard, Sensitivity
from domicile.protocol.jurisdiction import Tier
from scripts.doctor.case import Case
from scripts.doctor.finding import Finding, ok, problem, warning

NOTICE_S = 7 * 24 * 3600
"""How long before an end its renewal is urged: attesters and auditors are people."""

ANYWHERE = Requirement(
    allowed=2**256 - 1,
    denied=0,
    max_tier=Tier.PROHIBITED,
    sensitivity=Sensitivity.PUBLIC,
    safeguards=Safeguard.NONE,
)
"""Asks of an account only that it is registered, attested in some place, and not suspended."""


def registration(case: Case) -> Iterator[Finding]:
    """Whether the account is registered."""
    if any(case.registered_card):
        yield ok(f"with key card {case.registered_card.hex()[:16]}…")
    else:
        yield problem(f"{case.address} is not registered; start the daemon, which registers it")


def sealing_key(case: Case) -> Iterator[Finding]:
    """Whether the registered key card is the one of this very HPKE key."""
    if case.registered_card == case.card_digest:
        yield ok("what others seal to the registered key card opens here")
    else:
        yield problem(
            f"the chain has another key card of {case.address}, so that payloads are sealed to another key; name the "
            "right keys.hpke, or restart the daemon, which registers this one"
        )


def key_card(case: Case) -> Iterator[Finding]:
    """Whether others find the key card's document."""
    if case.border.has(case.registered_card):
        yield ok("its document lies in the border store")
    else:
        yield warning(
            "its document is not in the border store, so that nobody can seal to this party; restart the daemon, which "
            "puts it there"
        )


def attestation(case: Case) -> Iterator[Finding]:
    """Whether the account is attested, and until when."""
    standing, now_s = case.standing, case.chain.timestamp()
    if not standing.jurisdiction:
        yield problem("there is none in force; ask the attesters of your jurisdiction for one")
    elif now_s >= standing.attested_until_s:
        yield problem(f"it ended on {_day(standing.attested_until_s)}; ask its attesters for a new one")
    elif case.nodes.refusal(case.address, ANYWHERE) is Refusal.ATTESTATION_EXPIRED:
        yield problem(
            "too few of those who signed it are still attesters, or it has not begun yet; ask the present attesters "
            "for a new one"
        )
    else:
        yield _until(case, standing.attested_until_s, now_s, "ask its attesters for a new one in time")


def clearance(case: Case) -> Iterator[Finding]:
    """Whether the account is cleared, for what, and until when."""
    standing, now_s = case.standing, case.chain.timestamp()
    asked = max(
        (requirement.sensitivity for own in case.own_jobs for requirement in own.requirements.values()),
        default=Sensitivity.PUBLIC,
    )
    if standing.clearance is Sensitivity.PUBLIC:
        told = "there is none, so that only public jobs are open to this account; ask an auditor for one"
        yield problem(told) if asked else warning(told)
    elif now_s >= standing.cleared_until_s:
        yield problem(f"it ended on {_day(standing.cleared_until_s)}; ask an auditor for a new one")
    elif standing.clearance < asked:
        yield problem(
            f"it is for {standing.clearance.name.lower()}, a running job asks for {asked.name.lower()}; ask an auditor"
        )
    else:
        yield _until(case, standing.cleared_until_s, now_s, "ask an auditor for a new one in time")


def suspension(case: Case) -> Iterator[Finding]:
    """Whether an auditor keeps the account out."""
    if case.standing.suspended:
        yield problem("an auditor has suspended this account; ask the auditors why")
    else:
        yield ok("the account is not suspended")


def gate(case: Case) -> Iterator[Finding]:
    """Whether the contracts let this account work in its jobs now."""
    for own in case.own_jobs:
        for place, requirement in own.requirements.items():
            answer = case.nodes.refusal(case.address, requirement)
            if answer is Refusal.NONE:
                yield ok(f"job {own.job}, {place}: {own.state.phase.name.lower()}, open to this account")
            else:
                reason = answer.name.lower().replace("_", " ")
                yield problem(f"job {own.job}, {place}: refused: {reason}; mend what the reason names")
    if not case.own_jobs:
        yield ok("no running job lists this account")


def _until(case: Case, until_s: int, now_s: int, mend: str) -> Finding:
    """Until when, with a warning if that is soon, or before a job may end."""
    if until_s - now_s < NOTICE_S:
        return warning(f"it ends on {_day(until_s)}; {mend}")
    early = next((own for own in case.own_jobs if own.latest_end_s > until_s), None)
    if early is not None:
        return warning(f"it ends on {_day(until_s)}, job {early.job} may last until {_day(early.latest_end_s)}; {mend}")
    return ok(f"until {_day(until_s)}")


def _day(time_s: int) -> str:
    # Whoever attests for ever writes the largest number of 40 bits, which no calendar knows.
    last = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())
    return datetime.fromtimestamp(min(time_s, last), UTC).strftime("%Y-%m-%d %H:%M UTC")
