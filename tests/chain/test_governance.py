"""Tightening is immediate, loosening waits: on a real chain, with the roles of a deployment in earnest."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest

from domicile.chain.account import Signer
from domicile.chain.artifacts import load_artifacts
from domicile.chain.client import Chain
from domicile.chain.codec import selector
from domicile.chain.contracts import Jurisdictions, Nodes
from domicile.chain.deployment import Deployment, deploy
from domicile.chain.devnet import DEVELOPMENT_MNEMONIC, Devnet
from domicile.chain.governance import DELAYED_ROLES, FUNCTIONS, AccessRoles, DelayedActs, Role, operation_id
from domicile.chain.sender import Call, Sender
from domicile.errors import Refused
from domicile.protocol.jurisdiction import Tier
from domicile.protocol.refusals import (
    AccessManagedUnauthorized,
    AccessManagerAlreadyScheduled,
    AccessManagerExpired,
    AccessManagerNotReady,
    AccessManagerNotScheduled,
    AccessManagerUnauthorizedAccount,
    AccessManagerUnauthorizedCall,
    AccessManagerUnauthorizedCancel,
    NotGuardian,
    NotHigher,
)
from domicile.types import Address, Digest, JurisdictionCode

DELAY_S = 3600
EXPIRY_S = 7 * 24 * 3600
ZEROS_BYTES = 512
DIGEST = Digest(b"\1" * 32)
DE = JurisdictionCode("DE")
ATTESTER, NEWCOMER, GUARDIAN, STRANGER = (Signer.from_key(bytes([number]) * 32) for number in range(1, 5))


@dataclass
class State:
    """A network in which DE is conditional, with a quorum of 2, an attester, a guardian who cancels, and a delay."""

    chain: Chain
    deployment: Deployment

    def __post_init__(self) -> None:
        self.governor = self.as_account(Signer.from_mnemonic(DEVELOPMENT_MNEMONIC))
        self.guardian, self.stranger = self.as_account(GUARDIAN), self.as_account(STRANGER)
        self.places = Jurisdictions(self.chain, self.deployment)
        self.nodes = Nodes(self.chain, self.deployment)
        self.roles = AccessRoles(self.deployment.access_manager)
        self.delayed = DelayedActs(self.chain, self.deployment.access_manager)

    def as_account(self, signer: Signer) -> Sender:
        return Sender(self.chain, signer)

    def to(self, time_s: int) -> None:
        self.chain.request("evm_setNextBlockTimestamp", time_s)
        self.chain.request("evm_mine")

    def ready_at_s(self, call: Call) -> int:
        ready_at_s = self.delayed.ready_at_s(self.governor.address, call)
        assert ready_at_s is not None
        return ready_at_s

    def scheduled(self, call: Call) -> Call:
        self.governor.act(self.delayed.schedule(call))
        return call

    def slowing_down(self) -> list[Call]:
        """The governor imposes the delay on itself, its administration last."""
        ordered = sorted(DELAYED_ROLES, reverse=True)
        return [self.roles.grant(role, self.governor.address, delay_s=DELAY_S) for role in ordered]

    def loosening(self) -> Call:
        return self.places.loosen(DE, Tier.OPEN, DIGEST)

    def is_attester(self, account: Address) -> bool:
        try:
            self.nodes.attester_of(account)
        except Refused:
            return False
        return True


def settle(chain: Chain) -> Deployment:
    """As a deployment in earnest begins: everything appointed without a delay, which comes last."""
    state = State(chain, deploy(chain, Sender(chain, Signer.from_mnemonic(DEVELOPMENT_MNEMONIC)), loosening_delay_s=0))
    for signer in (GUARDIAN, STRANGER):
        state.governor.wait(state.governor.transfer(signer.address, 10**18))
    for call in (
        state.places.list(DE, None, Tier.CONDITIONAL, DIGEST),
        state.nodes.add_attester(ATTESTER.address, [DE]),
        state.nodes.set_quorum(DE, 2),
        state.places.set_guardian(GUARDIAN.address, True),
        state.roles.grant(Role.CANCELLER, GUARDIAN.address),
        *state.slowing_down(),
    ):
        state.governor.act(call)
    return state.deployment


@pytest.fixture(scope="module")
def settled() -> Iterator[tuple[Chain, Deployment]]:
    with Devnet() as devnet:
        chain = Chain(devnet.rpc_url)
        yield chain, settle(chain)


@pytest.fixture
def state(settled: tuple[Chain, Deployment]) -> Iterator[State]:
    chain, deployment = settled
    snapshot = chain.request("evm_snapshot")
    yield State(chain, deployment)
    chain.request("evm_revert", snapshot)


LOOSENING: dict[str, tuple[Callable[[State], Call], Callable[[State], bool]]] = {
    "loosen": (State.loosening, lambda state: state.places.tier_of(DE) is Tier.OPEN),
    "addAttester": (
        lambda state: state.nodes.add_attester(NEWCOMER.address, [DE]),
        lambda state: state.is_attester(NEWCOMER.address),
    ),
    "setQuorum": (lambda state: state.nodes.set_quorum(DE, 1), lambda state: state.nodes.quorum_of(DE) == 1),
    "setGuardian": (
        lambda state: state.places.set_guardian(GUARDIAN.address, False),
        lambda state: not state.places.is_guardian(GUARDIAN.address),
    ),
}
"""Each act that waits, and how its effect shows."""


def refusal_of(state: State, function: Mapping[str, Any]) -> type[Refused] | None:
    """Why a stranger may not call it with zeros for everything: an offset of zero leads to an empty list."""
    try:
        state.chain.call(
            state.deployment.node_registry, selector(function) + bytes(ZEROS_BYTES), sender=STRANGER.address
        )
    except Refused as refusal:
        return type(refusal)
    return None


def test_every_function_that_needs_a_role_belongs_to_the_one_it_is_listed_under(state: State) -> None:
    functions = [entry for entry in load_artifacts()["NodeRegistry"].abi if entry["type"] == "function"]
    restricted = {e["name"] for e in functions if refusal_of(state, e) is AccessManagedUnauthorized}
    # Only the AccessManager itself may replace the AccessManager.
    assert restricted == {name for names in FUNCTIONS.values() for name in names} | {"setAuthority"}
    assert set(LOOSENING) == set(FUNCTIONS[Role.LOOSENER])


@pytest.mark.parametrize(("act", "shows"), LOOSENING.values(), ids=LOOSENING)
def test_what_loosens_is_refused_until_it_was_scheduled_and_its_delay_is_over(
    state: State, act: Callable[[State], Call], shows: Callable[[State], bool]
) -> None:
    call = act(state)
    named = operation_id(state.governor.address, call)
    for attempt in (call, state.delayed.execute(call)):
        with pytest.raises(AccessManagerNotScheduled) as unscheduled:
            state.governor.act(attempt)
        assert unscheduled.value.operation_id == named
    state.scheduled(call)
    ready_at_s = state.ready_at_s(call)
    assert ready_at_s == state.chain.timestamp() + DELAY_S
    state.to(ready_at_s - 1)
    for attempt in (call, state.delayed.execute(call)):
        with pytest.raises(AccessManagerNotReady) as early:
            state.governor.act(attempt)
        assert early.value.operation_id == named
    assert not shows(state)
    state.to(ready_at_s)
    state.governor.act(state.delayed.execute(call))
    assert shows(state)
    assert state.delayed.ready_at_s(state.governor.address, call) is None
    with pytest.raises(AccessManagerNotScheduled):
        state.governor.act(state.delayed.execute(call))


def test_what_was_scheduled_and_not_done_within_a_week_expires_and_can_be_scheduled_anew(state: State) -> None:
    call = state.scheduled(state.loosening())
    state.to(state.ready_at_s(call) + EXPIRY_S)
    with pytest.raises(AccessManagerExpired) as late:
        state.governor.act(state.delayed.execute(call))
    assert late.value.operation_id == operation_id(state.governor.address, call)
    assert state.delayed.ready_at_s(state.governor.address, call) is None
    state.scheduled(call)
    state.to(state.ready_at_s(call))
    state.governor.act(state.delayed.execute(call))
    assert state.places.tier_of(DE) is Tier.OPEN


def test_a_canceller_stops_what_was_scheduled_and_a_stranger_does_not(state: State) -> None:
    call = state.scheduled(state.loosening())
    ready_at_s = state.ready_at_s(call)
    stop = state.delayed.cancel(state.governor.address, call)
    with pytest.raises(AccessManagerUnauthorizedCancel) as refused:
        state.stranger.act(stop)
    assert (refused.value.msgsender, refused.value.caller) == (STRANGER.address, state.governor.address)
    assert (refused.value.target, refused.value.selector) == (state.deployment.node_registry, call.data[:4])
    state.guardian.act(stop)
    assert state.delayed.ready_at_s(state.governor.address, call) is None
    state.to(ready_at_s)
    with pytest.raises(AccessManagerNotScheduled):
        state.governor.act(state.delayed.execute(call))
    assert state.places.tier_of(DE) is Tier.CONDITIONAL


def test_tightening_is_immediate_while_a_loosening_waits(state: State) -> None:
    call = state.scheduled(state.loosening())
    state.guardian.act(state.places.tighten(DE, Tier.PROHIBITED, DIGEST))
    state.governor.act(state.nodes.raise_quorum(DE, 3))
    state.governor.act(state.nodes.remove_attester(ATTESTER.address))
    assert (state.places.tier_of(DE), state.nodes.quorum_of(DE)) == (Tier.PROHIBITED, 3)
    assert not state.is_attester(ATTESTER.address)
    with pytest.raises(NotHigher) as lower:
        state.governor.act(state.nodes.raise_quorum(DE, 2))
    assert (lower.value.jurisdiction, lower.value.current, lower.value.requested) == (DE, 3, 2)
    with pytest.raises(NotGuardian):
        state.governor.act(state.places.tighten(DE, Tier.PROHIBITED, DIGEST))
    assert state.delayed.ready_at_s(state.governor.address, call) is not None


def test_scheduling_is_for_holders_once_at_a_time_and_no_sooner_than_the_delay(state: State) -> None:
    call = state.loosening()
    with pytest.raises(AccessManagerUnauthorizedCall) as stranger:
        state.stranger.act(state.delayed.schedule(call))
    assert (stranger.value.caller, stranger.value.target) == (STRANGER.address, state.deployment.node_registry)
    with pytest.raises(AccessManagerUnauthorizedCall):
        state.governor.act(state.delayed.schedule(call, not_before_s=state.chain.timestamp() + DELAY_S // 2))
    later_s = state.chain.timestamp() + 2 * DELAY_S
    state.governor.act(state.delayed.schedule(call, not_before_s=later_s))
    assert state.ready_at_s(call) == later_s
    with pytest.raises(AccessManagerAlreadyScheduled) as twice:
        state.scheduled(call)
    assert twice.value.operation_id == operation_id(state.governor.address, call)


def test_the_administrator_waits_too_or_the_delay_would_be_no_delay(state: State) -> None:
    grant = state.roles.grant(Role.LOOSENER, STRANGER.address)
    with pytest.raises(AccessManagerNotScheduled):
        state.governor.act(grant)
    with pytest.raises(AccessManagerUnauthorizedAccount) as refused:
        state.stranger.act(grant)
    assert (refused.value.msgsender, refused.value.role_id) == (STRANGER.address, Role.ADMINISTRATOR)
    state.scheduled(grant)
    state.to(state.ready_at_s(grant))
    state.governor.act(state.delayed.execute(grant))
    state.stranger.act(state.loosening())
    assert state.places.tier_of(DE) is Tier.OPEN


def test_a_role_that_was_taken_away_does_nothing_anymore(state: State) -> None:
    revoke = state.scheduled(state.roles.revoke(Role.GOVERNOR, state.governor.address))
    state.to(state.ready_at_s(revoke))
    state.governor.act(state.delayed.execute(revoke))
    with pytest.raises(AccessManagedUnauthorized) as refused:
        state.governor.act(state.nodes.raise_quorum(DE, 3))
    assert refused.value.caller == state.governor.address


def test_without_a_delay_everything_acts_at_once_and_a_delay_imposed_later_counts_at_once(state: State) -> None:
    at_once = State(state.chain, deploy(state.chain, state.governor, loosening_delay_s=0))
    at_once.governor.act(at_once.places.list(DE, None, Tier.CONDITIONAL, DIGEST))
    at_once.governor.act(at_once.loosening())
    assert at_once.places.tier_of(DE) is Tier.OPEN
    for call in at_once.slowing_down():
        at_once.governor.act(call)
    for call in (
        at_once.nodes.add_attester(NEWCOMER.address, [DE]),
        at_once.roles.grant(Role.LOOSENER, at_once.governor.address),
    ):
        with pytest.raises(AccessManagerNotScheduled):
            at_once.governor.act(call)


def test_a_deployment_with_a_delay_makes_even_the_first_attester_wait(state: State) -> None:
    slow = State(state.chain, deploy(state.chain, state.governor, loosening_delay_s=DELAY_S))
    slow.governor.act(slow.places.list(DE, None, Tier.OPEN, DIGEST))
    with pytest.raises(AccessManagerNotScheduled):
        slow.governor.act(slow.nodes.add_attester(NEWCOMER.address, [DE]))
