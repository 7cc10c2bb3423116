"""The way of an attestation: requested by a party, signed by its attesters, submitted by anybody, revoked by one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from domicile.types import JurisdictionCode
from scripts.attestation_file import AttestationRequest, AttestationSignature, read_file
from scripts.documents import salted_digest
from tests.verbs.network_ground import PASSWORD, Network, Told, as_new, domicile, interrupt
from tests.verbs.party_ground import (
    BERLIN,
    BONN,
    BRUSSELS,
    CLINIC,
    attest,
    config,
    written_request,
)
from tests.verbs.terminal import at_a_terminal

DAY_S = 24 * 3600


@pytest.fixture
def extract(tmp_path: Path) -> Path:
    path = tmp_path / "extract.pdf"
    path.write_bytes(b"The clinic is in Berlin.")
    return path


def request(parties: Network, out: Path, *more: object) -> Told:
    return domicile("attest", "request", config(parties), "--jurisdiction", "DE", "--out", out, "--json", *more)


def sign(parties: Network, asked: Path, who: str, *more: object) -> Path:
    """An attester's signature, beside the request."""
    out = asked.with_name(f"{who}.signature.json")
    told = parties.does("attest", "sign", asked, "--out", out, "--yes", *more, who=who)
    assert (told.code, told.err, told.data["changed"]) == (0, "", True)
    return out


def submit(parties: Network, asked: Path, *signatures: Path) -> Told:
    return domicile("attest", "submit", asked, *signatures, "--config", config(parties), "--json")


def test_two_attesters_of_a_place_attest_by_files_and_each_step_is_safe_to_repeat(
    parties: Network, tmp_path: Path, extract: Path
) -> None:
    asked = tmp_path / "request.json"
    with_extract = ("--evidence", extract, "--kind", "registry-extract", "--days", 30)
    made = request(parties, asked, *with_extract)
    assert (made.code, made.err, made.data["changed"], made.data["quorum"]) == (0, "", True, 2)
    assert set(made.data["attesters"]) == {BERLIN.address, BONN.address}
    before = asked.read_bytes()
    again = request(parties, asked, *with_extract)
    assert again.data == {**made.data, "changed": False}
    assert asked.read_bytes() == before

    signatures = [sign(parties, asked, who, "--evidence", extract) for who in ("bonn", "berlin")]
    kept = signatures[0].read_bytes()
    told = parties.does("attest", "sign", asked, "--out", signatures[0], "--evidence", extract, who="bonn")
    assert (told.code, told.data["changed"]) == (0, False)
    assert signatures[0].read_bytes() == kept

    for order in (signatures, signatures[::-1]):
        with as_new(parties):
            assert submit(parties, asked, *order).code == 0
    done = submit(parties, asked, *signatures)
    assert (done.code, done.err, done.data["changed"]) == (0, "", True)
    assert done.data["attesters"] == sorted((BERLIN.address, BONN.address), key=lambda one: int(one, 16))
    standing = parties.nodes.standing_of(CLINIC.address)
    assert parties.places.index_of(JurisdictionCode("DE")) == standing.jurisdiction
    assert 30 * DAY_S <= standing.attested_until_s - standing.attested_from_s <= 31 * DAY_S
    block = parties.chain.block_number()
    again = parties.does("attest", "submit", asked, *signatures, who="other")
    assert (again.code, again.data["changed"]) == (0, False)
    assert parties.chain.block_number() == block


def test_files_that_are_mailed_hold_neither_the_document_nor_a_path(
    parties: Network, tmp_path: Path, extract: Path
) -> None:
    asked = tmp_path / "request.json"
    assert request(parties, asked, "--evidence", extract).code == 0
    text = asked.read_text(encoding="utf-8") + sign(parties, asked, "berlin", "--evidence", extract).read_text()
    assert "Berlin" not in text
    assert str(tmp_path) not in text
    assert PASSWORD not in text
    assert not list(tmp_path.glob(".*"))


def test_the_same_document_has_another_digest_in_every_request(parties: Network, tmp_path: Path, extract: Path) -> None:
    digests = set()
    for name in ("a.json", "b.json"):
        assert request(parties, tmp_path / name, "--evidence", extract).code == 0
        digests.add(read_file(tmp_path / name, AttestationRequest).evidence.digest)
    assert len(digests) == 2


def test_an_attester_of_the_place_above_signs_too_and_anybody_submits(parties: Network, tmp_path: Path) -> None:
    assert parties.does("attester", "add", BRUSSELS.address, "--for", "EU").code == 0
    asked = tmp_path / "request.json"
    assert request(parties, asked).code == 0
    signatures = [sign(parties, asked, who) for who in ("brussels", "berlin")]
    told = parties.tells("attest", "submit", asked, *signatures, who="other")
    assert (told.code, told.err) == (0, "")
    assert f"{CLINIC.address} is attested in DE until " in told.out
    assert ", by 2 attesters" in told.out


def test_an_attester_sees_in_plain_words_what_it_states_before_it_signs(parties: Network, tmp_path: Path) -> None:
    asked, out = tmp_path / "request.json", tmp_path / "berlin.signature.json"
    assert request(parties, asked, "--kind", "on-site-visit", "--assurance", 3).code == 0
    command = ("attest", "sign", asked, "--out", out, "--json", "--access", parties.access("berlin"))
    code, screen = at_a_terminal(command, [("[y/N]", "n")])
    assert (code, out.exists()) == (2, False)
    assert f"account {CLINIC.address} is in DE" in screen
    assert "assurance 3" in screen
    assert "relied on: on-site-visit" in screen
    assert "not confirmed; nothing was done" in screen
    code, screen = at_a_terminal(command, [("[y/N]", "y")])
    assert code == 0
    assert json.loads(screen.splitlines()[-1])["changed"] is True
    assert read_file(out, AttestationSignature).attester == BERLIN.address


def test_one_attester_revokes_at_once_with_a_reason_that_only_it_can_show(parties: Network) -> None:
    attest(parties, written_request(parties))
    act = ("attest", "revoke", CLINIC.address, "--reason", "moved abroad", "--yes")
    told = parties.does(*act, who="bonn")
    assert (told.code, told.err, told.data["changed"]) == (0, "", True)
    assert not parties.nodes.standing_of(CLINIC.address).jurisdiction
    kept = json.loads(Path(told.data["kept"]).read_text(encoding="utf-8"))
    assert salted_digest(bytes.fromhex(kept["salt"]), "moved abroad").hex() == told.data["digest"]
    block = parties.chain.block_number()
    again = parties.does(*act, who="bonn")
    assert (again.code, again.data["changed"], parties.chain.block_number()) == (0, False, block)


def test_who_attests_elsewhere_or_nowhere_revokes_nothing(parties: Network) -> None:
    attest(parties, written_request(parties))
    for who in ("paris", "other"):
        told = parties.does("attest", "revoke", CLINIC.address, "--reason", "because", "--yes", who=who)
        assert (told.code, told.out) == (3, "")
        assert "NotAttesterFor" in told.err
    assert parties.nodes.standing_of(CLINIC.address).jurisdiction


@pytest.mark.slow
def test_an_interrupt_at_any_moment_leaves_no_half_of_a_file(parties: Network, tmp_path: Path) -> None:
    asked, signature = tmp_path / "request.json", tmp_path / "berlin.signature.json"
    requests = ("request", config(parties), "--jurisdiction", "DE", "--out", asked)
    signs = ("sign", asked, "--out", signature, "--yes", "--access", parties.access("berlin"))
    for arguments, file, model in (
        (requests, asked, AttestationRequest),
        (signs, signature, AttestationSignature),
    ):
        for tenths in range(5, 45, 8):
            interrupt(("attest", *arguments), tenths / 10)
            assert not file.exists() or read_file(file, model)
        assert domicile("attest", *arguments).code == 0
