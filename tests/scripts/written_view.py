"""Views of jobs that the pure rules drive, with a gate that refuses whom a test names."""

from __future__ import annotations

from collections.abc import Mapping

from domicile.participation import Gate
from domicile.protocol.eligibility import Refusal
from domicile.types import JurisdictionCode
from scripts.view import JobView
from scripts.viewing import Sight
from tests.written_job import WrittenJob, address_of, names_of


class NamedGate:
    """A gate that always answered as it does now."""

    def __init__(self, refused: Mapping[str, Refusal]) -> None:
        self._refused = {address_of(name): reason for name, reason in refused.items()}

    def refusal_now(self, account, requirement, block, now_s) -> Refusal:
        return self._refused.get(account, Refusal.NONE)

    def of_shards(self, requirements) -> Gate:
        return lambda account, shard, block: self._refused[account].name.lower() if account in self._refused else ""

    def place_of(self, account, block) -> JurisdictionCode:
        return JurisdictionCode("DE")


class Names(dict):
    """Every account has the name that it was made of."""

    def get(self, account, default=None) -> str:
        return names_of([account])[0]


def view_of(job: WrittenJob, **refused: Refusal) -> JobView:
    """Names of refused parties have underscores where a keyword cannot have a dash."""
    return Sight(
        history=job.history(),
        state=job.job.state,
        shards=job.job.shards,
        requirements=[job.job.requirement(0), job.job.requirement(1), job.job.global_requirement()],
        gate=NamedGate({name.replace("_", "-"): reason for name, reason in refused.items()}),
        time_of=job.time_of,
        block=job.block,
        now_s=job.now_s,
        names=Names(),
    ).view("written")
