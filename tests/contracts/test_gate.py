"""The gate under random lives of a network: the contract, its twin, and what must hold whatever happened before."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, replace
from enum import IntEnum
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from domicile.protocol import refusals
from domicile.protocol import registry as acts
from domicile.protocol.complaint import ContractRefusal
from domicile.protocol.eligibility import Refusal, Requirement, Safeguard, Sensitivity
from domicile.protocol.jurisdiction import Tier
from domicile.protocol.listing import index_of, list_place
from domicile.protocol.registry import Registry
from domicile.types import Address, JurisdictionCode
from tests.contracts.ground import Ground, Reverted, code, word

PARENT = {"EU": "", "DE": "EU", "FR": "EU", "US": "", "US-CA": "US", "US-NY": "US", "IN": "", "BR": "", "DE-BE": "DE"}
"""In the order of their indices; the last one is added to the settled ground, for a path of three."""

ROOTS = ("EU", "US", "IN", "BR")
NUM_NODES = 3
NUM_SIGNERS = 9
"""Seven attesters of the settled ground, and two accounts that are none at first."""

PLACES = st.sampled_from(["EU", "DE", "DE", "DE-BE", "FR", "US", "ZZ"])
NODES = st.integers(0, NUM_NODES - 1)
SIGNERS = st.integers(0, NUM_SIGNERS - 1)
SOON = st.sampled_from([1, 50, 100, 400, 1000])


@dataclass(frozen=True)
class Accepted:
    """An attestation as the test remembers it; an attester who was removed and added again is another one."""

    place: str
    quorum: int
    signers: frozenset[tuple[str, int]]
    valid_from_s: int
    valid_until_s: int


REACHED = {
    "register", "updateKeyCard", "retire", "attest", "replay", "revokeAttestation", "addAttester", "removeAttester",
    "setQuorum", "raiseQuorum", "tighten", "loosen", "clear", "withdrawClearance", "suspend", "reinstate",
    "AlreadyRegistered", "UnknownNode", "WrongNonce", "OutsideValidity", "UnknownJurisdiction", "TooFewSignatures",
    "SignersNotAscending", "NotAttesterFor", "NotAttested", "NotHigher", "InvalidQuorum", "NotTighter", "NotLooser",
    "signers gone",
}  # fmt: skip
"""Acts and refusals without which the random lives would show nothing."""


def requirements(places: Iterable[str]) -> list[Requirement]:
    bit = {place: 1 << index for index, place in enumerate(places, 1)}
    base = Requirement(
        allowed=bit["EU"],
        denied=0,
        max_tier=Tier.OPEN,
        sensitivity=Sensitivity.PUBLIC,
        safeguards=Safeguard.NONE,
    )
    return [
        base,
        replace(base, max_tier=Tier.HIGH_RISK, denied=bit["FR"], sensitivity=Sensitivity.SPECIAL),
        replace(base, max_tier=Tier.CONDITIONAL, allowed=bit["DE"], safeguards=Safeguard.TEE),
        replace(base, max_tier=Tier.HIGH_RISK, allowed=2**256 - 2),
        replace(base, max_tier=Tier.PROHIBITED, allowed=bit["US"] | bit["DE-BE"]),
    ]


def path_of(place: str) -> list[str]:
    return [place, *path_of(PARENT[place])] if place else []


def told(refusal: ContractRefusal) -> tuple[str, tuple[Any, ...]]:
    """A refusal of the twin's as the contract tells it."""
    values = (
        code(value) if name in {"code", "jurisdiction"} else int(value) if isinstance(value, IntEnum) else value
        for name, value in vars(refusal).items()
    )
    return type(refusal).__name__, tuple(values)


def change_tier(registry: Registry, guardian: Address | None, place: str, tier: Tier) -> Registry:
    """Tightens as an account that may be no guardian, or loosens as governance, which is nobody."""
    if guardian is not None and guardian not in registry.guardians:
        raise refusals.NotGuardian(account=guardian)
    current = registry.places.tiers[index_of(registry.places, JurisdictionCode(place))]
    if tier is Tier.UNLISTED:
        raise refusals.InvalidTier(tier=tier)
    if guardian is not None and tier <= current:
        raise refusals.NotTighter(code=place, current=current, requested=tier)
    if guardian is None and tier >= current:
        raise refusals.NotLooser(code=place, current=current, requested=tier)
    return replace(registry, places=registry.places.with_tier(place, tier))


def attest(registry: Registry, statement: dict[str, Any], signers: list[str], now_s: int) -> Registry:
    """The twin's act after a look at who signed, in the order given: the twin knows only masks."""
    place = statement["jurisdiction"].rstrip(b"\0").decode()
    held = [registry.attesters.get(Address(signer)) for signer in signers]
    flaw: ContractRefusal | None = None
    previous = "0x" + "0" * 40
    for signer, attester in zip(signers, held, strict=True):
        if int(signer, 16) <= int(previous, 16):
            flaw = flaw or refusals.SignersNotAscending(previous=previous, signer=signer)
        index = registry.places.codes.index(place) if place in registry.places.codes else 0
        if attester is None or not attester.scope & registry.places.closures[index]:
            flaw = flaw or refusals.NotAttesterFor(signer=signer, jurisdiction=place)
        previous = signer
    try:
        after = acts.attest(
            registry,
            Address(statement["node"]),
            JurisdictionCode(place),
            valid_from_s=statement["validFrom"],
            valid_until_s=statement["validUntil"],
            nonce=statement["nonce"],
            attesters=sum({1 << attester.index for attester in held if attester is not None}),
            now_s=now_s,
        )
    except (refusals.TooFewSignatures, refusals.NotAttesterFor) as exc:
        required = registry.quorum_of(index_of(registry.places, JurisdictionCode(place)))
        if len(signers) < required:
            raise refusals.TooFewSignatures(required=required, given=len(signers)) from exc
        raise (flaw or exc) from exc
    if flaw is not None:
        raise flaw
    return after


class Gate(RuleBasedStateMachine):
    """Every rule does one act on the contract and on the twin, with equal outcome; the test keeps its own memory."""

    ground: ClassVar[Ground]
    seen: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        self.chain = self.ground.chain
        self.then, self.snapshot = self.chain.now, self.chain.rpc("evm_snapshot")
        self.nodes = self.ground.people[:NUM_NODES]
        self.signers = [*self.ground.attesters, *self.ground.people[NUM_NODES : NUM_NODES + 2]]
        self.twin = Registry(guardians=frozenset({Address(self.ground.governor)}))
        for place, parent in PARENT.items():
            listed = list_place(self.twin.places, JurisdictionCode(place), JurisdictionCode(parent), Tier.OPEN)
            self.twin = replace(self.twin, places=listed)
        for root in ROOTS:
            self.twin = acts.set_quorum(self.twin, JurisdictionCode(root), 1)
        for attester in self.ground.attesters:
            self.twin = acts.add_attester(self.twin, Address(attester), self.mask(ROOTS))
        self.ground.list_place("DE-BE", "DE")
        self.tiers = dict.fromkeys(PARENT, Tier.OPEN)
        self.quorums = dict.fromkeys(ROOTS, 1)
        self.times_added = Counter(self.ground.attesters)
        self.present = {(attester, 1) for attester in self.ground.attesters}
        self.accepted: dict[str, Accepted] = {}
        self.papers: dict[str, tuple[dict[str, Any], list[bytes]]] = {}
        self.used_nonces: dict[str, set[int]] = {node: set() for node in self.nodes}
        self.change_quorum("EU", 2, True)
        self.change_quorum("DE-BE", 3, True)
        for who, place, signers in ((0, "DE", [0, 1]), (1, "DE-BE", [0, 1, 2])):
            self.register(who, 7)
            self.attest(who, place, signers, 0, 1000, 0, "sorted")

    def teardown(self) -> None:
        self.chain.rpc("evm_revert", self.snapshot)
        self.chain.now = self.then

    def mask(self, places: Iterable[str]) -> int:
        return sum({1 << index_of(self.twin.places, JurisdictionCode(place)) for place in places})

    def act(self, sender: str, function: str, *arguments: Any, twin: Callable[[], Registry]) -> dict[str, Any] | None:
        """Values of the one event, or nothing where both refuse in the same words."""
        expected, given, after = None, None, self.twin
        try:
            after = twin()
        except ContractRefusal as refusal:
            expected = told(refusal)
        data = self.ground.nodes.data(function, *arguments)
        try:
            self.chain.call(self.ground.nodes.address, data, sender)
        except Reverted as refusal:
            given = (refusal.name, refusal.arguments)
        assert given == expected, f"{function}{arguments}: contract {given}, twin {expected}"
        self.seen[expected[0] if expected else function] += 1
        if expected is not None:
            return None
        (event,) = self.chain.transact(sender, self.ground.nodes.address, data).events
        self.twin = after
        return event.values

    def govern(self, function: str, *arguments: Any, twin: Callable[[], Registry]) -> dict[str, Any] | None:
        return self.act(self.ground.governor, function, *arguments, twin=twin)

    @rule(seconds=st.sampled_from([1, 49, 50, 300]))
    def time_passes(self, seconds: int) -> None:
        self.chain.pass_s(seconds)

    @rule(who=NODES, safeguards=st.sampled_from([0, 3, 7]))
    def register(self, who: int, safeguards: int) -> None:
        node, card, offered = self.nodes[who], word(11), Safeguard(safeguards)
        self.act(node, "register", card, safeguards, twin=lambda: acts.register(self.twin, node, card, offered))

    @rule(who=NODES, card=st.sampled_from([word(12), word(13), bytes(32)]), safeguards=st.sampled_from([0, 3, 7]))
    def update_key_card(self, who: int, card: bytes, safeguards: int) -> None:
        node, offered = self.nodes[who], Safeguard(safeguards)
        self.act(
            node, "updateKeyCard", card, safeguards,
            twin=lambda: acts.update_key_card(self.twin, node, card, offered),
        )  # fmt: skip

    @rule(who=NODES)
    def retire(self, who: int) -> None:
        node = self.nodes[who]
        if self.act(node, "retire", twin=lambda: acts.retire(self.twin, node)):
            self.accepted.pop(node, None)

    @rule(
        who=NODES,
        place=PLACES,
        signers=st.lists(SIGNERS, min_size=0, max_size=5, unique=True),
        start_s=st.sampled_from([0, 0, 0, -10, 20]),
        lasting_s=SOON,
        ahead=st.sampled_from([0, 0, 0, 0, 1]),
        order=st.sampled_from(["sorted", "sorted", "sorted", "one twice", "backwards"]),
    )
    def attest(
        self, who: int, place: str, signers: list[int], start_s: int, lasting_s: int, ahead: int, order: str
    ) -> None:
        node, now = self.nodes[who], self.chain.now
        statement = self.ground.attestation(node, place, validFrom=now + start_s, validUntil=now + start_s + lasting_s)
        statement["nonce"] += ahead
        names = sorted((self.signers[one] for one in signers), key=lambda account: int(account, 16))
        names = {"sorted": names, "one twice": [*names[:1], *names], "backwards": names[::-1]}[order]
        papers = [signature for name in names for signature in self.ground.sign(statement, [name])]
        event = self.act(
            node, "attest", statement, papers, twin=lambda: attest(self.twin, statement, names, now)
        )  # fmt: skip
        if event is not None:
            nearest = next(self.quorums[one] for one in path_of(place) if one in self.quorums)
            by = frozenset((name, self.times_added[name]) for name in names)
            self.accepted[node] = Accepted(place, nearest, by, statement["validFrom"], statement["validUntil"])
            self.papers[node] = (statement, papers)
            self.use_nonce(node, event["nonce"])
            assert event["attesters"].bit_count() == len(by) == len(papers) >= nearest

    @rule(who=NODES)
    def replay(self, who: int) -> None:
        """An attestation that was accepted once never is again."""
        node = self.nodes[who]
        if node in self.papers:
            statement, papers = self.papers[node]
            with pytest.raises(Reverted) as refusal:
                self.chain.call(self.ground.nodes.address, self.ground.nodes.data("attest", statement, papers))
            assert refusal.value.name == ("WrongNonce" if node in self.twin.key_cards else "UnknownNode")
            self.seen["replay"] += 1

    @rule(who=NODES, signer=SIGNERS)
    def revoke_attestation(self, who: int, signer: int) -> None:
        node, by = self.nodes[who], self.signers[signer]
        twin = lambda: acts.revoke_attestation(self.twin, node, by)  # noqa: E731
        event = self.act(by, "revokeAttestation", node, word(8), twin=twin)
        if event is not None:
            del self.accepted[node]
            self.use_nonce(node, event["nonce"])

    @rule(data=st.data(), places=st.lists(PLACES, max_size=2))
    def add_attester(self, data: st.DataObject, places: list[str]) -> None:
        """Mostly of an account that is none."""
        absent = [account for account in self.signers if account not in self.twin.attesters]
        account = data.draw(st.sampled_from([*absent, *absent, self.signers[0]]))
        if self.govern(
            "addAttester", account, [code(place) for place in places],
            twin=lambda: acts.add_attester(self.twin, account, self.scope(account, places)),
        ):  # fmt: skip
            self.times_added[account] += 1
            self.present.add((account, self.times_added[account]))

    def scope(self, account: str, places: list[str]) -> int:
        """Places are looked at only where the account is none yet."""
        return 0 if account in self.twin.attesters else self.mask(places)

    @rule(signer=st.sampled_from([0, 1, 0, 1, *range(NUM_SIGNERS)]))
    def remove_attester(self, signer: int) -> None:
        account = self.signers[signer]
        if self.govern("removeAttester", account, twin=lambda: acts.remove_attester(self.twin, account)):
            self.present.remove((account, self.times_added[account]))

    @rule(place=PLACES, quorum=st.sampled_from([0, 1, 2, 2, 3, 65]), up=st.booleans())
    def change_quorum(self, place: str, quorum: int, up: bool) -> None:
        function, twin = ("raiseQuorum", acts.raise_quorum) if up else ("setQuorum", acts.set_quorum)
        held = JurisdictionCode(place)
        if self.govern(function, code(place), quorum, twin=lambda: twin(self.twin, held, quorum)):
            self.quorums[place] = quorum

    @rule(
        place=PLACES,
        tier=st.sampled_from([Tier.HIGH_RISK, Tier.OPEN, Tier.CONDITIONAL, *Tier]),
        by_guardian=st.sampled_from([True, True, True, False]),
    )
    def tighten(self, place: str, tier: Tier, by_guardian: bool) -> None:
        account = Address(self.ground.governor if by_guardian else self.nodes[0])
        twin = lambda: change_tier(self.twin, account, place, tier)  # noqa: E731
        if self.act(account, "tighten", code(place), int(tier), word(1), twin=twin):
            self.tiers[place] = tier

    @rule(data=st.data(), tier=st.sampled_from([Tier.OPEN, Tier.OPEN, Tier.CONDITIONAL, *Tier]))
    def loosen(self, data: st.DataObject, tier: Tier) -> None:
        """Mostly of a place that is strict, which is made so first where there is none."""
        if set(self.tiers.values()) == {Tier.OPEN}:
            self.tighten("DE", Tier.HIGH_RISK, True)
        strict = [place for place, held in self.tiers.items() if held is not Tier.OPEN]
        place = data.draw(st.sampled_from([*strict, *strict, "FR", "ZZ"]))
        twin = lambda: change_tier(self.twin, None, place, tier)  # noqa: E731
        if self.govern("loosen", code(place), int(tier), word(1), twin=twin):
            self.tiers[place] = tier

    @rule(who=NODES, clearance=st.sampled_from(Sensitivity), lasting_s=st.sampled_from([0, 50, 1000]))
    def clear(self, who: int, clearance: Sensitivity, lasting_s: int) -> None:
        node, now = self.nodes[who], self.chain.now
        self.govern(
            "clear", node, int(clearance), word(2), now + lasting_s,
            twin=lambda: acts.clear(self.twin, node, clearance, now + lasting_s, now),
        )  # fmt: skip

    @rule(who=NODES)
    def withdraw_clearance(self, who: int) -> None:
        node = self.nodes[who]
        self.govern("withdrawClearance", node, word(2), twin=lambda: acts.withdraw_clearance(self.twin, node))

    @rule(who=NODES, in_vain=st.sampled_from([False, False, True]))
    def suspend_or_reinstate(self, who: int, in_vain: bool) -> None:
        node = self.nodes[who]
        lift = self.twin.standing_of(Address(node)).suspended is not in_vain
        function, twin = ("reinstate", acts.reinstate) if lift else ("suspend", acts.suspend)
        self.govern(function, node, word(3), twin=lambda: twin(self.twin, node))

    def use_nonce(self, node: str, nonce: int) -> None:
        assert nonce not in self.used_nonces[node]
        self.used_nonces[node].add(nonce)

    @invariant()
    def the_contract_keeps_what_the_twin_keeps(self) -> None:
        for node in self.nodes:
            kept = self.ground.nodes.call("standingOf", node)
            assert tuple(kept.values()) == tuple(asdict(self.twin.standing_of(Address(node))).values())
            assert kept["nonce"] == len(self.used_nonces[node])

    @invariant()
    def the_gate_answers_as_the_twin_and_never_lets_in_whom_it_must_not(self) -> None:
        for node in self.nodes:
            for requirement in requirements(PARENT):
                reason, place = self.ground.nodes.call("eligibility", node, *asdict(requirement).values())
                assert reason == self.twin.refusal(Address(node), requirement, self.chain.now)
                assert place == self.twin.standing_of(Address(node)).jurisdiction
                self.seen[Refusal(reason).name] += 1
                if reason == Refusal.NONE:
                    self.check_by_memory(node, requirement)
            held = self.accepted.get(node)
            if held is not None and held.valid_from_s <= self.chain.now < held.valid_until_s:
                self.seen["signers gone"] += len(held.signers & self.present) < held.quorum

    def check_by_memory(self, node: str, requirement: Requirement) -> None:
        """Whoever is let in could be, by what the test remembers of every act before."""
        held, path = self.accepted[node], path_of(self.accepted[node].place)
        assert held.valid_from_s <= self.chain.now < held.valid_until_s
        assert len(held.signers & self.present) >= held.quorum
        assert all(self.tiers[place] <= requirement.max_tier for place in path)
        assert self.mask(path) & requirement.allowed
        assert not self.mask(path) & requirement.denied


@pytest.mark.slow
def test_the_gate_holds_whatever_happened_before(ground: Ground) -> None:
    class OnGround(Gate):
        pass

    OnGround.ground, OnGround.seen = ground, Counter()
    run_state_machine_as_test(
        OnGround,
        settings=settings(
            max_examples=30,
            stateful_step_count=25,
            deadline=None,
            database=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
            # No shrinking, which would outlast the time limit: 25 acts can be read.
            phases=[Phase.generate],
        ),
    )
    assert {*REACHED, *Refusal.__members__} - (+OnGround.seen).keys() == set()
