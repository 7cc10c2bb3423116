"""Whom a payload is sealed to, when some key cards are of no use."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from eth_utils.address import to_checksum_address

from domicile.crypto.context import PayloadContext, PayloadKind
from domicile.crypto.keys import HpkeKey, KeyCard
from domicile.crypto.sealing import OpeningReader, SealingWriter
from domicile.errors import Fault, SealError, SealFault
from domicile.exchange import CardDirectory, Recipients, note_locked_out
from domicile.journal import Journal
from domicile.protocol.round import Committee
from domicile.storage.store import Store, open_store
from domicile.types import Address, Digest, JobId, ShardIndex

ACCOUNTS = [Address(to_checksum_address(f"0x{number:040x}")) for number in range(1, 6)]
KEYS = [HpkeKey.from_seed(bytes([number]) * 32) for number in range(1, 6)]
PAIR = Committee(members=(ACCOUNTS[3], ACCOUNTS[4]), quorum=1)


@dataclass
class Register:
    """The register's key cards, kept here instead of on a chain."""

    digests: dict[Address, Digest] = field(default_factory=dict)

    def key_card_of(self, address: Address) -> Digest:
        return self.digests.get(address, Digest(bytes(32)))


class Ground:
    """Five parties, each with a proper card until told otherwise; the last two are a committee."""

    def __init__(self, border: Store) -> None:
        self.border = border
        self.register = Register()
        for number in range(5):
            self.publish(number, self.card(number))
        self.directory = CardDirectory(self.register, border)  # type: ignore[arg-type]

    def card(self, number: int, key: int | None = None) -> bytes:
        copied = KEYS[number if key is None else key]
        return KeyCard.of(copied, address=ACCOUNTS[number], software="test").to_bytes()

    def publish(self, number: int, raw: bytes) -> None:
        self.register.digests[ACCOUNTS[number]] = self.border.put_bytes(raw)

    def recipients(self, committee: Committee = PAIR) -> Recipients:
        return self.directory.recipients(committee, ACCOUNTS[:3])


@pytest.fixture
def ground(tmp_path: Path) -> Ground:
    return Ground(open_store(f"dir:{tmp_path}"))


def sealed(recipients: Recipients) -> bytes:
    out = io.BytesIO()
    writer = SealingWriter(out, recipients.cards, context(), 5)
    writer.write(b"hello")
    writer.close()
    return out.getvalue()


def context() -> PayloadContext:
    return PayloadContext(
        chain_id=1,
        contract=ACCOUNTS[0],
        job=JobId(1),
        shard=ShardIndex(0),
        kind=PayloadKind.UPDATE,
        global_round=0,
        regional_round=0,
        sender=ACCOUNTS[0],
    )


def opens(raw: bytes, number: int) -> bool:
    try:
        return OpeningReader(io.BytesIO(raw), KEYS[number], context(), max_plaintext_bytes=5).read(5) == b"hello"
    except SealError as exc:
        if exc.reason is SealFault.NOT_A_RECIPIENT:
            return False
        raise


def test_a_card_that_is_of_no_use_locks_out_its_owner_alone_and_the_length_stays(ground: Ground) -> None:
    whole = sealed(ground.recipients())
    ground.register.digests[ACCOUNTS[0]] = Digest(b"\x99" * 32)
    ground.publish(1, b"no card at all")
    ground.publish(2, ground.card(3))
    del ground.register.digests[ACCOUNTS[4]]
    recipients = ground.recipients()
    assert list(recipients.locked_out) == [ACCOUNTS[0], ACCOUNTS[1], ACCOUNTS[2], ACCOUNTS[4]]
    raw = sealed(recipients)
    assert [opens(raw, number) for number in range(5)] == [False, False, False, True, False]
    assert len(raw) == len(whole)
    assert sealed(ground.recipients())[60:] != raw[60:]


def test_a_copied_key_neither_stops_the_sealing_nor_locks_its_owner_out(ground: Ground) -> None:
    whole = sealed(ground.recipients())
    ground.publish(0, ground.card(0, key=3))
    raw = sealed(ground.recipients())
    assert [opens(raw, number) for number in range(5)] == [False, True, True, True, True]
    assert len(raw) == len(whole)


def test_nothing_is_sealed_to_a_committee_that_could_not_agree_on_it(ground: Ground) -> None:
    both = Committee(members=PAIR.members, quorum=2)
    ground.publish(3, b"no card at all")
    with pytest.raises(Fault, match=r"1 usable key cards, its quorum is 2: not a key card"):
        ground.recipients(both)
    ground.publish(3, ground.card(3, key=4))
    with pytest.raises(Fault, match="members share a key"):
        ground.recipients(both)
    ground.publish(3, ground.card(3))
    assert ground.recipients(both).locked_out == {}


def test_who_is_locked_out_is_journaled_once(ground: Ground, tmp_path: Path) -> None:
    del ground.register.digests[ACCOUNTS[0]]
    journal = Journal(tmp_path / "journal.sqlite", "", version=1)
    for _ in range(2):
        note_locked_out(journal, JobId(1), "update of round 0.1", ground.recipients())
    (one,) = journal.locked_out(JobId(1))
    assert (one.payload, one.recipient) == ("update of round 0.1", ACCOUNTS[0])
    assert "register first" in one.reason
    assert journal.locked_out(JobId(2)) == []
    journal.close()
