"""What a sealed payload refuses, and that it comes back whole otherwise."""

from __future__ import annotations

import io
import os
import tracemalloc
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domicile.crypto.context import CONTEXT_BYTES, PayloadContext, PayloadKind
from domicile.crypto.keys import HpkeKey, KeyCard
from domicile.crypto.sealing import (
    CHUNK_BYTES,
    ENTRY_BYTES,
    FIXED_HEADER,
    TAG_BYTES,
    OpeningReader,
    SealingWriter,
    sealed_size,
)
from domicile.errors import SealError, SealFault
from domicile.types import Address, JobId, ShardIndex

KEYS = [HpkeKey.from_seed(bytes([number]) * 32) for number in (1, 2, 3)]
ADDRESSES = [Address("0x" + f"{number}" * 40) for number in (1, 2, 3)]
CARDS = [KeyCard.of(key, address=address, software="domicile/0") for address, key in zip(ADDRESSES, KEYS, strict=True)]
CONTEXT = PayloadContext(
    chain_id=31337,
    contract=Address("0x" + "9" * 40),
    job=JobId(1),
    shard=ShardIndex(0),
    kind=PayloadKind.UPDATE,
    global_round=2,
    regional_round=1,
    sender=ADDRESSES[2],
)


def seal(data: bytes, recipients: list[KeyCard] | None = None, context: PayloadContext = CONTEXT) -> bytes:
    out = io.BytesIO()
    writer = SealingWriter(out, recipients or CARDS[:2], context, len(data))
    for start in range(0, len(data), 70_001):
        writer.write(data[start : start + 70_001])
    writer.close()
    return out.getvalue()


def unseal(sealed: bytes, key: HpkeKey = KEYS[0], context: PayloadContext = CONTEXT, limit: int = 1 << 30) -> bytes:
    reader = OpeningReader(io.BytesIO(sealed), key, context, max_plaintext_bytes=limit)
    return reader.read(reader.size + 1)


def reason(sealed: bytes, **kwargs: object) -> SealFault:
    with pytest.raises(SealError) as refused:
        unseal(sealed, **kwargs)  # type: ignore[arg-type]
    return refused.value.reason


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 1_000_003])
def test_every_recipient_reads_what_was_sealed_whatever_its_length(size: int) -> None:
    data = os.urandom(size)
    sealed = seal(data)
    assert len(sealed) == sealed_size(size, 2)
    assert [unseal(sealed, key) for key in KEYS[:2]] == [data, data]


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=5000))
def test_any_bytes_come_back(data: bytes) -> None:
    assert unseal(seal(data)) == data


def test_the_order_of_recipients_does_not_matter() -> None:
    assert unseal(seal(b"data", CARDS[1::-1])) == b"data"


def test_every_flipped_byte_is_refused() -> None:
    sealed = seal(b"short", CARDS[:1])
    for position in range(len(sealed)):
        altered = bytearray(sealed)
        altered[position] ^= 1
        reason(bytes(altered))


def test_every_truncation_is_refused_and_so_is_what_follows_the_end() -> None:
    sealed = seal(b"short", CARDS[:1])
    for length in range(len(sealed)):
        assert reason(sealed[:length]) is SealFault.TRUNCATED
    assert reason(sealed + b"\0") is SealFault.EXTENDED


def test_a_payload_that_was_refused_stays_refused() -> None:
    reader = OpeningReader(io.BytesIO(seal(b"short") + b"\0"), KEYS[0], CONTEXT, max_plaintext_bytes=99)
    for _ in range(2):
        with pytest.raises(SealError):
            reader.read(99)


def test_a_payload_cut_between_chunks_is_refused_even_if_its_header_is_made_to_fit() -> None:
    sealed = seal(os.urandom(3 * CHUNK_BYTES), CARDS[:1])
    cut = sealed[: -CHUNK_BYTES - TAG_BYTES]
    assert reason(cut) is SealFault.TRUNCATED
    fields = list(FIXED_HEADER.unpack_from(cut))
    fields[4] = 2 * CHUNK_BYTES
    assert reason(FIXED_HEADER.pack(*fields) + cut[FIXED_HEADER.size :]) is SealFault.ALTERED


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, 2), (0, 2)])
def test_chunks_cannot_change_places_or_be_doubled(first: int, second: int) -> None:
    sealed = seal(os.urandom(3 * CHUNK_BYTES), CARDS[:1])
    start, step = FIXED_HEADER.size + ENTRY_BYTES, CHUNK_BYTES + TAG_BYTES
    chunks = [sealed[start + i * step : start + (i + 1) * step] for i in range(3)]
    swapped, doubled = list(chunks), list(chunks)
    swapped[first], swapped[second] = chunks[second], chunks[first]
    doubled[second] = chunks[first]
    for order in (swapped, doubled):
        assert reason(sealed[:start] + b"".join(order)) is SealFault.ALTERED


OTHERS = {
    "chain_id": 1,
    "contract": Address("0x" + "8" * 40),
    "job": JobId(2),
    "shard": ShardIndex(1),
    "kind": PayloadKind.EXPORT,
    "global_round": 3,
    "regional_round": 2,
    "sender": ADDRESSES[1],
}


@pytest.mark.parametrize("field", OTHERS)
def test_a_payload_opens_only_where_it_belongs(field: str) -> None:
    other = replace(CONTEXT, **{field: OTHERS[field]})
    assert reason(seal(b"data"), context=other) is SealFault.WRONG_CONTEXT


def test_a_context_hash_that_was_swapped_in_does_not_help() -> None:
    other = replace(CONTEXT, job=JobId(2))
    sealed, foreign = seal(b"data"), seal(b"data", context=other)
    place = FIXED_HEADER.size - 32
    forged = sealed[:place] + foreign[place : FIXED_HEADER.size] + sealed[FIXED_HEADER.size :]
    assert reason(forged, context=other) is SealFault.ALTERED


def test_others_are_told_that_it_is_not_for_them() -> None:
    assert reason(seal(b"data"), key=KEYS[2]) is SealFault.NOT_A_RECIPIENT


def test_other_bytes_versions_and_lengths_are_named() -> None:
    sealed = seal(b"data")
    assert reason(b"\0" * 5000) is SealFault.NOT_A_PAYLOAD
    assert reason(sealed[:8] + b"\0\2" + sealed[10:]) is SealFault.UNKNOWN_VERSION
    assert reason(sealed, limit=3) is SealFault.TOO_LARGE


def test_the_writer_takes_exactly_what_was_announced() -> None:
    writer = SealingWriter(io.BytesIO(), CARDS[:1], CONTEXT, 3)
    with pytest.raises(ValueError, match="more than announced"):
        writer.write(b"four")
    with pytest.raises(ValueError, match="fewer than announced"):
        writer.close()
    with pytest.raises(ValueError, match="distinct"):
        SealingWriter(io.BytesIO(), [CARDS[0], CARDS[0]], CONTEXT, 3)


def test_a_context_refuses_numbers_that_its_encoding_has_no_room_for() -> None:
    assert len(CONTEXT.to_bytes()) == CONTEXT_BYTES
    for field, value in (
        ("shard", 255),
        ("global_round", 65536),
        ("regional_round", -1),
        ("job", -1),
        ("sender", "0x12"),
        ("job", 1 << 256),
    ):
        with pytest.raises(ValueError, match=r"outside|negative|digits"):
            replace(CONTEXT, **{field: value})


class Zeros:
    """64 MiB of sealed bytes would need memory of their own: this throws them away."""

    def write(self, data: object) -> None: ...


def test_sealing_needs_constant_memory() -> None:
    piece = bytes(1 << 20)
    tracemalloc.start()
    writer = SealingWriter(Zeros(), CARDS[:1], CONTEXT, 64 << 20)
    for _ in range(64):
        writer.write(piece)
    writer.close()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 << 20
