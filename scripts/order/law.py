"""Whether an order stands with the law of its network: places, tiers, and who may take part now."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from domicile.protocol.complaint import ContractRefusal
from domicile.protocol.eligibility import Refusal
from domicile.protocol.jurisdiction import Jurisdictions
from domicile.types import Address
from scripts.doctor.finding import Finding, ok, problem, warning
from scripts.order.draft import Draft
from scripts.registry import not_listed
from scripts.sandbox.admission import Gate
from scripts.wording import counted, spaced


def places(draft: Draft) -> Iterator[Finding]:
    """Whether every place is listed on chain, no shard lies inside another, and each can have members."""
    law, file = draft.record.registry.places, draft.file
    unknown = [(key, code) for key in ("shards", "denied") for code in getattr(file, key) if code not in law.codes]
    for key, code in unknown:
        yield problem(f"{key}: {not_listed(law, code)}")
    if unknown:
        return
    for code in file.shards:
        yield _shard(draft, law, code)


def _shard(draft: Draft, law: Jurisdictions, code: str) -> Finding:
    closure = law.closures[law.codes.index(code)]
    outer = next((one for one in draft.file.shards if one != code and closure >> law.codes.index(one) & 1), None)
    if outer is not None:
        return problem(f"shards: {code!r} lies inside {outer!r}; no shard may lie inside another: remove one")
    told = Gate(places=law, job=draft.file).shard_problem(code)
    if told is not None:
        return problem(told)
    return ok(f"{code}: listed, tier {law.strictest(law.codes.index(code)).name.lower()}")


def contract(draft: Draft) -> Iterator[Finding]:
    """Whether the contract would create the job; the checks above name most causes in the words of the file."""
    if isinstance(draft.job, ContractRefusal):
        yield problem(f"the contract would refuse the job: {draft.job}")
    else:
        yield ok("the contract would create the job")


def participants(draft: Draft) -> Iterator[Finding]:
    """Whether each shard has as many accounts as it needs that the gate admits now.

    No more than a warning: nodes may register, be attested and be cleared until the join window ends.
    """
    if isinstance(draft.job, Exception):
        return
    for index, code in enumerate(draft.file.shards):
        reasons = _reasons(draft, index)
        admitted = reasons.pop(Refusal.NONE, 0)
        needed = max(draft.file.participation.min_nodes, draft.file.participation.min_contributors)
        told = f"{code}: the gate admits {counted(admitted, 'account')} now, {needed} are needed"
        if reasons:
            told += f" (refused: {', '.join(f'{number} {spaced(one.name)}' for one, number in reasons.items())})"
        if admitted >= needed:
            yield ok(told)
        else:
            yield warning(
                f"{told}; more must register, be attested and be cleared before the join window of "
                f"{draft.file.rounds.join_window_s} s ends, or the shard cannot take part"
            )


def _reasons(draft: Draft, index: int) -> Counter[Refusal]:
    """The gate's answers for all who could become members; of those who are elsewhere nobody needs to hear."""
    registry, now_s = draft.record.registry, draft.record.now_s
    assert not isinstance(draft.job, Exception)  # noqa: S101
    requirement = draft.job.requirement(index)
    found = Counter(
        registry.refusal(account, requirement, now_s) for account in registry.key_cards if _may_train(draft, account)
    )
    found.pop(Refusal.OUTSIDE_SHARD, None)
    return found


def _may_train(draft: Draft, account: Address) -> bool:
    """Members of a committee are registered and attested like nodes, and hold no data."""
    return account != draft.owner and all(account not in one.members for one in draft.committees.values())
