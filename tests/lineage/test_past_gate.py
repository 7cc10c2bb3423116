from __future__ import annotations

from domicile.chain import events as ev
from domicile.lineage.gate import PastGate
from domicile.protocol.eligibility import Refusal, Requirement, Safeguard, Sensitivity
from domicile.protocol.jurisdiction import Tier
from domicile.types import Digest, JurisdictionCode, ShardIndex
from tests.written_job import address_of

NODE, ATTESTER = address_of("a"), address_of("att")
UNTIL_S = 1000
DIGEST = Digest(b"\1" * 32)
DE = JurisdictionCode("DE")
IN_DE = Requirement(
    allowed=1 << 1,
    denied=0,
    max_tier=Tier.OPEN,
    sensitivity=Sensitivity.PUBLIC,
    safeguards=Safeguard.NONE,
)


def at(block: int) -> dict[str, object]:
    return {"block": block, "log_index": 0, "transaction": "0x"}


def time_of(block: int) -> int:
    return 100 * block


EVENTS: list[ev.Event] = [
    ev.JurisdictionListed(
        **at(1), index=1, code=DE, parent=JurisdictionCode(""), tier=Tier.OPEN, legal_basis=DIGEST, closure=2
    ),
    ev.AttesterAdded(**at(2), attester=ATTESTER, index=0, scope=2),
    ev.QuorumChanged(**at(3), jurisdiction=DE, quorum=1),
    ev.NodeRegistered(**at(4), node=NODE, key_card=DIGEST, safeguards=Safeguard.NONE),
    ev.NodeAttested(
        **at(5),
        node=NODE,
        jurisdiction=DE,
        assurance=0,
        evidence=DIGEST,
        valid_from_s=0,
        valid_until_s=UNTIL_S,
        nonce=0,
        attesters=1,
    ),
    ev.NodeSuspended(**at(7), node=NODE, reason=DIGEST),
    ev.NodeReinstated(**at(8), node=NODE, reason=DIGEST),
]


def test_each_block_has_the_answer_of_its_own_time_in_any_order() -> None:
    gate = PastGate(EVENTS, time_of)
    answers = {
        3: Refusal.NOT_REGISTERED,
        4: Refusal.ATTESTATION_EXPIRED,
        6: Refusal.NONE,
        7: Refusal.SUSPENDED,
        9: Refusal.NONE,
        10: Refusal.ATTESTATION_EXPIRED,
    }
    for blocks in (sorted(answers), sorted(answers, reverse=True)):
        assert {block: gate.refusal(NODE, IN_DE, block) for block in blocks} == answers


def test_events_that_come_later_are_followed_too() -> None:
    told = EVENTS[:5]
    gate = PastGate(told, time_of)
    assert gate.refusal_now(NODE, IN_DE, 6, time_of(6)) is Refusal.NONE
    told.append(EVENTS[5])
    assert gate.refusal_now(NODE, IN_DE, 7, time_of(7)) is Refusal.SUSPENDED
    assert gate.refusal(NODE, IN_DE, 6) is Refusal.NONE


def test_a_shard_s_gate_tells_the_reason_in_words_and_nothing_where_it_admits() -> None:
    gate = PastGate(EVENTS, time_of).of_shards([IN_DE])
    assert (gate(NODE, ShardIndex(0), 6), gate(NODE, ShardIndex(0), 7)) == ("", "suspended")


def test_the_place_is_that_of_the_last_attestation_even_when_it_is_over() -> None:
    gate = PastGate(EVENTS, time_of)
    assert (gate.place_of(NODE, 4), gate.place_of(NODE, 99)) == ("", "DE")
