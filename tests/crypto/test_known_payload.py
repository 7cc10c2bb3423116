"""The format across versions: a committed payload, and a reader written from the document alone.

Nothing of the code under test reads here: field sizes come from the document's tables, the rest from its text.
"""

from __future__ import annotations

import hashlib
import io
import re
import struct
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, Suite

from domicile.crypto.context import PayloadContext, PayloadKind
from domicile.crypto.keys import HpkeKey, KeyCard
from domicile.crypto.sealing import OpeningReader, SealingWriter
from domicile.types import Address, JobId, ShardIndex

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "payload-format.md").read_text(encoding="utf-8")
KNOWN = Path(__file__).with_name("known_payload.bin").read_bytes()
PLAINTEXT = b"The data stays home, and anyone can check that it did."
SECRETS = [bytes(range(96)), bytes(range(96, 192))]
CONTEXT = PayloadContext(
    chain_id=31337,
    contract=Address("0x" + "c0" * 20),
    job=JobId(7),
    shard=ShardIndex(2),
    kind=PayloadKind.UPDATE,
    global_round=3,
    regional_round=5,
    sender=Address("0x" + "d4" * 20),
)


def rows_under(heading: str, columns: str) -> list[list[str]]:
    """Cells of the first table with these columns after a heading."""
    table = TEXT.split(f"\n{heading}")[1].split(f"| {columns} |\n|---|---|---|\n")[1].split("\n\n")[0]
    return [[cell.strip() for cell in row.strip("| ").split(" | ")] for row in table.splitlines()]


def layout_of(heading: str) -> struct.Struct:
    """The fields of a fixed length in a table, whose offsets must follow from their sizes."""
    codes = {"1": "B", "2": "H", "4": "I", "8": "Q"}
    layout = ">"
    for offset, size, field in rows_under(heading, "offset | bytes | field"):
        if not size.isdigit():
            break
        assert int(offset) == struct.calcsize(layout), field
        layout += f"{size}s" if size not in codes or field.startswith("magic") else codes[size]
    return struct.Struct(layout)


def worked(heading: str) -> list[tuple[int, bytes]]:
    """Offset and bytes of each row of a worked example."""
    rows = rows_under(heading, "offset | bytes in hexadecimal | they say")
    return [(int(offset), bytes.fromhex(shown.strip("`"))) for offset, shown, _ in rows]


HEADER = layout_of("## A sealed payload")
ENTRY_BYTES = int(re.findall(r"\| 60 \| (\d+) · n \|", TEXT)[0])
CONTEXT_BYTES = b"".join(shown for _, shown in worked("Its context"))


def open_by_the_document(sealed: bytes, secret: bytes, context: bytes) -> bytes:
    """Opens a payload that holds, and fails at whatever does not."""
    magic, version, suite, chunk_bytes, length, recipients, context_hash = HEADER.unpack_from(sealed)
    assert (magic, version, suite, chunk_bytes) == (b"DOMICILE", 1, 1, 262144)
    assert context_hash == hashlib.sha256(context).digest()
    mlkem = MLKEM768PrivateKey.from_seed_bytes(secret[:64])
    x25519 = X25519PrivateKey.from_private_bytes(secret[64:])
    public = mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()
    assert len(public) == 1184 + 32
    own = hashlib.sha256(b"domicile recipient v1" + public).digest()[:8]
    start = HEADER.size + recipients * ENTRY_BYTES
    entries = [sealed[at : at + ENTRY_BYTES] for at in range(HEADER.size, start, ENTRY_BYTES)]
    (wrapped,) = [entry[8:] for entry in entries if entry[:8] == own]
    assert len(wrapped) == 1120 + 32 + 16
    hpke = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.AES_256_GCM)
    private = MLKEM768X25519PrivateKey(mlkem, x25519)
    cipher = AESGCM(hpke.decrypt(wrapped, private, info=b"domicile sealed payload v1" + context))
    associated = hashlib.sha256(sealed[:start]).digest()
    last = max(0, -(-length // chunk_bytes) - 1)
    plain = b""
    for number in range(last + 1):
        chunk = sealed[start + number * (chunk_bytes + 16) :][: chunk_bytes + 16]
        nonce = bytes(3) + number.to_bytes(8, "big") + bytes([number == last])
        plain += cipher.decrypt(nonce, chunk, associated)
    assert len(sealed) == start + length + (last + 1) * 16
    return plain


@pytest.mark.parametrize("secret", SECRETS, ids=["first recipient", "second recipient"])
def test_the_known_payload_opens_to_what_is_known(secret: bytes) -> None:
    assert open_by_the_document(KNOWN, secret, CONTEXT_BYTES) == PLAINTEXT
    reader = OpeningReader(io.BytesIO(KNOWN), HpkeKey(secret), CONTEXT, max_plaintext_bytes=len(PLAINTEXT))
    assert reader.read(reader.size) == PLAINTEXT


def test_the_worked_example_is_the_known_payload() -> None:
    shown = worked("## A payload, worked")
    assert [(offset, KNOWN[offset : offset + len(part)]) for offset, part in shown] == shown
    # Its first rows are the header, row by row, and its last one is the end.
    assert b"".join(part for _, part in shown[:7]) == KNOWN[: HEADER.size]
    offset, tag = shown[-1]
    assert offset + len(tag) == len(KNOWN)
    assert HEADER.unpack(KNOWN[: HEADER.size])[4:6] == (len(PLAINTEXT), len(SECRETS))
    assert f"has {len(KNOWN)} bytes and holds the {len(PLAINTEXT)} bytes `{PLAINTEXT.decode()}`" in TEXT


def test_the_worked_context_is_the_one_that_the_code_encodes() -> None:
    layout = layout_of("## The context")
    assert layout.size == len(CONTEXT_BYTES) == 110
    assert [offset for offset, _ in worked("Its context")] == [
        int(row[0]) for row in rows_under("## The context", "offset | bytes | field")
    ]
    chain, contract, job, shard, kind, global_round, regional_round, sender = layout.unpack(CONTEXT_BYTES)
    assert (int.from_bytes(chain, "big"), int.from_bytes(job, "big")) == (31337, 7)
    assert (shard, kind, global_round, regional_round) == (2, 1, 3, 5)
    assert (contract, sender) == (b"\xc0" * 20, b"\xd4" * 20)
    assert CONTEXT.to_bytes() == CONTEXT_BYTES


@pytest.mark.parametrize("size", [0, 1, 262144, 262145, 700_000])
def test_what_is_sealed_today_opens_by_the_document(size: int) -> None:
    data = hashlib.shake_128(b"plain").digest(size)
    out = io.BytesIO()
    cards = [KeyCard.of(HpkeKey(secret), address=CONTEXT.sender, software="x") for secret in SECRETS]
    writer = SealingWriter(out, cards, CONTEXT, size)
    writer.write(data)
    writer.close()
    for secret in SECRETS:
        assert open_by_the_document(out.getvalue(), secret, CONTEXT_BYTES) == data
