"""The contract's gate at any moment of the past, from the registries' events: no endpoint keeps old states for long."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from domicile.chain import events as ev
from domicile.lineage.registry import follow_registry
from domicile.participation import Gate
from domicile.protocol.eligibility import Refusal, Requirement
from domicile.protocol.registry import Registry
from domicile.types import Address, JurisdictionCode, ShardIndex


class PastGate:
    """Reads `events` again whenever it is asked: more may be appended to them in the meantime."""

    def __init__(self, events: Sequence[ev.Event], time_of: Callable[[int], int]) -> None:
        """`time_of` gives the chain's time of a block in seconds."""
        self._events = events
        self._time_of = time_of
        self._registry = Registry()
        self._num_followed = 0
        self._block = -1
        self._known: dict[tuple[Address, Requirement, int], Refusal] = {}

    def refusal(self, account: Address, requirement: Requirement, block: int) -> Refusal:
        """What the gate answered at the end of a block.

        Raises:
            LineageError: the events are none that the registries can have told.
        """
        key = (account, requirement, block)
        if key not in self._known:
            self._known[key] = self._at(block).refusal(account, requirement, self._time_of(block))
        return self._known[key]

    def of_shards(self, requirements: Sequence[Requirement]) -> Gate:
        """The gate of a job, by what each of its shards demands."""

        def refused(account: Address, shard: ShardIndex, block: int) -> str:
            reason = self.refusal(account, requirements[shard], block)
            return "" if reason is Refusal.NONE else reason.name.lower()

        return refused

    def refusal_now(self, account: Address, requirement: Requirement, block: int, now_s: int) -> Refusal:
        """What it answers after the newest block, at a time of its own."""
        return self._at(block).refusal(account, requirement, now_s)

    def place_of(self, account: Address, block: int) -> JurisdictionCode:
        """Where an account was attested last; empty for one that never was, or whose attestation was revoked."""
        registry = self._at(block)
        return JurisdictionCode(registry.places.codes[registry.standing_of(account).jurisdiction])

    def _at(self, block: int) -> Registry:
        """The registries at the end of a block; going forward costs least."""
        if block < self._block:
            self._registry, self._num_followed = Registry(), 0
        self._block = block
        for event in self._events[self._num_followed :]:
            if event.block > block:
                break
            self._registry = follow_registry(self._registry, event, self._time_of(event.block))
            self._num_followed += 1
        return self._registry
