from typing import Any

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from tests.contracts.ground import Ground, code, refused, word

NONE, NOT_REGISTERED, EXPIRED, OUTSIDE, TIER, NOT_CLEARED, SUSPENDED, SAFEGUARD = range(8)


def reason(ground: Ground, node: str, **changes: Any) -> int:
    requirement = {
        "allowed": 2**256 - 2, "denied": 0, "maxTier": 1, "sensitivity": 2, "safeguards": 1, **changes,
    }  # fmt: skip
    return int(ground.nodes.call("eligibility", node, *requirement.values())[0])


def govern(ground: Ground, function: str, *arguments: Any) -> Any:
    return ground.nodes.send(ground.governor, function, *arguments)


@pytest.fixture
def node(ground: Ground) -> str:
    account = ground.people[0]
    ground.nodes.send(account, "register", word(11), 3)
    return account


def test_registering_needs_a_key_card_and_happens_once(ground: Ground) -> None:
    account = ground.people[0]
    assert refused(lambda: ground.nodes.send(account, "register", b"", 0)) == ("ZeroKeyCard", ())
    told = ground.nodes.send(account, "register", word(11), 5).event("NodeRegistered")
    assert told == {"node": account, "keyCard": word(11), "safeguards": 5}
    assert ground.nodes.call("keyCardOf", account) == word(11)
    assert refused(lambda: ground.nodes.send(account, "register", word(1), 0)) == ("AlreadyRegistered", (account,))


def test_a_key_card_is_replaced_by_its_node_alone(ground: Ground, node: str) -> None:
    stranger = ground.people[1]
    assert refused(lambda: ground.nodes.send(stranger, "updateKeyCard", word(1), 0)) == ("UnknownNode", (stranger,))
    assert refused(lambda: ground.nodes.send(node, "updateKeyCard", b"", 0)) == ("ZeroKeyCard", ())
    told = ground.nodes.send(node, "updateKeyCard", word(13), 4).event("KeyCardChanged")
    assert told == {"node": node, "keyCard": word(13), "safeguards": 4}
    assert ground.nodes.call("standingOf", node)["safeguards"] == 4


def test_retiring_forgets_all_but_the_nonce_and_a_suspension(ground: Ground) -> None:
    account = ground.people[0]
    assert refused(lambda: ground.nodes.send(account, "retire")) == ("UnknownNode", (account,))
    ground.admit(account, "DE")
    govern(ground, "suspend", account, word(1))
    assert ground.nodes.send(account, "retire").event("NodeRetired") == {"node": account}
    left = {name: value for name, value in ground.nodes.call("standingOf", account).items() if value}
    assert left == {"suspended": True, "nonce": 1}
    assert ground.nodes.call("keyCardOf", account) == bytes(32)
    assert reason(ground, account) == NOT_REGISTERED


@pytest.mark.parametrize(
    ("function", "arguments"),
    [
        ("addAttester", ("0x" + "11" * 20, [code("DE")])),
        ("removeAttester", ("0x" + "11" * 20,)),
        ("setQuorum", (code("DE"), 1)),
        ("raiseQuorum", (code("DE"), 2)),
        ("clear", ("0x" + "11" * 20, 1, word(1), 2**40 - 1)),
        ("withdrawClearance", ("0x" + "11" * 20, word(1))),
        ("suspend", ("0x" + "11" * 20, word(1))),
        ("reinstate", ("0x" + "11" * 20, word(1))),
    ],
)
def test_governance_and_auditors_alone(ground: Ground, function: str, arguments: tuple[Any, ...]) -> None:
    stranger = ground.people[0]
    act = lambda: ground.nodes.send(stranger, function, *arguments)  # noqa: E731
    assert refused(act) == ("AccessManagedUnauthorized", (stranger,))


def test_attesters_have_a_scope_and_an_index_of_their_own(ground: Ground) -> None:
    account = ground.people[0]
    assert refused(lambda: govern(ground, "addAttester", account, [])) == ("EmptyScope", ())
    told = govern(ground, "addAttester", account, [code("DE"), code("IN")]).event("AttesterAdded")
    scope = sum(1 << ground.nodes.call("indexOf", code(place)) for place in ("DE", "IN"))
    assert told == {"attester": account, "index": 7, "scope": scope}
    assert ground.nodes.call("attesterOf", account) == (7, scope)
    assert refused(lambda: govern(ground, "addAttester", account, [code("DE")])) == ("AttesterAlreadyAdded", (account,))
    assert govern(ground, "removeAttester", account).event("AttesterRemoved") == {"attester": account, "index": 7}
    assert refused(lambda: govern(ground, "removeAttester", account)) == ("UnknownAttester", (account,))
    assert refused(lambda: ground.nodes.call("attesterOf", account)) == ("UnknownAttester", (account,))
    again = govern(ground, "addAttester", account, [code("DE")]).event("AttesterAdded")
    assert again == {"attester": account, "index": 8, "scope": 1 << ground.nodes.call("indexOf", code("DE"))}


def test_64_attesters_are_added_and_no_more(ground: Ground) -> None:
    for number in range(7, 64):
        govern(ground, "addAttester", f"0x{number:040x}", [code("DE")])
    assert refused(lambda: govern(ground, "addAttester", ground.people[0], [code("DE")])) == ("AttestersFull", ())


def test_the_nearest_quorum_counts(ground: Ground) -> None:
    for quorum in (0, 65):
        assert refused(lambda: govern(ground, "setQuorum", code("DE"), quorum)) == ("InvalidQuorum", (quorum,))  # noqa: B023
    ground.list_place("DE-BE", "DE")
    ground.list_place("ZA")
    assert govern(ground, "setQuorum", code("DE"), 3).event("QuorumChanged") == {
        "jurisdiction": code("DE"),
        "quorum": 3,
    }
    quorums = [ground.nodes.call("quorumOf", code(place)) for place in ("EU", "DE", "DE-BE", "FR")]
    assert quorums == [1, 3, 3, 1]
    assert refused(lambda: ground.nodes.call("quorumOf", code("ZA"))) == ("QuorumNotSet", (code("ZA"),))


def test_a_quorum_is_raised_above_what_holds_in_the_place_now_and_never_lowered_so(ground: Ground) -> None:
    raise_it = lambda place, quorum: govern(ground, "raiseQuorum", code(place), quorum)  # noqa: E731
    ground.list_place("ZA")
    assert refused(lambda: raise_it("ZA", 64)) == ("QuorumNotSet", (code("ZA"),))
    govern(ground, "setQuorum", code("EU"), 3)
    for quorum in (0, 2, 3):
        assert refused(lambda: raise_it("DE", quorum)) == ("NotHigher", (code("DE"), 3, quorum))  # noqa: B023
    assert refused(lambda: raise_it("DE", 65)) == ("InvalidQuorum", (65,))
    assert raise_it("DE", 4).event("QuorumChanged") == {"jurisdiction": code("DE"), "quorum": 4}
    assert raise_it("EU", 64).event("QuorumChanged") == {"jurisdiction": code("EU"), "quorum": 64}
    assert [ground.nodes.call("quorumOf", code(place)) for place in ("EU", "DE", "FR")] == [64, 4, 64]
    assert refused(lambda: raise_it("DE", 4)) == ("NotHigher", (code("DE"), 4, 4))


def test_an_attestation_must_hold_to_the_letter(ground: Ground, node: str) -> None:
    now, stranger = ground.chain.now, ground.people[1]
    attest = lambda place="DE", signers=None, who=node, **changes: refused(  # noqa: E731
        lambda: ground.attest(who, place, signers, **changes)
    )
    assert attest(who=stranger) == ("UnknownNode", (stranger,))
    assert attest(nonce=1) == ("WrongNonce", (node, 0, 1))
    for start, end in ((now + 1, now + 9), (now - 9, now), (now + 9, now - 9)):
        assert attest(validFrom=start, validUntil=end) == ("OutsideValidity", (start, end, now))
    assert attest("ZZ") == ("UnknownJurisdiction", (code("ZZ"),))
    ground.list_place("ZA")
    assert attest("ZA") == ("QuorumNotSet", (code("ZA"),))
    govern(ground, "setQuorum", code("ZA"), 1)
    assert attest("ZA") == ("NotAttesterFor", (ground.attesters[0], code("ZA")))
    assert attest(signers=[stranger]) == ("NotAttesterFor", (stranger, code("DE")))
    govern(ground, "removeAttester", ground.attesters[1])
    assert attest(signers=[ground.attesters[1]]) == ("NotAttesterFor", (ground.attesters[1], code("DE")))


def test_signers_are_distinct_and_enough(ground: Ground, node: str) -> None:
    govern(ground, "setQuorum", code("DE"), 2)
    statement = ground.attestation(node, "DE")
    low, high = sorted(ground.attesters[:2], key=lambda account: int(account, 16))
    one, two = ground.sign(statement, [low, high])
    attest = lambda *signatures: refused(  # noqa: E731
        lambda: ground.nodes.send(node, "attest", statement, list(signatures))
    )
    assert attest(one) == ("TooFewSignatures", (2, 1))
    assert attest(one, one) == ("SignersNotAscending", (low, low))
    assert attest(two, one) == ("SignersNotAscending", (high, low))
    assert attest(one, two[:64]) == ("ECDSAInvalidSignatureLength", (64,))
    assert attest(one, bytes(65)) == ("ECDSAInvalidSignature", ())
    order = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
    high_s = (order - int.from_bytes(two[32:64], "big")).to_bytes(32, "big")
    assert attest(one, two[:32] + high_s + bytes([55 - two[64]])) == ("ECDSAInvalidSignatureS", (high_s,))
    ground.nodes.send(ground.people[5], "attest", statement, [one, two])
    assert reason(ground, node, sensitivity=0) == NONE


@pytest.mark.parametrize("change", [{"chainId": 1}, {"verifyingContract": "0x" + "11" * 20}, {"version": "2"}])
def test_a_signature_for_another_domain_is_nobodys(ground: Ground, node: str, change: dict[str, Any]) -> None:
    statement = ground.attestation(node, "DE")
    domain = {
        "name": "Domicile NodeRegistry", "version": "1", "chainId": ground.chain.chain_id,
        "verifyingContract": ground.nodes.address, **change,
    }  # fmt: skip
    fields = [
        ("node", "address"), ("jurisdiction", "bytes8"), ("assurance", "uint8"), ("evidence", "bytes32"),
        ("validFrom", "uint40"), ("validUntil", "uint40"), ("nonce", "uint16"),
    ]  # fmt: skip
    kinds = {"Attestation": [{"name": name, "type": kind} for name, kind in fields]}
    message = encode_typed_data(domain, kinds, statement)
    signature = bytes(ground.key_of(ground.attesters[0]).sign_message(message).signature)
    spoken_for = Account._recover_hash(ground.nodes.call("hashAttestation", statement), signature=signature)
    answer = refused(lambda: ground.nodes.send(node, "attest", statement, [signature]))
    assert answer == ("NotAttesterFor", (spoken_for, code("DE")))
    assert spoken_for not in ground.attesters


def test_the_digest_is_that_of_eth_account(ground: Ground, node: str) -> None:
    statement = ground.attestation(node, "DE")
    (signature,) = ground.sign(statement, ground.attesters[:1])
    digest = ground.nodes.call("hashAttestation", statement)
    assert Account._recover_hash(digest, signature=signature) == ground.attesters[0]


def test_an_accepted_attestation_tells_everything_and_cannot_be_replayed(ground: Ground, node: str) -> None:
    statement = ground.attestation(node, "DE")
    signatures = ground.sign(statement, ground.attesters[:3])
    told = ground.nodes.send(node, "attest", statement, signatures).event("NodeAttested")
    assert told == {**statement, "attesters": 0b111}
    standing = ground.nodes.call("standingOf", node)
    assert (standing["nonce"], standing["quorum"], standing["attesters"]) == (1, 1, 0b111)
    answer = refused(lambda: ground.nodes.send(node, "attest", statement, signatures))
    assert answer == ("WrongNonce", (node, 1, 0))


def test_an_attestation_holds_from_its_first_second_to_before_its_last(ground: Ground, node: str) -> None:
    start = ground.chain.now
    ground.attest(node, "DE", validFrom=start, validUntil=start + 100)
    answers = []
    for second in (start, start + 99, start + 100):
        ground.chain.to(second)
        answers.append(reason(ground, node, sensitivity=0))
    assert answers == [NONE, NONE, EXPIRED]


def test_clearance_holds_to_before_its_last_second(ground: Ground, node: str) -> None:
    ground.attest(node, "DE")
    now = ground.chain.now
    assert refused(lambda: govern(ground, "clear", node, 2, word(1), now)) == ("OutsideValidity", (0, now, now))
    told = govern(ground, "clear", node, 2, word(1), now + 10).event("ClearanceGranted")
    assert told == {"node": node, "class": 2, "policy": word(1), "validUntil": now + 10}
    assert (reason(ground, node), reason(ground, node, sensitivity=3)) == (NONE, NOT_CLEARED)
    ground.chain.to(now + 9)
    assert reason(ground, node) == NONE
    ground.chain.to(now + 10)
    assert (reason(ground, node), reason(ground, node, sensitivity=0)) == (NOT_CLEARED, NONE)


def test_clearance_is_withdrawn_at_once(ground: Ground, node: str) -> None:
    ground.attest(node, "DE")
    govern(ground, "clear", node, 3, word(1), ground.chain.now + 1000)
    assert govern(ground, "withdrawClearance", node, word(2)).event("ClearanceWithdrawn") == {
        "node": node, "policy": word(2)}  # fmt: skip
    assert reason(ground, node) == NOT_CLEARED
    stranger = ground.people[1]
    for function, arguments in (
        ("clear", (1, word(1), 2**40 - 1)),
        ("withdrawClearance", (word(1),)),
        ("suspend", (word(1),)),
    ):
        answer = refused(lambda: govern(ground, function, stranger, *arguments))  # noqa: B023
        assert answer == ("UnknownNode", (stranger,))


def test_a_suspension_holds_until_it_is_lifted(ground: Ground) -> None:
    account = ground.people[0]
    ground.admit(account, "DE")
    assert refused(lambda: govern(ground, "reinstate", account, word(1))) == ("NotSuspended", (account,))
    assert govern(ground, "suspend", account, word(1)).event("NodeSuspended") == {"node": account, "reason": word(1)}
    assert reason(ground, account) == SUSPENDED
    assert refused(lambda: govern(ground, "suspend", account, word(1))) == ("AlreadySuspended", (account,))
    assert govern(ground, "reinstate", account, word(2)).event("NodeReinstated") == {
        "node": account, "reason": word(2)}  # fmt: skip
    assert reason(ground, account) == NONE


def test_one_attester_in_scope_revokes(ground: Ground, node: str) -> None:
    attester, outsider = ground.attesters[3], ground.people[1]
    revoke = lambda who: ground.nodes.send(who, "revokeAttestation", node, word(8))  # noqa: E731
    assert refused(lambda: revoke(attester)) == ("NotAttested", (node,))
    ground.attest(node, "DE", ground.attesters[:3])
    assert refused(lambda: revoke(outsider)) == ("NotAttesterFor", (outsider, code("DE")))
    govern(ground, "addAttester", outsider, [code("IN")])
    assert refused(lambda: revoke(outsider)) == ("NotAttesterFor", (outsider, code("DE")))
    assert revoke(attester).event("AttestationRevoked") == {
        "node": node, "attester": attester, "nonce": 1, "reason": word(8)}  # fmt: skip
    assert reason(ground, node, sensitivity=0) == EXPIRED
    assert ground.nodes.call("standingOf", node)["nonce"] == 2
    assert refused(lambda: revoke(attester)) == ("NotAttested", (node,))


def test_signatures_of_removed_attesters_stop_counting_at_once(ground: Ground, node: str) -> None:
    govern(ground, "setQuorum", code("DE"), 2)
    ground.attest(node, "DE", ground.attesters[:3])
    first, second = ground.attesters[:2]
    govern(ground, "removeAttester", first)
    assert reason(ground, node, sensitivity=0) == NONE
    govern(ground, "removeAttester", second)
    assert reason(ground, node, sensitivity=0) == EXPIRED
    govern(ground, "addAttester", second, [code("EU")])
    assert reason(ground, node, sensitivity=0) == EXPIRED


def test_the_quorum_at_admission_stays_that_of_the_attestation(ground: Ground, node: str) -> None:
    ground.attest(node, "DE", ground.attesters[:1])
    govern(ground, "setQuorum", code("DE"), 5)
    assert reason(ground, node, sensitivity=0) == NONE


def test_the_first_reason_in_order_is_named(ground: Ground) -> None:
    account = ground.people[0]
    index = ground.nodes.call("indexOf", code("DE"))
    demand = {"allowed": 1 << ground.nodes.call("indexOf", code("US")), "safeguards": 4}
    assert reason(ground, account, **demand) == NOT_REGISTERED
    ground.nodes.send(account, "register", word(11), 3)
    govern(ground, "suspend", account, word(1))
    ground.nodes.send(ground.governor, "tighten", code("EU"), 2, word(1))
    assert reason(ground, account, **demand) == EXPIRED
    ground.attest(account, "DE")
    assert reason(ground, account, **demand) == OUTSIDE
    demand["allowed"] = 1 << index
    assert reason(ground, account, **demand, denied=1 << index) == OUTSIDE
    assert reason(ground, account, **demand) == TIER
    demand["maxTier"] = 2
    assert reason(ground, account, **demand) == NOT_CLEARED
    govern(ground, "clear", account, 2, word(1), ground.chain.now + 100)
    assert reason(ground, account, **demand) == SUSPENDED
    govern(ground, "reinstate", account, word(1))
    assert reason(ground, account, **demand) == SAFEGUARD
    ground.nodes.send(account, "updateKeyCard", word(1), 7)
    assert reason(ground, account, **demand) == NONE
