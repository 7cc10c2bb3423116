"""Attestation files that do not hold: mixed up, tampered, forged, stale or foreign. One line with cause and mend, exit
code 2, and nothing is signed or sent.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scripts.attestation_file import AttestationSignature, Evidence, write_file
from scripts.attestation_signatures import ORDER
from tests.verbs.network_ground import NODE, OTHER, Network, Told, domicile
from tests.verbs.party_ground import (
    BERLIN,
    BONN,
    BRUSSELS,
    CLINIC,
    PARIS,
    attest,
    config,
    signed,
    written_request,
)

DAY_S = 24 * 3600
FOR_EVER_S = 2**40 - 1
ELSEWHERE = NODE.address
SWAPPED = CLINIC.address[:2] + CLINIC.address[2:].swapcase()


class Mail:
    """A request and its two signatures, as they lie in a folder after the mail came."""

    def __init__(self, network: Network, folder: Path, **changes: object) -> None:
        self.network = network
        self.folder = folder
        self.asked = written_request(network, **changes)
        self.request, self.berlin, self.bonn = (folder / f"{name}.json" for name in ("request", "berlin", "bonn"))
        write_file(self.request, self.asked)
        write_file(self.berlin, signed(network, self.asked, BERLIN))
        write_file(self.bonn, signed(network, self.asked, BONN))

    def tamper(self, path: Path, **changes: object) -> None:
        document = json.loads(path.read_text(encoding="utf-8"))
        path.write_text(json.dumps({**document, **changes}), encoding="utf-8")

    def sign(self, *more: object, who: str = "berlin") -> Told:
        out = self.folder / "new.signature.json"
        told = self.network.tells("attest", "sign", self.request, "--out", out, "--yes", *more, who=who)
        assert out.exists() is (told.code == 0)
        return told

    def submit(self, *signatures: Path) -> Told:
        block = self.network.chain.block_number()
        files = signatures or (self.berlin, self.bonn)
        told = domicile("attest", "submit", self.request, *files, "--config", config(self.network))
        assert told.code == 0 or self.network.chain.block_number() == block
        return told


@pytest.fixture
def mail(parties: Network, tmp_path: Path) -> Mail:
    return Mail(parties, tmp_path)


def is_told(told: Told, *messages: str) -> None:
    """Whether that is one line of bad input, with cause and mend."""
    assert (told.code, told.out, told.err.count("\n")) == (2, "", 1), told.err
    assert told.err.startswith("domicile: ")
    for message in messages:
        assert message in told.err


TAMPERED: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "another chain": ({"chain_id": 1}, ("on chain 1, this network is", "use the other network's configuration")),
    "another registry": ({"node_registry": ELSEWHERE}, (f"is for registry {ELSEWHERE}", "ask the party for a new")),
    "a stranger": ({"node": OTHER.address}, (f"{OTHER.address} is not registered", "`domicile node register`")),
    "a digit of the account": ({"node": SWAPPED}, ("node: no account with its EIP-55 checksum",)),
    "no account": ({"node": "clinic"}, ("node: no account with its EIP-55 checksum; correct this value",)),
    "a place that is not listed": (
        {"jurisdiction": "XX"},
        ("UnknownJurisdiction (code XX)", "`domicile jurisdiction set`"),
    ),
    "a place without attesters' quorum": (
        {"jurisdiction": "US"},
        ("US has no quorum of attesters yet", "`domicile jurisdiction quorum`"),
    ),
    "no place": ({"jurisdiction": "Germany!"}, ("jurisdiction: string should match pattern",)),
    "over already": ({"valid_until_s": 1_500_000_000, "valid_from_s": 1_400_000_000}, ("its validity ended at 2017-",)),
    "ends before it begins": ({"valid_until_s": 5, "valid_from_s": 6}, ("its validity ends before it begins",)),
    "begins in a year": (
        {"valid_from_s": FOR_EVER_S - 1, "valid_until_s": FOR_EVER_S},
        ("its validity begins at 9999",),
    ),
    "for ever": ({"valid_until_s": FOR_EVER_S}, ("its validity is longer than 3650 days",)),
    "beyond 40 bits": ({"valid_until_s": 2**40}, ("valid_until_s: input should be less than",)),
    "below 0": ({"valid_from_s": -1}, ("valid_from_s: input should be greater than or equal to 0",)),
    "a nonce that is over": ({"nonce": 7}, ("its nonce is 7, that of", "is 0 by now", "ask the party for a new")),
    "a number in words": ({"nonce": "0"}, ("nonce: input should be a valid integer",)),
    "an unknown key": ({"asurance": 1}, ("asurance: unknown key; did you mean 'assurance'?",)),
    "another version": ({"version": "2"}, ("version: input should be '1'",)),
    "another kind of evidence": (
        {"evidence": {"kind": "rumour", "document": None, "salt": "5a" * 16}},
        ("evidence.kind: input should be",),
    ),
    "no salt": ({"evidence": {"kind": "other", "document": None}}, ("evidence.salt: missing",)),
}


@pytest.mark.parametrize(("changes", "messages"), TAMPERED.values(), ids=TAMPERED)
def test_a_request_that_does_not_hold_is_neither_signed_nor_submitted(
    mail: Mail, changes: dict[str, Any], messages: tuple[str, ...]
) -> None:
    mail.tamper(mail.request, **changes)
    is_told(mail.sign(), str(mail.request), *messages)
    is_told(mail.submit(), str(mail.request), *messages)


NO_FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "invalid JSON"),
    "a picture": (b"\x89PNG\r\n\x1a\n\xff", "invalid JSON"),
    "a list": (b"[]", "input should be an object"),
    "nested without end": (b"[" * 30_000, "invalid JSON"),
    "too long": (b" " * 70_000, "is too long for an attestation-"),
    "cut off": (b'{"version": "1", "type": "att', "invalid JSON"),
    "another network's deployment": (b'{"version": 2, "chain_id": 31337}', "is no attestation-"),
}


@pytest.mark.parametrize(("content", "message"), NO_FILES.values(), ids=NO_FILES)
def test_a_file_that_is_something_else_is_named(mail: Mail, content: bytes, message: str) -> None:
    mail.bonn.write_bytes(content)
    is_told(mail.submit(), str(mail.bonn), message)
    mail.request.write_bytes(content)
    is_told(mail.sign(), str(mail.request), message)


def test_requests_and_signatures_that_are_mixed_up_are_told_apart(mail: Mail) -> None:
    told = mail.submit(mail.berlin, mail.request)
    is_told(told, f"{mail.request} is an attestation-request, where an attestation-signature is to be named")
    mail.request.write_bytes(mail.berlin.read_bytes())
    is_told(mail.sign(), f"{mail.request} is an attestation-signature, where an attestation-request is to be named")


def of_another_request(mail: Mail) -> AttestationSignature:
    return signed(mail.network, written_request(mail.network, assurance=9), BONN)


def forged(mail: Mail) -> AttestationSignature:
    return signed(mail.network, mail.asked, BERLIN, attester=BONN.address)


def of_a_stranger(mail: Mail) -> AttestationSignature:
    return signed(mail.network, mail.asked, OTHER)


def of_another_place(mail: Mail) -> AttestationSignature:
    return signed(mail.network, mail.asked, PARIS)


def of_other_content(mail: Mail) -> AttestationSignature:
    """Says that it signs this request, and signs another."""
    return signed(mail.network, written_request(mail.network, assurance=9), BONN, request=mail.asked.digest.hex())


def in_its_second_form(mail: Mail) -> AttestationSignature:
    """The same signer by (r, n - s), which the contract refuses."""
    raw = bytes.fromhex(signed(mail.network, mail.asked, BONN).signature)
    other = ORDER - int.from_bytes(raw[32:64])
    twin = raw[:32] + other.to_bytes(32) + bytes([55 - raw[64]])
    return signed(mail.network, mail.asked, BONN, signature=twin.hex())


def with_a_small_v(mail: Mail) -> AttestationSignature:
    raw = bytes.fromhex(signed(mail.network, mail.asked, BONN).signature)
    return signed(mail.network, mail.asked, BONN, signature=(raw[:64] + bytes([raw[64] - 27])).hex())


def of_zeros(mail: Mail) -> AttestationSignature:
    return signed(mail.network, mail.asked, BONN, signature="00" * 64 + "1b")


SIGNATURES: dict[str, tuple[Callable[[Mail], AttestationSignature], str]] = {
    "of another request": (
        of_another_request,
        f"signs another request than the one named, or that was changed since; ask {BONN.address}",
    ),
    "forged": (forged, f"is no signature of {BONN.address}; ask for it anew"),
    "of a stranger": (of_a_stranger, f"{OTHER.address} is no attester (any more); ask another one"),
    "of an attester of another place": (
        of_another_place,
        f"{PARIS.address} attests for FR, not for DE; ask an attester of that place",
    ),
    "of other content": (of_other_content, f"is no signature of {BONN.address}"),
    "in its second form": (in_its_second_form, f"is no signature of {BONN.address}"),
    "with a small v": (with_a_small_v, f"is no signature of {BONN.address}"),
    "of zeros": (of_zeros, f"is no signature of {BONN.address}"),
}


@pytest.mark.parametrize(("make", "message"), SIGNATURES.values(), ids=SIGNATURES)
def test_a_signature_that_does_not_count_is_named_before_anything_is_sent(
    mail: Mail, make: Callable[[Mail], AttestationSignature], message: str
) -> None:
    write_file(mail.bonn, make(mail))
    is_told(mail.submit(), f"{mail.bonn}: ", message)


CHANGED_SIGNATURES: dict[str, tuple[dict[str, Any], str]] = {
    "cut": ({"signature": "ab"}, "signature: string should match pattern"),
    "with 0x": ({"signature": "0x" + "ab" * 64}, "signature: string should match pattern"),
    "of no account": ({"attester": "bonn"}, "attester: no account with its EIP-55 checksum"),
    "with an unknown key": ({"node": CLINIC.address}, "node: unknown key"),
    "of another version": ({"version": "0"}, "version: input should be '1'"),
}


@pytest.mark.parametrize(("changes", "message"), CHANGED_SIGNATURES.values(), ids=CHANGED_SIGNATURES)
def test_a_signature_file_that_was_changed_is_named(mail: Mail, changes: dict[str, Any], message: str) -> None:
    mail.tamper(mail.bonn, **changes)
    is_told(mail.submit(), f"{mail.bonn} is no attestation-signature: ", message, "or ask for it anew")


def test_a_request_that_was_changed_after_it_was_signed_is_not_submitted(mail: Mail) -> None:
    mail.tamper(mail.request, assurance=200)
    is_told(mail.submit(), f"{mail.berlin}: signs another request than the one named, or that was changed since")


def test_too_few_signatures_say_how_many_are_missing_and_who_could_sign(mail: Mail) -> None:
    for files in ((mail.berlin,), (mail.berlin, mail.berlin)):
        is_told(mail.submit(*files), f"DE asks for 2 attesters, here is 1 signature; ask 1 more of {BONN.address}")


def test_where_there_are_too_few_attesters_governance_is_named(mail: Mail) -> None:
    assert mail.network.does("attester", "remove", BONN.address).code == 0
    is_told(mail.submit(mail.berlin), "only 0 more could sign, governance adds attesters with `domicile attester add`")


def test_an_attester_who_was_removed_in_between_counts_no_more(mail: Mail) -> None:
    assert mail.network.does("attester", "remove", BONN.address).code == 0
    is_told(mail.submit(), f"{mail.bonn}: {BONN.address} is no attester (any more); ask another one")
    is_told(mail.sign(who="bonn"), f"{BONN.address} is no attester (any more)")


def test_an_attestation_that_lost_its_attesters_is_not_told_as_done(mail: Mail) -> None:
    assert mail.submit().code == 0
    assert mail.network.does("attester", "remove", BONN.address).code == 0
    is_told(mail.submit(), "was accepted, but too few of those who signed it are still attesters; ask the party")


def test_a_request_is_over_once_another_was_accepted_or_revoked(mail: Mail) -> None:
    attest(mail.network, written_request(mail.network, assurance=9))
    is_told(mail.submit(), "its nonce is 0, that of", "is 1 by now: another attestation was accepted or revoked since")
    assert mail.network.does("attest", "revoke", CLINIC.address, "--reason", "x", "--yes", who="bonn").code == 0
    is_told(mail.sign(), "its nonce is 0, that of", "is 2 by now")


def test_a_request_whose_validity_lapsed_on_its_way_is_not_submitted(mail: Mail) -> None:
    mail.network.to(mail.asked.valid_until_s)
    is_told(mail.submit(), "its validity ended at", "ask the party for a new request")


def test_an_accepted_request_that_lapsed_is_not_told_as_done(mail: Mail) -> None:
    assert mail.submit().code == 0
    mail.network.to(mail.asked.valid_until_s)
    is_told(mail.submit(), "its validity ended at")


def test_attesters_see_the_document_that_they_rely_on(parties: Network, tmp_path: Path) -> None:
    document, other = tmp_path / "extract.pdf", tmp_path / "other.pdf"
    document.write_bytes(b"in Berlin")
    other.write_bytes(b"in Paris")
    mail = Mail(parties, tmp_path, evidence=Evidence(kind="other", document="dd" * 32, salt="5a" * 16))
    is_told(mail.sign(), "--evidence: missing; ", "relies on a document, name the one that came with it")
    for one in (document, other):
        is_told(mail.sign("--evidence", one), f"--evidence: {one} is not the document that {mail.request} relies on")
    plain = Mail(parties, tmp_path)
    is_told(plain.sign("--evidence", document), "relies on no document; leave it out")


def test_only_attesters_of_the_place_sign(mail: Mail) -> None:
    is_told(mail.sign(who="paris"), f"{PARIS.address} attests for FR, not for DE; ask an attester of that place")
    for who, account in (("other", OTHER.address), ("brussels", BRUSSELS.address)):
        is_told(mail.sign(who=who), f"{account} is no attester (any more)")


def test_nothing_that_is_there_is_written_over(mail: Mail) -> None:
    for who, there, whose in (
        ("berlin", mail.bonn, "holds another signature; name another file, or remove it"),
        ("berlin", mail.request, "is an attestation-request, where an attestation-signature is to be named"),
    ):
        before = there.read_bytes()
        told = mail.network.tells("attest", "sign", mail.request, "--out", there, "--yes", who=who)
        is_told(told, whose)
        assert there.read_bytes() == before
    told = domicile("attest", "request", config(mail.network), "--jurisdiction", "FR", "--out", mail.request)
    is_told(told, f"--out: {mail.request} holds another request; name another file, or remove it")


def test_a_statement_that_nobody_confirms_is_shown_and_not_signed(mail: Mail) -> None:
    out = mail.folder / "new.json"
    told = mail.network.tells("attest", "sign", mail.request, "--out", out, who="berlin")
    assert (told.code, told.out, out.exists()) == (2, "", False)
    last = told.err.splitlines()[-1]
    assert "Sign this statement? Nobody is there to answer; repeat the command with --yes" in last
    assert f"account {CLINIC.address} is in DE" in told.err


def test_nobody_needs_to_revoke_what_is_no_attestation(parties: Network) -> None:
    told = parties.tells("attest", "revoke", OTHER.address, "--reason", "x", "--yes", who="berlin")
    assert (told.code, told.out, told.err) == (0, f"{OTHER.address} has no attestation (any more)\n", "")
