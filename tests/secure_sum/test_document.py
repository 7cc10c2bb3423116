"""A stranger's committee, written from ``docs/secure-aggregation.md`` alone, unmasks what the code has masked.

It takes nothing from the package but the messages: its own HKDF, its own field, its own parser.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from pathlib import Path

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES256
from cryptography.hazmat.primitives.ciphers.modes import CTR

from domicile.secure_sum.graph import degree_of
from domicile.secure_sum.sheet import sheet_bytes
from domicile.types import Address
from tests.crypto.test_shares import recover_slowly
from tests.secure_sum.circle import CONTEXT, Circle

DOCUMENT = (Path(__file__).parents[2] / "docs" / "secure-aggregation.md").read_text(encoding="utf-8")
PLACE = (
    (31337).to_bytes(32, "big")
    + b"\xc0" * 20
    + (7).to_bytes(32, "big")
    + bytes(range(32))
    + b"\x02"
    + b"\x00\x03"
    + b"\x00\x05"
)


def tagged(label: str, *parts: bytes) -> bytes:
    assert f"`{label}`" in DOCUMENT
    return hashlib.sha256(label.encode() + b"\0" + b"".join(parts)).digest()


def hkdf(secret: bytes, info: bytes) -> bytes:
    return hmac.digest(hmac.digest(bytes(32), secret, "sha256"), info + b"\x01", "sha256")


def stream(seed: bytes, size: int) -> bytes:
    key = hkdf(seed, b"domicile mask stream v1")
    return Cipher(AES256(key), CTR(bytes(16))).encryptor().update(bytes(size))


def raw(address: Address) -> bytes:
    return bytes.fromhex(address[2:])


class Stranger:
    """A complete graph of h members: everybody holds everybody's shares, numbered in order of address."""

    def __init__(self, circle: Circle, survivors: list[Address]) -> None:
        self.circle = circle
        self.h = circle.num_members
        self.t = self.h // 2 + 1
        self.survivors = survivors
        self.number = {member: place + 1 for place, member in enumerate(sorted(circle.members, key=raw))}

    def shares(self, holder: Address, answer: bytes) -> dict[tuple[Address, int], bytes]:
        """By dealer and secret."""
        assert answer[:8] == b"DOMANSWR"
        assert int.from_bytes(answer[8:10], "big") == 1
        assert int.from_bytes(answer[10:12], "big") == len(self.survivors)
        assert answer[12:44] == tagged("domicile secure sum answer v2", PLACE, raw(holder))
        at = 76
        assert answer[at : at + len(self.survivors)] == b"\1" * len(self.survivors)
        at += len(self.survivors)
        found = {}
        for dealer in sorted(self.survivors, key=raw):
            for secret in self.opened(dealer):
                found[dealer, secret] = answer[at : at + 32]
                at += 32
        assert at == len(answer)
        return found

    def neighbours(self, dealer: Address) -> list[Address]:
        return [member for member in sorted(self.circle.members, key=raw) if member != dealer]

    def opened(self, dealer: Address) -> list[int]:
        edges = enumerate(self.neighbours(dealer), start=1)
        return [0, *(secret for secret, other in edges if other not in self.survivors)]

    def require_sheet(self, dealer: Address, holder: Address, secret: int, share: bytes, seed: bytes) -> None:
        """Lengths, header and checks of a sheet."""
        sheet = self.circle.sheets[dealer]
        assert len(sheet) == 108 + 48 * self.h + 48 * self.h**2
        assert sheet[:12] == b"DOMSHEET" + b"\x00\x01" + self.h.to_bytes(2, "big")
        assert sheet[12:44] == tagged("domicile secure sum sheet v2", PLACE, raw(dealer))
        check = sheet[108 + 32 * secret :][:32]
        if secret:
            ends = sorted((raw(dealer), raw(self.neighbours(dealer)[secret - 1])))
            assert check == tagged("domicile secure sum edge check v2", PLACE, *ends, seed)
        else:
            assert check == tagged("domicile secure sum self check v2", PLACE, raw(dealer), seed)
        number = self.number[holder]
        block = sheet[108 + 32 * self.h + (number - 1) * (48 * self.h + 16) :]
        place = bytes((number, secret))
        expected = tagged("domicile secure sum share check v2", PLACE, raw(dealer), place, share)[:16]
        assert block[16 * secret :][:16] == expected

    def unmask(self, answers: dict[Address, bytes]) -> tuple[list[int], np.ndarray]:
        """Scalars and values of the sum, as signed integers."""
        opened = {holder: self.shares(holder, answer) for holder, answer in answers.items()}
        num_scalars, num_values = 4, self.circle.num_values
        scalars, values = np.zeros(num_scalars, dtype="<u8"), np.zeros(num_values, dtype="<u4")
        for dealer in self.survivors:
            masked = self.circle.sealed[dealer]
            assert masked[:10] == b"DOMASKED" + b"\x00\x01"
            assert masked[10:22] == num_scalars.to_bytes(4, "big") + num_values.to_bytes(8, "big")
            assert masked[22:54] == hashlib.sha256(self.circle.sheets[dealer]).digest()
            scalars += np.frombuffer(masked[54:], dtype="<u8", count=num_scalars)
            values += np.frombuffer(masked[54 + 8 * num_scalars :], dtype="<u4")
            for secret in self.opened(dealer):
                points = {self.number[holder]: shares[dealer, secret] for holder, shares in opened.items()}
                points = dict(list(points.items())[: self.t])
                seed = bytes(recover_slowly({at: share[b] for at, share in points.items()}) for b in range(32))
                holder = next(iter(answers))
                self.require_sheet(dealer, holder, secret, opened[holder][dealer, secret], seed)
                mask = stream(seed, 8 * num_scalars + 4 * num_values)
                # What the dealer added is subtracted: its self mask, and edges to higher addresses.
                added = secret == 0 or raw(dealer) < raw(self.neighbours(dealer)[secret - 1])
                sign = 1 if added else -1
                scalars -= np.frombuffer(mask, dtype="<u8", count=num_scalars) * np.uint64(sign % 2**64)
                values -= np.frombuffer(mask[8 * num_scalars :], dtype="<u4") * np.uint32(sign % 2**32)
        return [int(word) for word in scalars], values.view(np.int32).astype(np.int64)


def test_a_stranger_unmasks_the_same_sum() -> None:
    circle = Circle(5, num_values=300)
    circle.commit_all(circle.members)
    survivors = [circle.members[number] for number in (0, 1, 3, 4)]
    agreed = circle.agreed(survivors)
    answers = {holder: circle.answer(holder, agreed) for holder in survivors[1:]}
    scalars, values = Stranger(circle, survivors).unmask(answers)
    units = sum(circle.units[one] for one in survivors)
    assert scalars[:3] == [4, units, units]
    mean = circle.sum(survivors)
    assert np.array_equal((values * (circle.grid.step * circle.weight_units / units)).astype(np.float32), mean.mean_P)
    # The step is the document's: the smallest power of two that leaves room.
    step = next(2.0**e for e in range(-60, 60) if 5 * -(-circle.max_norm // 2.0**e) <= 2**31 - 1)
    assert circle.grid.step == step


def test_a_stranger_derives_the_same_edge_seed() -> None:
    circle = Circle(3)
    one, other = circle.members[:2]
    secret = circle.keys[one].agree(circle.cards[other])
    ends = raw(one) + circle.cards[one] + raw(other) + circle.cards[other]
    assert "`domicile secure sum edge v2`" in DOCUMENT
    assert circle.pairs(other).edge_seed(one) == hkdf(secret, b"domicile secure sum edge v2" + PLACE + ends)
    assert CONTEXT.to_bytes() == PLACE


def test_the_table_of_thresholds_is_what_the_code_computes() -> None:
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (\d+) \| (\d+) \| ([\d,]+) \|$", DOCUMENT, flags=re.MULTILINE)
    assert len(rows) == 9
    for members, degree, holders, threshold, size in rows:
        assert int(degree) == degree_of(int(members)) == int(holders) - 1
        assert int(threshold) == int(holders) // 2 + 1
        assert int(size.replace(",", "")) == sheet_bytes(int(holders))


def test_the_table_of_those_hidden_together_is_what_members_answer_for() -> None:
    rows = dict(
        re.findall(r"^\| (members n|threshold t|required survivors m|hidden among, c = \d) \| (.+) \|$", DOCUMENT, re.M)
    )
    table = {name: row.split(" | ") for name, row in rows.items()}
    for column, number in enumerate(table["members n"]):
        graph = Circle(int(number)).graph
        required = graph.required_survivors(3)
        assert int(table["threshold t"][column]) == graph.threshold
        assert int(table["required survivors m"][column]) == required
        for colluders in range(5):
            hidden = str(required - colluders) if colluders < graph.threshold else "–"
            assert table[f"hidden among, c = {colluders}"][column] == hidden
