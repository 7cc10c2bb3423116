"""Whom the contract will admit, as far as both files tell: a job that can never start is refused before anything is."""

from __future__ import annotations

from dataclasses import dataclass

from domicile.protocol.budget import Budget
from domicile.protocol.eligibility import Refusal, Sensitivity
from domicile.protocol.jurisdiction import Jurisdictions, Tier
from domicile.protocol.refusals import BudgetExceeded
from scripts.job_file import JobFile
from scripts.network_file import NetworkFile, NodeEntry


@dataclass(frozen=True, kw_only=True)
class Gate:
    """The contract's gate, with the places and the clearances that ``network.toml`` gives."""

    places: Jurisdictions
    job: JobFile

    def shard_problem(self, code: str) -> str | None:
        """Key, rule and mend of a shard that nobody can join, as a line about ``job.toml``."""
        index = self.places.codes.index(code)
        denied = next((one for one in self.job.denied if self._contains(one, code)), None)
        if denied is not None:
            return f"denied: {denied!r} keeps all of shard {code!r} out; remove the one or the other"
        strictest = self.places.strictest(index)
        if strictest is Tier.PROHIBITED:
            return (
                f"shards: {code!r} is prohibited by its tier, or lies in a place that is, so that it can have no "
                "member; remove the shard or change the tier"
            )
        if strictest > self.job.strictest_tier:
            return (
                f"max_tier: shard {code!r} is of tier {strictest.name.lower()!r}, above {self.job.max_tier!r}, so that "
                "it can have no member; raise max_tier or remove the shard"
            )
        return None

    def granted(self, node: NodeEntry) -> Budget:
        """What the owner of a node's data grants, where the job asks for privacy."""
        asked, given = self.job.reserved, Budget.within(node.epsilon or 0.0, node.delta or 0.0)
        return Budget(
            epsilon_micros=asked.epsilon_micros if node.epsilon is None else given.epsilon_micros,
            delta_attos=asked.delta_attos if node.delta is None else given.delta_attos,
        )

    def refusal(self, node: NodeEntry, shard: str) -> Refusal:
        """Why a node of a shard will be refused."""
        allowed = 1 << self.places.codes.index(shard)
        denied = sum(1 << self.places.codes.index(code) for code in self.job.denied)
        index = self.places.codes.index(node.jurisdiction)
        inside, tier_allows = self.places.gate(index, allowed, denied, self.job.strictest_tier)
        wanted = self.job.sensitivity_class
        cleared = wanted is Sensitivity.PUBLIC or Sensitivity[node.clearance.upper()] >= wanted
        if not inside:
            return Refusal.OUTSIDE_SHARD
        if not tier_allows:
            return Refusal.TIER_FORBIDS
        return Refusal.NONE if cleared else Refusal.NOT_CLEARED

    def complaint(self, node: NodeEntry, shard: str) -> str:
        """The name of the contract's refusal of a node of a shard; empty where it would admit it."""
        refusal = self.refusal(node, shard)
        if refusal is not Refusal.NONE:
            return refusal.name
        return "" if self.granted(node).holds(self.job.reserved) else BudgetExceeded.__name__

    def _contains(self, outer: str, inner: str) -> bool:
        closure = self.places.closures[self.places.codes.index(inner)]
        return bool(closure >> self.places.codes.index(outer) & 1)


def open_gate(network: NetworkFile, job: JobFile) -> Gate:
    """The gate over the places that a network lists."""
    places = Jurisdictions()
    for entry in network.jurisdictions:
        places = places.list(entry.code, entry.parent, Tier[entry.tier.upper()])
    return Gate(places=places, job=job)
